"""Connectors, their credentials, and the changes that enrolment made to connectors."""

import uuid
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.signals import pre_delete
from django.dispatch import receiver
from django.utils import timezone

from connector_state.changes import NotedModel, NotedQuerySet


class Connector(NotedModel):
    """A stateless program that keeps its state here; its UUID identifies it."""

    uuid = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=255)
    enabled = models.BooleanField(
        default=True, help_text="A disabled connector is refused, and can't enrol."
    )
    created_at = models.DateTimeField(default=timezone.now)

    # Enrolment. A group of NULL: an operator created the connector, so no enrolment token may get
    # its secret.
    enrolment_group = models.CharField(max_length=64, null=True, editable=False)
    # An operator created the connector and gave it its credential; the tokens of this group may
    # send its heartbeats, and still get no secret.
    heartbeat_group = models.CharField(max_length=64, null=True, editable=False)
    url = models.CharField(max_length=2048, blank=True, editable=False)
    peer_address = models.CharField(max_length=64, blank=True, editable=False)
    last_seen_at = models.DateTimeField(null=True, editable=False)
    offline_at = models.DateTimeField(null=True, editable=False)

    # A dsx-connect that this service looks up credentials in (credentials.foreign).
    accepts_dsx_connect = models.BooleanField(
        default=False, editable=False, help_text="Its credential there is good here too."
    )
    came_from_dsx_connect = models.BooleanField(default=False, editable=False)

    # Policy. NULL: the default from the settings.
    read_only = models.BooleanField(default=False)
    allowed_namespaces = models.TextField(
        blank=True,
        help_text="Patterns, one a line, such as m365 or m365-*. Empty: any namespace.",
    )
    max_keys = models.PositiveIntegerField(null=True, blank=True)
    max_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    max_requests_per_second = models.PositiveIntegerField(null=True, blank=True)

    objects = NotedQuerySet["Connector"].as_manager()

    connector_field = "uuid"
    noted_fields = frozenset(
        {
            "enabled",
            "accepts_dsx_connect",
            "read_only",
            "allowed_namespaces",
            "max_keys",
            "max_bytes",
            "max_requests_per_second",
        }
    )

    class Meta:
        ordering = ("name", "uuid")
        permissions = [
            ("view_keys", "Can view the names, sizes and expiries of stored keys"),
            ("view_values", "Can view and export stored values"),
            ("change_keys", "Can change and import stored values"),
            ("delete_keys", "Can delete stored values"),
        ]

    @property
    def event_subject(self) -> dict[str, object]:
        """The fields of an event about the connector."""
        return {"connector_uuid": self.pk}

    def __str__(self) -> str:
        return f"{self.name} ({self.uuid})"

    @property
    def status(self) -> str:
        """Return "disabled" (by an operator), "offline" (since its shutdown) or "enabled"."""
        if not self.enabled:
            return "disabled"
        return "offline" if self.is_offline else "enabled"

    @property
    def is_offline(self) -> bool:
        """Return whether it has shut down and sent no heartbeat since, as OFFLINE in a query."""
        if self.offline_at is None:
            return False
        return self.last_seen_at is None or self.last_seen_at < self.offline_at


OFFLINE = Q(offline_at__isnull=False) & (Q(last_seen_at=None) | Q(last_seen_at__lt=F("offline_at")))


class DeletedConnector(models.Model):
    """The UUID of a connector that was deleted while it was disabled.

    A dsx-connect still has its credential, which would otherwise be good here from then on.
    """

    uuid = models.UUIDField(primary_key=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.uuid)


@receiver(pre_delete, sender=Connector)
def keep_disabling(instance: Connector, **kwargs: Any) -> None:
    """Keep the disabling of a connector that is deleted, in the same transaction."""
    if Connector.objects.filter(pk=instance.pk, enabled=False).exists():
        DeletedConnector.objects.get_or_create(pk=instance.pk)
    else:
        DeletedConnector.objects.filter(pk=instance.pk).delete()


class CredentialQuerySet(NotedQuerySet["Credential"]):
    """Adds `live` to the queries on credentials."""

    def live(self) -> "CredentialQuerySet":
        """Return the credentials that are neither revoked nor expired."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)


class Credential(NotedModel):
    """A key id and its encrypted secret. A connector may have several credentials."""

    connector = models.ForeignKey(Connector, models.CASCADE, related_name="credentials")
    key_id = models.CharField(max_length=64, unique=True)
    encrypted_secret = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = CredentialQuerySet.as_manager()

    connector_field = "connector_id"
    noted_fields = frozenset(
        {"connector", "connector_id", "key_id", "encrypted_secret", "expires_at", "revoked_at"}
    )

    class Meta:
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return self.key_id

    @property
    def is_live(self) -> bool:
        """Tell whether it is neither revoked nor expired, as `live` does in a query."""
        return self.revoked_at is None and (
            self.expires_at is None or self.expires_at > timezone.now()
        )


class EnrolmentChange(models.Model):
    """A change of a connector's url, name or peer address by its registration."""

    connector = models.ForeignKey(Connector, models.CASCADE, related_name="enrolment_changes")
    at = models.DateTimeField(default=timezone.now)
    field = models.CharField(max_length=32)
    before = models.CharField(max_length=2048, blank=True)
    after = models.CharField(max_length=2048, blank=True)

    class Meta:
        ordering = ("-at", "-id")
        indexes = [models.Index(fields=["connector", "-at"])]

    def __str__(self) -> str:
        return f"{self.field}: {self.before!r} to {self.after!r}"
