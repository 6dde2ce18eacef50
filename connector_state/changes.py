"""Changes that workers have to hear of, numbered, and the base of the models that note theirs."""

import uuid
from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from django.db import models, transaction

CHANGES_KEPT = 10_000  # a worker that is further behind reads everything again


class ChangeCounter(models.Model):
    """The number of changes that workers have to hear of: one row."""

    number = models.PositiveBigIntegerField(default=0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.number)

    @staticmethod
    def lock() -> "ChangeCounter":
        """Return the row, locked until the transaction ends."""
        return ChangeCounter.objects.select_for_update().get_or_create(pk=1)[0]


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
        counter = ChangeCounter.lock()
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
