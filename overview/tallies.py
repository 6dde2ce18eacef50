"""The counts of the start page, in words, each with the list that it counts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth import get_permission_codename
from django.db.models import Model
from django.template.defaultfilters import filesizeformat
from django.urls import NoReverseMatch, reverse

from chat.models import Conversation, Quarantine, Turn
from chat.turns.waiting import TO_STORE
from connector_state.models import Connector
from overview import counts

UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Tally:
    """One count. `url` is the list of what is counted, "" if there is none for this user.

    `is_work`: somebody has to look at it.
    """

    label: str
    text: str
    url: str = ""
    is_work: bool = False


def connector_tallies(
    user: Any, found: counts.ConnectorCounts, usage: tuple[int, int] | None
) -> list[Tally]:
    """Connectors and what they have stored; `usage` is None when Redis does not say."""
    return [
        Tally("Connectors", f"{found.total:,}", _list(user, Connector)),
        Tally("Enabled", f"{found.enabled:,}", _list(user, Connector, enabled__exact=1)),
        Tally("Disabled", f"{found.disabled:,}", _list(user, Connector, enabled__exact=0)),
        Tally("Offline", f"{found.offline:,}", _list(user, Connector, offline_at__isnull=0)),
        Tally("Keys", UNKNOWN if usage is None else f"{usage[0]:,}"),
        Tally("Stored", UNKNOWN if usage is None else filesizeformat(usage[1])),
    ]


def chat_tallies(user: Any, found: counts.ConversationCounts) -> list[Tally]:
    """Conversations, and what of them waits."""
    return [
        Tally("Conversations", f"{found.conversations:,}", _list(user, Conversation)),
        Tally("Messages", f"{found.messages:,}"),
        Tally("Users", f"{counts.count_users():,}"),
        *_work(user),
    ]


def _work(user: Any) -> Iterator[Tally]:
    found = counts.count_chat_work()
    rows: tuple[tuple[str, int, type[Model], dict[str, Any]], ...] = (
        ("Turns to be stored", found.pending_turns, Turn, {"state__in": ",".join(TO_STORE)}),
        (
            "Deletions to be carried out",
            found.pending_deletions,
            Conversation,
            {"deletion_pending__exact": 1},
        ),
        (
            "Dead letters",
            found.dead_letters,
            Turn,
            {"state__exact": Turn.State.DEAD_LETTER.value},
        ),
        ("In quarantine", found.quarantined, Quarantine, {"resolved_at__isnull": 1}),
    )
    for label, number, model, query in rows:
        yield Tally(label, f"{number:,}", _list(user, model, **query), is_work=number > 0)


def _list(user: Any, model: type[Model], **query: Any) -> str:
    """Return the address of admin's list of these, "" if this user may not see it."""
    options = model._meta
    if not user.has_perm(f"{options.app_label}.{get_permission_codename('view', options)}"):
        return ""
    try:
        url = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    except NoReverseMatch:  # there is no list of these
        return ""
    return f"{url}?{urlencode(query)}" if query else url
