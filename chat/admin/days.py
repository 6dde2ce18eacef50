"""A filter that takes two days, typed or picked."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

FROM, TO = "updated_from", "updated_to"


class UpdatedBetween(admin.ListFilter):
    """`?updated_from=2026-01-01&updated_to=2026-01-31`: both days included, in UTC.

    Either may be left out. With what is no day, nothing is listed, and the page says why.
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
        """Always: it is a form."""
        return True

    def expected_parameters(self) -> list[str | None]:
        """The names in the query."""
        return list(self.parameter_names)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """The one thing that the template needs: the form."""
        others = changelist.params.items()
        yield {
            "typed": self.typed,
            "others": [(name, text) for name, text in others if name not in self.parameter_names],
            "without": changelist.get_query_string(remove=list(self.parameter_names)),
            "is_used": any(self.typed.values()),
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of these days."""
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
