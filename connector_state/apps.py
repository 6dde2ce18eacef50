"""The app of connectors, their credentials and their state."""

from django.apps import AppConfig


class ConnectorStateConfig(AppConfig):
    """Configure the app: its name, and its title in admin."""

    name = "connector_state"
    verbose_name = "Connector state"
