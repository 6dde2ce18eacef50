"""The search of the start page: connectors, key ids, keys, users and conversations by their names.

Each reader finds what they may see otherwise. Nothing that users said is looked at: a conversation
is found by its id and its user, and not by its title.
"""

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import CharField, Q, Value
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from chat.models import ChatUser, Conversation
from connector_state.models import Connector, Credential
from connector_state.store.finding import Found, find_keys
from overview.health.bounded import Question

MOST = 20  # of each kind
TEXT_MAX_CHARACTERS = 255
SCAN_SECONDS, WAIT_SECONDS = 1.0, 1.5
CONNECTOR, CHAT = "connector_state.view_connector", "chat.view_conversation"


@dataclass(frozen=True, slots=True)
class Kind:
    """What was found of one kind: pairs of URL and name, and whether there may be more."""

    title: str
    links: list[tuple[str, str]]
    is_cut: bool = False
    problem: str = ""


@never_cache
def search_page(request: HttpRequest) -> HttpResponse:
    """Show what has `?q=` in its name."""
    user = request.user
    # PostgreSQL takes no NUL.
    text = request.GET.get("q", "").replace("\0", "").strip()[:TEXT_MAX_CHARACTERS]
    if not (user.has_perm(CONNECTOR) or user.has_perm(CHAT)):
        raise PermissionDenied
    context = {
        **admin.site.each_context(request),
        "title": "Search",
        "q": text,
        "kinds": list(_search(user, text)) if text else [],
    }
    return render(request, "admin/search.html", context)


def _search(user: Any, text: str) -> list[Kind]:
    found = []
    if user.has_perm(CONNECTOR):
        found += [_connectors(text), _key_ids(text)]
        if user.has_perm("connector_state.view_keys"):
            found.append(_keys(text))
    if user.has_perm(CHAT):
        found += [_users(text), _conversations(text)]
    return found


def _connectors(text: str) -> Kind:
    by_name = Connector.objects.filter(name__icontains=text)
    written = Connector.objects.annotate(written=Cast("uuid", CharField()))
    # SQLite has UUIDs without hyphens.
    by_uuid = written.filter(written__icontains=text) | written.filter(
        written__icontains=text.replace("-", "") or text
    )
    rows = {row.pk: row for rows in (by_name, by_uuid) for row in rows[: MOST + 1]}
    links = [(_url("connector_state_connector_change", pk), str(r)) for pk, r in rows.items()]
    return _kind("Connectors", links)


def _key_ids(text: str) -> Kind:
    rows = Credential.objects.filter(key_id__icontains=text).select_related("connector")
    links = [
        (_url("connector_state_credentials", row.connector_id), f"{row} of {row.connector.name}")
        for row in rows[: MOST + 1]
    ]
    return _kind("Key ids", links)


def _keys(text: str) -> Kind:
    uuids = [str(pk) for pk in Connector.objects.order_by("pk").values_list("pk", flat=True)]
    scan: Question[Found] = Question(
        lambda: find_keys(uuids, text, most=MOST, seconds=SCAN_SECONDS)
    )
    found = scan.begin()(time.monotonic() + WAIT_SECONDS).value
    if found is None:
        return Kind("Keys", [], problem="Redis does not answer, so no key was looked for.")
    names = Connector.objects.in_bulk({uuid for uuid, _ in found.keys})
    named = {str(pk): connector.name for pk, connector in names.items()}
    links = [
        (
            _url("connector_state_key", uuid, namespace=address.namespace, key=address.key),
            f"{address.namespace} / {address.key} of {named.get(uuid, uuid)}",
        )
        for uuid, address in found.keys
    ]
    return Kind("Keys", links, found.is_cut)


def _users(text: str) -> Kind:
    ids: set[str] = set()
    # Users of a foreign issuer, or of before an import, may have conversations alone.
    for model in (ChatUser, Conversation):
        rows = model._default_manager.filter(user_id__icontains=text).order_by("user_id")
        ids.update(rows.values_list("user_id", flat=True).distinct()[: MOST + 1])
    url = _url("chat_conversation_changelist")
    links = [(f"{url}?{urlencode({'q': user_id})}", user_id) for user_id in sorted(ids)]
    return _kind("Users", links)


def _conversations(text: str) -> Kind:
    wanted = Q(conversation_id__icontains=text) | Q(user_id__icontains=text)
    rows = Conversation.objects.all()
    if ":" in text:  # as logs and pages name one
        rows = rows.annotate(named=Concat("user_id", Value(":"), "conversation_id"))
        wanted |= Q(named__icontains=text)
    rows = rows.filter(wanted)[: MOST + 1]
    links = [(_url("chat_conversation_change", row.pk), str(row)) for row in rows]
    return _kind("Conversations", links)


def _kind(title: str, links: list[tuple[str, str]]) -> Kind:
    return Kind(title, links[:MOST], len(links) > MOST)


def _url(page: str, *arguments: Any, **query: str) -> str:
    url = reverse(f"admin:{page}", args=arguments)
    return f"{url}?{urlencode(query)}" if query else url
