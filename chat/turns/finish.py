"""Step 4: what came of a turn is kept in its row, before anybody is told."""

from django.utils import timezone

from chat.deadline import Deadline
from chat.errors import ModelFailed
from chat.locks import busy_if_locked, user_locked
from chat.models import Conversation, Turn
from chat.tools.confirmation import ask_to_confirm
from chat.turns.traces import note_degraded
from common.database_busy import DatabaseBusy
from common.statements import Parameter, Update
from common.telemetry import metrics

_KEEP = Update(
    # Nothing if another process has taken the turn up since.
    lambda: Turn.objects.filter(id=Parameter("id"), lease_token=Parameter("lease_token")),
    *("state", "reply", "failure", "answered_at", "degraded", "stopped"),
    lease_until=None,
)


def finish(turn: Turn, failure: ModelFailed | None, deadline: Deadline) -> None:
    """Keep the turn's reply, or why there is none, and which tasks the reply asks about.

    A database that is busy is tried again until the deadline: the reply has been paid for.

    Raises:
        TurnConflict: the row is gone, or another process has taken it up.
        DatabaseBusy: it still is at the deadline.
    """
    turn.state = Turn.State.FAILED if failure else Turn.State.ANSWERED
    turn.failure = failure.code if failure else ""
    turn.answered_at = max(timezone.now(), turn.accepted_at)
    # A reply that was cut short asks nothing: its user did not wait for a question.
    to_confirm = [] if failure or turn.stopped else ask_to_confirm(turn)
    while True:
        try:
            _keep(turn, to_confirm)
            break
        except DatabaseBusy:
            if deadline.passed:
                raise
    became = turn.failure or ("stopped" if turn.stopped else "answered")
    metrics.TURNS.labels(became, str(turn.degraded).lower()).inc()


def _keep(turn: Turn, to_confirm: list[int]) -> None:
    # Most turns change nothing but their row: one statement, and no transaction for it.
    alone = not (to_confirm or turn.degraded)
    with busy_if_locked() if alone else user_locked(turn.user_id):
        updated = _KEEP.run(turn)
        if updated and to_confirm:
            Conversation.objects.of(turn.key).update(awaiting_confirmation=to_confirm)
        if updated and turn.degraded:
            note_degraded(turn)
    if not updated:
        raise turn.lost()
