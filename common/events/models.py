"""The table of events."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

MESSAGE_MAX_CHARACTERS = 500
PRUNED_AT_ONCE = 1000


class Event(models.Model):
    """Something that happened. No foreign keys: it outlives whom and what it is about.

    Never what somebody has said or stored. `actor` is who did it: a name in admin, or the system's
    user of a command; "" for the service itself. `number` counts what an event stands for, such as
    the refused calls of an hour; those that are still counted have a unique `aggregate`.
    """

    class Kind(models.TextChoices):
        CHANGE = "change", "Operators' changes"
        CREDENTIAL = "credential", "Credentials"
        READ = "read", "Chats read"
        REFUSAL = "refusal", "Refused calls"
        OUTAGE = "outage", "Outages"
        QUARANTINE = "quarantine", "Unreadable conversations"
        DEAD_LETTER = "dead letter", "Dead letters"
        DEGRADED = "degraded", "Degraded answers"
        EXPIRY = "expiry", "Expired conversations"
        PURGE = "purge", "Purges"
        IMPORT = "import", "Imports"

    class Area(models.TextChoices):
        """What an event is about, which decides who may see it."""

        STATE = "state"
        CHAT = "chat"
        ACCOUNTS = "accounts"
        SERVICE = "service"

    at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)  # of an outage
    kind = models.CharField(max_length=12, choices=Kind.choices)
    area = models.CharField(max_length=8, choices=Area.choices)
    actor = models.CharField(max_length=200, blank=True)
    message = models.CharField(max_length=MESSAGE_MAX_CHARACTERS)
    number = models.PositiveBigIntegerField(default=0)
    connector_uuid = models.UUIDField(null=True)
    user_id = models.CharField(max_length=255, blank=True)
    conversation_id = models.CharField(max_length=50, blank=True)
    turn_id = models.CharField(max_length=32, blank=True)
    aggregate = models.CharField(max_length=160, null=True, unique=True)

    class Meta:
        ordering = ("-at", "-id")
        default_permissions = ()  # those on connectors, conversations and accounts hold
        indexes = [
            models.Index(fields=["-at", "-id"], name="events_newest"),
            models.Index(fields=["kind", "-at", "-id"], name="events_of_kind"),
            models.Index(fields=["connector_uuid", "-at"], name="events_of_connector"),
            models.Index(fields=["user_id", "conversation_id"], name="events_of_conversation"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.message}"


OF_TURNS = (Event.Kind.DEGRADED, Event.Kind.DEAD_LETTER)


def record(kind: Event.Kind, area: Event.Area, message: str, actor: str = "", **about: Any) -> None:
    """Record an event, in the caller's transaction if there is one.

    Args:
        kind: of the event.
        area: who may see it.
        message: a sentence. Never stored content.
        actor: who did it; "": the service.
        about: other fields, such as `connector_uuid`.
    """
    Event.objects.create(
        kind=kind, area=area, message=message[:MESSAGE_MAX_CHARACTERS], actor=actor[:200], **about
    )


def forget(**about: Any) -> None:
    """Delete the events of turns of a conversation, or of a user, that is removed."""
    Event.objects.filter(kind__in=OF_TURNS, **about).delete()


def prune() -> int:
    """Delete events older than EVENTS_KEEP_DAYS; return how many.

    Degraded answers and dead letters stay: they go with their conversation.
    """
    oldest = timezone.now() - timedelta(days=settings.EVENTS_KEEP_DAYS)
    old = Event.objects.filter(at__lt=oldest).exclude(kind__in=OF_TURNS)
    pruned = 0
    while ids := list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE]):
        pruned += Event.objects.filter(pk__in=ids).delete()[0]
    return pruned
