"""Filters of the lists."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from chat.models import Turn
from chat.models.turns import to_be_stored
from common.admin.lists import ChoiceFilter

FROM, TO = "updated_from", "updated_to"
Options = dict[str, tuple[str, Q]]


class StateFilter(ChoiceFilter):
    """By state. Deleted conversations are hidden until they are asked for."""

    title = parameter_name = "state"
    has_default = True

    def options(self) -> Options:
        return {
            "kept": ("Not deleted", Q(active=True)),
            "corrupt": ("Corrupt", Q(corrupt=True)),
            "pending": ("Deletion waits for the store", Q(deletion_pending=True)),
            "deleted": ("Deleted", Q(active=False)),
            "all": ("All", Q()),
        }


class WaitingFilter(ChoiceFilter):
    """Conversations with turns that wait for the store, or that it refused."""

    title = parameter_name = "turns"

    def options(self) -> Options:
        return {
            "pending": ("Waiting turns", _has_turns(to_be_stored(timezone.now()))),
            "dead": ("Dead letters", _has_turns(Q(state=Turn.State.DEAD_LETTER))),
        }


def _has_turns(condition: Q) -> Q:
    turns = Turn.objects.filter(condition).order_by()
    of_row = turns.filter(user_id=OuterRef("user_id"), conversation_id=OuterRef("conversation_id"))
    # The users first: few have such turns, and there may be a million conversations.
    return Q(user_id__in=turns.values("user_id")) & Q(Exists(of_row))


class ExpiryFilter(ChoiceFilter):
    """By when conversations expire."""

    title, parameter_name = "expiry", "expires"

    def options(self) -> Options:
        now = timezone.now()
        day, week = now + timedelta(days=1), now + timedelta(days=7)
        return {
            "past": ("Has expired", Q(expires_at__lte=now)),
            "day": ("Within 24 hours", Q(expires_at__gt=now, expires_at__lte=day)),
            "week": ("Within 7 days", Q(expires_at__gt=now, expires_at__lte=week)),
            "later": ("Later", Q(expires_at__gt=week)),
            "unknown": ("Not stored yet", Q(expires_at=None)),
        }


class ResolvedFilter(ChoiceFilter):
    """By whether quarantined states still have to be repaired."""

    title = parameter_name = "state"
    has_default = True

    def options(self) -> Options:
        return {
            "open": ("To be repaired", Q(resolved_at=None)),
            "resolved": ("Resolved", Q(resolved_at__isnull=False)),
            "all": ("All", Q()),
        }


class _AgeFilter(ChoiceFilter):
    """By how long ago the time in `field` is."""

    field: ClassVar[str]

    def options(self) -> Options:
        return {
            "day": ("In the last 24 hours", self._within(1)),
            "week": ("In the last 7 days", self._within(7)),
            "month": ("In the last 30 days", self._within(30)),
            "older": ("Longer ago", ~self._within(30)),
        }

    def _within(self, days: int) -> Q:
        return Q((f"{self.field}__gte", timezone.now() - timedelta(days=days)))


class UpdatedFilter(_AgeFilter):
    """By when conversations were last updated."""

    title, parameter_name, field = "updated", "updated", "updated_at"


class FoundFilter(_AgeFilter):
    """By when quarantined states were found."""

    title, parameter_name, field = "found", "found", "found_at"


class AcceptedFilter(_AgeFilter):
    """By when turns were accepted."""

    title, parameter_name, field = "accepted", "accepted", "accepted_at"


class UpdatedBetween(admin.ListFilter):
    """`?updated_from=2026-01-01&updated_to=2026-01-31`: both days included, in UTC.

    Either may be left out. If one is not a day, nothing is listed, and the page says why.
    """

    title = "days of the last update"
    template = "admin/chat/filter_days.html"
    parameter_names = (FROM, TO)

    def __init__(
        self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.typed = {name: params.pop(name, [""])[-1].strip() for name in self.parameter_names}
        self.conditions: dict[str, datetime] | None = None
        try:
            self.conditions = _conditions(self.typed)
        except (ValueError, OverflowError):
            words = "“Updated from” and “to” take days such as 2026-01-31. Nothing is listed."
            model_admin.message_user(request, words, messages.ERROR)

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameter_names)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield the one form of the template."""
        others = changelist.params.items()
        yield {
            "typed": self.typed,
            "others": [(name, text) for name, text in others if name not in self.parameter_names],
            "without": changelist.get_query_string(remove=list(self.parameter_names)),
            "is_used": any(self.typed.values()),
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.none() if self.conditions is None else queryset.filter(**self.conditions)


def _conditions(typed: dict[str, str]) -> dict[str, datetime]:
    found = {}
    if typed[FROM]:
        found["updated_at__gte"] = _midnight(date.fromisoformat(typed[FROM]))
    if typed[TO]:
        found["updated_at__lt"] = _midnight(date.fromisoformat(typed[TO]) + timedelta(days=1))
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
