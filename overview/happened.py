"""The page of what happened: events of connectors, conversations, accounts and stores.

Each reader sees those of what they may see otherwise.
"""

import re
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from chat.models import Conversation
from chat.moments import microseconds, moment_of
from common.events.models import Event
from connector_state.credentials.counters.refusals import record_as_events
from connector_state.models import Connector
from overview.health.bounded import Question
from overview.health.probes import PROBE_SECONDS

PAGE = 100
PERMISSIONS = {
    Event.Area.STATE: "connector_state.view_connector",
    Event.Area.CHAT: "chat.view_conversation",
    Event.Area.ACCOUNTS: "auth.view_user",
}
# An outage, a night, or an operator who looks for something has many.
MANY = (Event.Kind.DEGRADED, Event.Kind.EXPIRY, Event.Kind.READ)
FILTERS = ("kind", "from", "to", "connector", "user")
_CURSOR = re.compile(r"([0-9]{1,17})\.([0-9]{1,18})", re.ASCII)

_newest_refusals: Question[None] = Question(lambda: record_as_events(hours=2))


@dataclass(frozen=True, slots=True)
class Shown:
    """An event, and where its page links to ("": nowhere)."""

    event: Event
    url: str
    subject: str


class Unreadable(Exception):
    """A filter that was typed is not valid; the text says what it takes."""


@never_cache
def happened_page(request: HttpRequest) -> HttpResponse:
    """Show the newest events that match the filters, or those before `?before=`."""
    areas = [area for area, needed in PERMISSIONS.items() if request.user.has_perm(needed)]
    if not {Event.Area.STATE, Event.Area.CHAT}.intersection(areas):
        raise PermissionDenied  # whoever keeps accounts alone has admin's own history of them
    misses_refusals = False
    if Event.Area.STATE in areas:
        # Of the current hour, too; a Redis that does not answer holds the page up no longer.
        outcome = _newest_refusals.begin()(time.monotonic() + PROBE_SECONDS)
        misses_refusals = outcome.error is not None
    wanted = {name: text for name in FILTERS if (text := request.GET.get(name, "").strip())}
    events, error = Event.objects.filter(area__in=[*areas, Event.Area.SERVICE]), ""
    try:
        events = _matching(events, wanted)
    except Unreadable as problem:
        events, error = events.none(), str(problem)
    page = list(_before(events, request.GET)[: PAGE + 1])
    last = page[PAGE - 1] if len(page) > PAGE else None
    context = {
        **admin.site.each_context(request),
        "title": "What happened",
        "shown": _linked(page[:PAGE]),
        "kinds": Event.Kind.choices,
        "wanted": wanted,
        "from": wanted.get("from", ""),
        "error": error,
        "misses_refusals": misses_refusals,
        "newest": urlencode(wanted) if "before" in request.GET else "",
        "older": urlencode({**wanted, "before": _cursor(last)}) if last else "",
    }
    return render(request, "admin/happened.html", context)


def _matching(events: QuerySet[Event], wanted: dict[str, str]) -> QuerySet[Event]:
    """Return the events that match the filters.

    Those of MANY are left out unless they are asked for.
    """
    if kind := wanted.get("kind"):
        events = events.filter(kind=kind)
    elif "user" not in wanted:
        events = events.exclude(kind__in=MANY)
    try:
        if "from" in wanted:
            events = events.filter(at__gte=_midnight(wanted["from"]))
        if "to" in wanted:
            events = events.filter(at__lt=_midnight(wanted["to"]) + timedelta(days=1))
    except (ValueError, OverflowError):
        raise Unreadable("“From” and “to” take days such as 2026-01-31.") from None
    if "connector" in wanted:
        events = events.filter(connector_uuid__in=_connectors(wanted["connector"]))
    if "user" in wanted:
        events = events.filter(user_id=wanted["user"])
    return events


def _midnight(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), time_of_day(), UTC)


def _connectors(text: str) -> list[UUID]:
    """Return the UUIDs of the connectors that have this UUID or name."""
    try:
        return [UUID(text)]
    except ValueError:
        return list(Connector.objects.filter(name=text).values_list("pk", flat=True)[:PAGE])


def _before(events: QuerySet[Event], query: QueryDict) -> QuerySet[Event]:
    """Return those after the cursor in the order of the page; without one, all."""
    match = _CURSOR.fullmatch(query.get("before", ""))
    if match is None:
        return events
    at = moment_of(int(match[1]))
    return events.filter(Q(at__lt=at) | Q(at=at, id__lt=int(match[2])))


def _cursor(event: Event) -> str:
    return f"{microseconds(event.at)}.{event.pk}"


def _linked(events: list[Event]) -> list[Shown]:
    """Return the events with links to what is still there, in two queries."""
    uuids = {event.connector_uuid for event in events if event.connector_uuid}
    connectors = Connector.objects.filter(pk__in=uuids).in_bulk()
    rows = Conversation.objects.filter(
        user_id__in={event.user_id for event in events if event.conversation_id},
        conversation_id__in={event.conversation_id for event in events if event.conversation_id},
    )
    pairs: dict[Any, int] = {
        (user_id, conversation_id): pk
        for user_id, conversation_id, pk in rows.values_list("user_id", "conversation_id", "pk")
    }
    return [_shown(event, connectors, pairs) for event in events]


def _shown(event: Event, connectors: dict[Any, Connector], pairs: dict[Any, int]) -> Shown:
    if event.connector_uuid is not None:
        connector = connectors.get(event.connector_uuid)
        if connector is None:
            return Shown(event, "", str(event.connector_uuid))
        url = reverse("admin:connector_state_connector_change", args=[connector.pk])
        return Shown(event, url, connector.name)
    if event.conversation_id:
        name = f"{event.user_id}:{event.conversation_id}"
        pk = pairs.get((event.user_id, event.conversation_id))
        return Shown(
            event, reverse("admin:chat_conversation_change", args=[pk]) if pk else "", name
        )
    return Shown(event, "", event.user_id)
