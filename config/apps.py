"""The project's own app: its commands and checks."""

from django.apps import AppConfig


class StatekeepConfig(AppConfig):
    """Statekeep as a whole."""

    name = "config"
    verbose_name = "Statekeep"
