"""The connector state app."""

from django.apps import AppConfig


class ConnectorStateConfig(AppConfig):
    """Connectors, their credentials and their state."""

    name = "connector_state"
    verbose_name = "Connector state"
