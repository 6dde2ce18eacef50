"""The project's own app."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_login_failed
from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries

from config.refused import count_failed_login


class StatekeepConfig(AppConfig):
    """Statekeep as a whole."""

    name = "config"
    verbose_name = "Statekeep"

    def ready(self) -> None:
        """Count failed log-ins; take off each request what it has no use for here."""
        user_login_failed.connect(count_failed_login)  # after axes, which stands before this app
        # Together a tenth of a state call.
        request_started.disconnect(reset_queries)  # queries are logged with DEBUG alone
        request_finished.disconnect(close_caches)  # Redis connections are kept
        # Database connections are kept as well, and looked at when the next request starts.
        request_finished.disconnect(close_old_connections)
