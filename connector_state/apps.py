"""The app of connectors, their credentials and their state."""

from django.apps import AppConfig
from django.conf import settings

from connector_state.store import keys


class ConnectorStateConfig(AppConfig):
    """Configure the app: its name, and its title in admin."""

    name = "connector_state"
    verbose_name = "Connector state"

    def ready(self) -> None:
        if settings.REDIS_CLUSTER:
            keys.use_hash_tags()
