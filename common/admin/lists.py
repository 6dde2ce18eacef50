"""Columns and filters of admin's lists."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString


class ChoiceFilter(admin.SimpleListFilter):
    """Filters a list by one of several conditions.

    With `has_default` the first option holds until another is chosen.
    """

    has_default: ClassVar[bool] = False

    def options(self) -> dict[str, tuple[str, Q]]:
        """Return the label and the condition of each value of the query parameter."""
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, label) for value, (label, _) in self.options().items()]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        choices = list(super().choices(changelist))
        if self.has_default:
            del choices[0]  # Django's own "All"
            choices[0]["selected"] |= not self.value()
        return iter(choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        options = self.options()
        default = next(iter(options.values())) if self.has_default else ("", Q())
        _, condition = options.get(self.value() or "", default)
        return queryset.filter(condition)


def column(show: Callable[[Any], Any], field: str, title: str) -> Callable[[Any, Any], Any]:
    """Return a method of a ModelAdmin that shows a field of each row, and sorts by it."""

    @admin.display(description=title, ordering=field)
    def cell(model_admin: Any, row: Any) -> Any:
        return show(getattr(row, field))

    return cell


def when(moment: datetime | None) -> SafeString | None:
    """Return a time for a cell of a list, which may break it after the day."""
    if moment is None:
        return None
    day, hour = date_format(moment, "DATETIME_FORMAT").split(" ", 1)
    return format_html('<span class="when">{}</span> <span class="when">{}</span>', day, hour)


def is_own_lookup(list_filter: Any, lookup: str) -> bool:
    """Whether one of a list's own filters takes this query parameter.

    Django allows more, and with `title__regex` a request could compute for ever.
    """
    for each in list_filter:
        names = getattr(each, "parameter_names", None) or [
            getattr(each, "parameter_name", f"{each}__exact")
        ]
        if lookup in names:
            return True
    return False
