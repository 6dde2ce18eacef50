"""How the lists can be narrowed down."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from chat.models import Conversation, Turn
from chat.models.turns import to_be_stored


class _FilterWithDefault(admin.SimpleListFilter):
    """Without a choice the first one holds."""

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        value = self.value() or self.lookup_choices[0][0]
        for name, title in self.lookup_choices:
            yield {
                "selected": value == str(name),
                "query_string": changelist.get_query_string({str(self.parameter_name): name}),
                "display": title,
            }


class StateFilter(_FilterWithDefault):
    """Deleted ones are hidden until they are asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [
            ("kept", "Not deleted"),
            ("corrupt", "Corrupt"),
            ("pending", "Deletion waits for the store"),
            ("deleted", "Deleted"),
            ("all", "All"),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> QuerySet[Conversation]:
        """The rows of the choice."""
        by_state = {
            "corrupt": Q(corrupt=True),
            "pending": Q(deletion_pending=True),
            "deleted": Q(active=False),
            "all": Q(),
        }
        return queryset.filter(by_state.get(self.value() or "", Q(active=True)))


class WaitingFilter(admin.SimpleListFilter):
    """By what became of their turns."""

    title = "turns"
    parameter_name = "turns"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("pending", "Waiting turns"), ("dead", "Dead letters")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> QuerySet[Conversation]:
        """The rows of the choice."""
        choices = {
            "pending": to_be_stored(timezone.now()),
            "dead": Q(state=Turn.State.DEAD_LETTER),
        }
        choice = choices.get(self.value() or "")
        if choice is None:
            return queryset
        turns = Turn.objects.filter(choice).order_by()
        # The users first: few have such turns, and conversations may be a million.
        return queryset.filter(user_id__in=turns.values("user_id")).filter(
            Exists(
                turns.filter(
                    user_id=OuterRef("user_id"), conversation_id=OuterRef("conversation_id")
                )
            )
        )


class ExpiryFilter(admin.SimpleListFilter):
    """By when they expire."""

    title = "expiry"
    parameter_name = "expires"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [
            ("past", "Has expired"),
            ("day", "Within 24 hours"),
            ("week", "Within 7 days"),
            ("later", "Later"),
            ("unknown", "Not stored yet"),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Conversation]
    ) -> QuerySet[Conversation]:
        """The rows of the choice."""
        now = timezone.now()
        week = now + timedelta(days=7)
        choices = {
            "past": Q(expires_at__lte=now),
            "day": Q(expires_at__gt=now, expires_at__lte=now + timedelta(days=1)),
            "week": Q(expires_at__gt=now, expires_at__lte=week),
            "later": Q(expires_at__gt=week),
            "unknown": Q(expires_at=None),
        }
        return queryset.filter(choices.get(self.value() or "", Q()))


class _AgeFilter(admin.SimpleListFilter):
    """By how long ago something happened."""

    field: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [
            ("day", "In the last 24 hours"),
            ("week", "In the last 7 days"),
            ("month", "In the last 30 days"),
            ("older", "Longer ago"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of the choice."""
        days = {"day": 1, "week": 7, "month": 30, "older": 30}.get(self.value() or "")
        if days is None:
            return queryset
        since = {f"{self.field}__gte": timezone.now() - timedelta(days=days)}
        return queryset.exclude(**since) if self.value() == "older" else queryset.filter(**since)


class UpdatedFilter(_AgeFilter):
    """By when conversations were updated."""

    title, parameter_name, field = "updated", "updated", "updated_at"


class FoundFilter(_AgeFilter):
    """By when quarantined states were found."""

    title, parameter_name, field = "found", "found", "found_at"


class AcceptedFilter(_AgeFilter):
    """By when turns were accepted."""

    title, parameter_name, field = "accepted", "accepted", "accepted_at"


class ResolvedFilter(_FilterWithDefault):
    """Resolved ones are hidden until they are asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("open", "To be repaired"), ("resolved", "Resolved"), ("all", "All")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of the choice."""
        by_state = {"resolved": Q(resolved_at__isnull=False), "all": Q()}
        return queryset.filter(by_state.get(self.value() or "", Q(resolved_at=None)))
