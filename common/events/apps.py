"""The app of the events."""

from django.apps import AppConfig
from django.db.models.signals import post_save


class EventsConfig(AppConfig):
    """The events of both apps, and of Django's own pages in admin."""

    name = "common.events"
    label = "events"
    verbose_name = "Events"

    def ready(self) -> None:
        from django.contrib.admin.models import LogEntry  # these need the models

        from common.events.changes import record_entry

        post_save.connect(record_entry, sender=LogEntry)
