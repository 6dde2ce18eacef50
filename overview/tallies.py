"""The counts of the start page, in words, each with the list that it counts.

Who may see a count may see its list.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.template.defaultfilters import filesizeformat
from django.urls import reverse

from overview import counts

UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Tally:
    """One count. `url` is the list of what is counted, "" if there is none.

    `is_work`: somebody has to look at it. `hint`: what the label can't say.
    """

    label: str
    text: str
    url: str = ""
    is_work: bool = False
    hint: str = ""


def connector_tallies(found: counts.ConnectorCounts, usage: tuple[int, int] | None) -> list[Tally]:
    """Connectors and what they have stored; `usage` is None when Redis does not say."""
    connectors = "connector_state_connector"
    return [
        Tally("Connectors", f"{found.total:,}", _list(connectors)),
        Tally("Enabled", f"{found.enabled:,}", _list(connectors, enabled__exact=1)),
        Tally("Disabled", f"{found.disabled:,}", _list(connectors, enabled__exact=0)),
        Tally(
            "Offline",
            f"{found.offline:,}",
            _list(connectors, offline=1),
            hint="said so at their own shutdown",
        ),
        Tally("Keys", UNKNOWN if usage is None else f"{usage[0]:,}"),
        Tally("Stored", UNKNOWN if usage is None else filesizeformat(usage[1])),
    ]


def chat_tallies(found: counts.ConversationCounts) -> list[Tally]:
    """Conversations, and what of them waits."""
    conversations = "chat_conversation"
    work = counts.count_chat_work()
    return [
        Tally("Conversations", f"{found.conversations:,}", _list(conversations)),
        Tally("Messages", f"{found.messages:,}"),
        Tally("Users", f"{counts.count_users():,}"),
        _work("Waiting turns", work.pending_turns, _list(conversations, turns="pending")),
        _work(
            "Waiting deletions",
            work.pending_deletions,
            _list(conversations, state="pending"),
        ),
        _work("Dead letters", work.dead_letters, _list("chat_deadletter")),
        _work("In quarantine", work.quarantined, _list("chat_quarantine")),
    ]


def _work(label: str, number: int, url: str) -> Tally:
    return Tally(label, f"{number:,}", url, is_work=number > 0)


def _list(model: str, **query: Any) -> str:
    """Return the address of admin's list of these."""
    url = reverse(f"admin:{model}_changelist")
    return f"{url}?{urlencode(query)}" if query else url
