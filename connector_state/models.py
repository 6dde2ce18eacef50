"""Connectors, their credentials, and the changes that enrolment made to connectors."""

import uuid
from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone

CHANGES_KEPT = 10_000  # a worker that is further behind reads everything again


class ChangeCounter(models.Model):
    """The number of changes that workers have to hear of: one row."""

    number = models.PositiveBigIntegerField(default=0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.number)


class CredentialChange(models.Model):
    """Something about a connector changed that decides what its credentials open.

    Changes are numbered in the order of their commits, and without a gap: each locks the counter
    until its transaction ends. Otherwise a transaction could commit a lower number after workers
    had read a higher one, and they would never hear of it.
    """

    number = models.PositiveBigIntegerField(primary_key=True)
    connector_uuid = models.UUIDField()  # no foreign key: the connector may be gone

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.number}: {self.connector_uuid}"

    @staticmethod
    def note(connector_uuids: Iterable[uuid.UUID]) -> None:
        """Note that these connectors change, in the transaction in which they do."""
        changed = sorted(set(connector_uuids))
        if not changed:
            return
        counter, _ = ChangeCounter.objects.select_for_update().get_or_create(pk=1)
        first = counter.number + 1
        counter.number += len(changed)
        counter.save(update_fields=["number"])
        CredentialChange.objects.bulk_create(
            CredentialChange(number=number, connector_uuid=connector_uuid)
            for number, connector_uuid in enumerate(changed, first)
        )
        CredentialChange.objects.filter(number__lte=counter.number - CHANGES_KEPT).delete()


T = TypeVar("T", bound="NotedModel")


class NotedQuerySet(models.QuerySet[T]):
    """A query set whose updates and deletions are noted as changes."""

    def update(self, **kwargs: Any) -> int:
        """Update, and note it if it matters."""
        if not self.model.noted_fields & kwargs.keys():
            return super().update(**kwargs)
        with transaction.atomic(using=self.db):
            connector_uuids = self._connector_uuids()
            updated = super().update(**kwargs)
            CredentialChange.note(connector_uuids)
        return updated

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete, and note the change in the same transaction."""
        with transaction.atomic(using=self.db):
            connector_uuids = self._connector_uuids()
            deleted = super().delete()
            CredentialChange.note(connector_uuids)
        return deleted

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _connector_uuids(self) -> list[uuid.UUID]:
        return list(self.order_by().values_list(self.model.connector_field, flat=True).distinct())


class NotedModel(models.Model):
    """A row whose changes CredentialChange notes, in the same transaction.

    A new row is no change: nobody can have asked for its key id, which is random, before it was
    there. What is written past these methods and those of the query set, workers find within a
    minute.
    """

    connector_field: ClassVar[str]  # what holds the connector's UUID
    noted_fields: ClassVar[frozenset[str]]

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and note it if it matters."""
        fields = kwargs.get("update_fields") or self.noted_fields
        if kwargs.get("force_insert") or self.noted_fields.isdisjoint(fields):
            super().save(*args, **kwargs)
            return
        with transaction.atomic():
            super().save(*args, **kwargs)
            CredentialChange.note([getattr(self, self.connector_field)])

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete, and note the change in the same transaction."""
        connector_uuid = getattr(self, self.connector_field)
        with transaction.atomic():
            deleted = super().delete(*args, **kwargs)
            CredentialChange.note([connector_uuid])
        return deleted


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
