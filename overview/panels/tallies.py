"""The counts of the start page, each with a link to the list of what it counts.

Whoever may see a count may see its list.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.template.defaultfilters import filesizeformat
from django.urls import reverse

from chat.models import ChatUser, Conversation, Quarantine, Turn
from overview.counts import ConnectorCounts, ConversationCounts

UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Tally:
    """One count. `url` is the list of what is counted, "" if there is none.

    `is_work` marks what an operator has to look at; `hint` explains the label.
    """

    label: str
    text: str
    url: str = ""
    is_work: bool = False
    hint: str = ""


def connector_tallies(found: ConnectorCounts, usage: tuple[int, int] | None) -> list[Tally]:
    """Return the counts of connectors.

    Args:
        usage: keys and bytes; None while Redis does not answer.
    """
    connectors = "connector_state_connector"
    offline = _list(connectors, offline=1)
    return [
        Tally("Connectors", f"{found.total:,}", _list(connectors)),
        Tally("Enabled", f"{found.total - found.disabled:,}", _list(connectors, enabled__exact=1)),
        Tally("Disabled", f"{found.disabled:,}", _list(connectors, enabled__exact=0)),
        Tally("Offline", f"{found.offline:,}", offline, hint="said so at their own shutdown"),
        Tally("Keys", UNKNOWN if usage is None else f"{usage[0]:,}"),
        Tally("Stored", UNKNOWN if usage is None else filesizeformat(usage[1])),
    ]


def chat_tallies(found: ConversationCounts) -> list[Tally]:
    """Return the counts of conversations, and of what waits for the store or an operator."""
    conversations = "chat_conversation"
    waiting = Turn.objects.waiting()
    deletions = Conversation.objects.filter(deletion_pending=True)
    quarantined = Quarantine.objects.filter(resolved_at=None)
    return [
        Tally("Conversations", f"{found.conversations:,}", _list(conversations)),
        Tally("Messages", f"{found.messages:,}"),
        Tally("Users", f"{ChatUser.objects.count():,}"),
        _work("Waiting turns", waiting.count(), _list(conversations, turns="pending")),
        _work("Waiting deletions", deletions.count(), _list(conversations, state="pending")),
        _work("Dead letters", Turn.objects.dead_letters().count(), _list("chat_deadletter")),
        _work("In quarantine", quarantined.count(), _list("chat_quarantine")),
    ]


def _work(label: str, number: int, url: str) -> Tally:
    return Tally(label, f"{number:,}", url, is_work=number > 0)


def _list(model: str, **query: Any) -> str:
    """Return the URL of admin's list of a model."""
    url = reverse(f"admin:{model}_changelist")
    return f"{url}?{urlencode(query)}" if query else url
