"""The list of connectors: the columns about their use of Redis, and the filters."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html, format_html_join
from redis.exceptions import RedisError

from common.admin.lists import ChoiceFilter, when
from common.visible import visible_name
from connector_state.admin.keys.pages import keys_url
from connector_state.models import OFFLINE, Connector, Credential
from connector_state.store.scripts.connection import check_answer
from connector_state.store.usage import (
    NAMESPACES_COUNTED,
    Usage,
    key_counts,
    last_seen_at,
    last_used,
    sizes,
    usage_of,
)

logger = logging.getLogger(__name__)

Measure = Callable[[list[str]], dict[str, float]]

# The columns that are sorted by what Redis knows. To sort asks for all connectors: 20 ms for 1,000.
MEASURES: dict[str, Measure] = {"keys": key_counts, "size": sizes, "last_seen": last_used}

UNKNOWN = "unknown"
NAMESPACES_SHOWN = 3


def with_live_credentials(connectors: QuerySet[Connector]) -> QuerySet[Connector]:
    """Annotate connectors with `live_credentials`, their number."""
    live = Credential.objects.live().filter(connector=OuterRef("pk")).order_by()
    counted = live.values("connector").annotate(count=Count("pk")).values("count")
    number = Coalesce(Subquery(counted, output_field=IntegerField()), 0)
    return connectors.annotate(live_credentials=number)


def usage_or_none(connectors: Iterable[Connector]) -> dict[str, Usage] | None:
    """Return what connectors use, by UUID, or None when Redis does not answer."""
    try:
        uuids = [str(connector.pk) for connector in connectors]
        check_answer(uuids)
        return usage_of(uuids)
    except RedisError as error:
        logger.error("a page of connectors had no answer of Redis: %r", error)
        return None


class ConnectorChangeList(ChangeList):
    """A page of connectors, each with its `usage`, in one round trip to Redis.

    For those who may see keys, each has its `keys_url` too. Sorted by a column of Redis, it asks
    for that column of all connectors first.
    """

    usage_is_unknown = False

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        column, direction = self._first_sorted_column()
        try:
            if column in MEASURES:
                self.result_list = self._page_by(MEASURES[column], direction == "desc")
        except RedisError as error:
            logger.error("a list of connectors could not be sorted: %r", error)
            self.usage_is_unknown = True  # asking again would take as long again
        connectors = list(self.result_list)
        usage = None if self.usage_is_unknown else usage_or_none(connectors)
        self.usage_is_unknown = usage is None
        may_view_keys = request.user.has_perm("connector_state.view_keys")
        for connector in connectors:
            uuid = str(connector.pk)
            connector.usage = usage and usage[uuid]
            connector.keys_url = keys_url(uuid) if may_view_keys else ""
        self.result_list = connectors

    def _first_sorted_column(self) -> tuple[str, str]:
        """Return the column that was chosen to sort by, and "asc" or "desc"; "" without one."""
        columns = self.get_ordering_field_columns() if ORDER_VAR in self.params else {}
        for index, direction in columns.items():
            return str(self.list_display[int(index)]), direction
        return "", ""

    def _page_by(self, measure: Measure, is_descending: bool) -> list[Connector]:
        """Return the page of the list when it is sorted by a measure.

        Raises:
            redis.exceptions.RedisError: Redis did not answer.
        """
        rows = list(self.queryset.values_list("pk", "last_seen_at"))
        measured = measure([str(pk) for pk, _ in rows])

        def key(row: tuple[Any, datetime | None]) -> float:
            pk, last_seen_at = row
            heartbeat = last_seen_at.timestamp() if measure is last_used and last_seen_at else 0
            return max(measured[str(pk)], heartbeat)

        rows.sort(key=key, reverse=is_descending)
        if self.multi_page and not (self.show_all and self.can_show_all):
            rows = rows[(self.page_num - 1) * self.list_per_page :][: self.list_per_page]
        pks = [pk for pk, _ in rows]
        found = {connector.pk: connector for connector in self.queryset.filter(pk__in=pks)}
        return [found[pk] for pk in pks if pk in found]


def usage_column(
    title: str, show: Callable[[Any, Usage], str], ordering: Any = None
) -> Callable[[Any, Any], str]:
    """Return a column of the list that shows a connector's usage, if Redis has answered.

    Args:
        title: of the column.
        show: makes text of a connector and its usage.
        ordering: what the database sorts by when the column is clicked: it stands in when Redis
            does not answer, and tells Django that there is something to click.
    """

    @admin.display(description=title, ordering=ordering)
    def cell(model_admin: Any, connector: Any) -> str:
        return UNKNOWN if connector.usage is None else show(connector, connector.usage)

    return cell


def namespaces_in_words(connector: Any, usage: Usage) -> str:
    """Return links to the first namespaces, and how many more there are."""
    links = (
        (keys_url(str(connector.pk), namespace=namespace), visible_name(namespace))
        for namespace in usage.namespaces[:NAMESPACES_SHOWN]
    )
    shown = format_html_join(", ", '<a href="{}">{}</a>', links)
    more = len(usage.namespaces) - NAMESPACES_SHOWN
    if more <= 0:
        return shown or "none"
    at_least = "at least " if len(usage.namespaces) == NAMESPACES_COUNTED else ""
    return format_html("{} and {}{} more", shown, at_least, more)


def keys_in_words(connector: Any, usage: Usage) -> str:
    """Return the number of keys, as a link for those who may see them."""
    number = f"{usage.keys:,}"
    if not connector.keys_url:
        return number
    return format_html('<a href="{}">{}</a>', connector.keys_url, number)


def size_in_words(connector: Any, usage: Usage) -> str:
    """Return the size of all values, such as 1.5 MB."""
    return filesizeformat(usage.bytes)


def last_seen_in_words(connector: Any, usage: Usage) -> str:
    """Return when a connector enrolled or used a credential last."""
    at = last_seen_at(connector, usage)
    return when(at) or "never"


class OfflineFilter(ChoiceFilter):
    """By whether a connector is offline since its own shutdown."""

    title = parameter_name = "offline"

    def options(self) -> dict[str, tuple[str, Q]]:
        return _yes_no("Yes", "No", OFFLINE)


class OriginFilter(ChoiceFilter):
    """By whether a connector enrolled or was created by an operator."""

    title, parameter_name = "origin", "enrolled"

    def options(self) -> dict[str, tuple[str, Q]]:
        return _yes_no("Enrolled by token", "Added by hand", Q(enrolment_group__isnull=False))


class CredentialFilter(ChoiceFilter):
    """By whether a connector has a live credential."""

    title, parameter_name = "live credential", "live"

    def options(self) -> dict[str, tuple[str, Q]]:
        live = Credential.objects.live().order_by().values("connector")
        return _yes_no("At least one", "None", Q(pk__in=live))


def _yes_no(yes: str, no: str, condition: Q) -> dict[str, tuple[str, Q]]:
    return {"1": (yes, condition), "0": (no, ~condition)}


FILTERS = ("enabled", OfflineFilter, "read_only", OriginFilter, CredentialFilter)
