"""Step 4: what came of a turn is kept in its row, before anybody is told."""

from django.utils import timezone

from chat.errors import ModelFailed
from chat.locks import user_locked
from chat.models import Conversation, Turn
from chat.tools.confirmation import ask_to_confirm

_OUTCOME = ("state", "reply", "failure", "answered_at", "degraded", "stopped")


def finish(turn: Turn, failure: ModelFailed | None) -> None:
    """Keep the turn's reply, or why there is none, and which tasks the reply asks about.

    Raises:
        TurnConflict: the row is gone, or another process has taken it up.
    """
    turn.state = Turn.State.FAILED if failure else Turn.State.ANSWERED
    turn.failure = failure.code if failure else ""
    turn.answered_at = max(timezone.now(), turn.accepted_at)
    # A reply that was cut short asks nothing: its user did not wait for a question.
    to_confirm = [] if failure or turn.stopped else ask_to_confirm(turn)
    outcome = {name: getattr(turn, name) for name in _OUTCOME}
    with user_locked(turn.user_id):
        updated = Turn.objects.under_lease_of(turn).update(lease_until=None, **outcome)
        if updated and to_confirm:
            Conversation.objects.of(turn.key).update(awaiting_confirmation=to_confirm)
    if not updated:
        raise turn.lost()
