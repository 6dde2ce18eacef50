"""What happened to a conversation, in one list: what its index row, its turns and the events say.

Nothing in it was said by the user: times and states, for those too who may not read.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils import timezone
from django.utils.formats import date_format

from chat.conversations.state import ConversationKey, ConversationState
from chat.models import Conversation, Turn
from chat.repository import TITLE
from common.events.models import Event
from common.events.outages import events_of

ENTRIES_MAX = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened. `by` is an operator, "" for the user or the service.

    `is_trouble`: it may be why context was lost.
    """

    at: datetime
    words: str
    by: str = ""
    is_trouble: bool = False


TROUBLE = frozenset(
    {Event.Kind.DEGRADED, Event.Kind.QUARANTINE, Event.Kind.DEAD_LETTER, Event.Kind.EXPIRY}
)


def timeline(row: Conversation, state: ConversationState | None) -> list[Entry]:
    """Return what happened, newest first, ENTRIES_MAX at most.

    Args:
        row: of the index.
        state: the document with the turns that wait, None when it could not be read.
    """
    events = list(Event.objects.filter(**row.event_subject)[:ENTRIES_MAX])
    entries = [*_of_row(row), *_turns(row.key, state), *map(_entry, events)]
    began = min([row.created_at, *(event.at for event in events)])
    ended_later = Q(ended_at=None) | Q(ended_at__gte=began)
    entries += map(_outage, events_of(TITLE).filter(ended_later)[:ENTRIES_MAX])
    return sorted(entries, key=lambda entry: entry.at, reverse=True)[:ENTRIES_MAX]


def degraded_turns(key: ConversationKey) -> dict[str, str]:
    """Return the ids of the conversation's turns that were answered degraded, and why."""
    events = Event.objects.filter(
        kind=Event.Kind.DEGRADED, user_id=key.user_id, conversation_id=key.conversation_id
    )
    return dict(events.values_list("turn_id", "message"))


def _of_row(row: Conversation) -> list[Entry]:
    entries = [Entry(row.created_at, "Begun.")] if row.active else []
    if row.deleted_at:
        entries.append(Entry(row.deleted_at, "Deleted."))
    if row.expires_at is not None and row.has_expired(timezone.now()):
        entries.append(Entry(row.expires_at, "Expired.", is_trouble=True))
    return entries


def _turns(key: ConversationKey, state: ConversationState | None) -> list[Entry]:
    """Return an entry for each message of the user; without a document, for each row."""
    if state is None:
        return [Entry(turn.accepted_at, "A message.") for turn in Turn.objects.of(key)]
    times = [message.timestamp for message in state.messages if message.role == "user"]
    return [Entry(at, "A message.") for at in times]


def _entry(event: Event) -> Entry:
    return Entry(event.at, event.message, event.actor, event.kind in TROUBLE)


def _outage(event: Event) -> Entry:
    ended = event.ended_at
    until = f"It ended {date_format(ended, 'DATETIME_FORMAT')}." if ended else "It goes on."
    return Entry(event.at, f"{event.message} {until}", is_trouble=True)
