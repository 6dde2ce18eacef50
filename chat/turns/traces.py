"""What stays known of a turn that the store did not take at once: one event for each turn.

The turn's row goes a day after it is stored, the event with its conversation.
"""

from django.utils import timezone

from chat.models import Conversation, Turn
from chat.moments import microseconds
from chat.repository import TITLE
from common.events import outages
from common.events.models import Event

WHY = {
    "chat_store_unavailable": "the conversation store did not answer",
    "conversation_corrupt": "what is stored could not be read",
    "conversation_changed": "others were writing to the conversation",
    "busy": "the database was too busy",
}


def note_degraded(turn: Turn) -> None:
    """Record that the turn is answered degraded, and count it to the outage, if there is one."""
    why = WHY.get(turn.degraded_by, "the store failed")
    _note(turn, Event.Kind.DEGRADED, f"Answered degraded: {why}.")
    outages.count_waiting_turn(TITLE)


def note_dead_letter(turn: Turn) -> None:
    """Record that the store refuses the turn for good."""
    _note(turn, Event.Kind.DEAD_LETTER, "The store refuses a turn for good: it is a dead letter.")


def note_expiry(row: Conversation, message: str) -> None:
    """Record that a conversation has expired, as the row says, which is about to change."""
    at = row.expires_at or timezone.now()
    event = Event(
        at=at,
        kind=Event.Kind.EXPIRY,
        area=Event.Area.CHAT,
        message=message,
        aggregate=f"expiry {row.pk} {microseconds(at)}",
        **row.event_subject,
    )
    Event.objects.bulk_create([event], ignore_conflicts=True)


def _note(turn: Turn, kind: Event.Kind, message: str) -> None:
    event = Event(
        kind=kind,
        area=Event.Area.CHAT,
        message=message,
        turn_id=turn.pk,
        aggregate=f"{kind} {turn.pk}",
        **turn.event_subject,
    )
    Event.objects.bulk_create([event], ignore_conflicts=True)  # a repeat may have been here
