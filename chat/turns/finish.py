"""Steps 4 and 6: what came of a turn is kept in its row, and later that the document has it."""

from collections.abc import Sequence

from django.db.models import DateTimeField, Q
from django.db.models.functions import Greatest
from django.utils import timezone

from chat.conversations.state import ConversationState
from chat.deadline import Deadline
from chat.errors import ModelFailed
from chat.locks import lock_user
from chat.models import Conversation, Turn
from chat.models.keyed import GIVEN_KEY
from chat.models.turns import GIVEN_TURN, TO_STORE
from chat.tools.confirmation import ask_to_confirm
from chat.turns import deletion
from chat.turns.open_conversation import expiry_from_now
from chat.turns.traces import note_degraded
from common.database.away import until_back
from common.database.busy import DatabaseBusy
from common.database.statements import Parameter, Update
from common.database.transactions import in_transaction
from common.telemetry import metrics

_KEEP = Update(
    lambda: Turn.objects.under_lease_of(GIVEN_TURN),
    *("state", "reply", "failure", "answered_at", "degraded", "stopped"),
    lease_until=None,
)
_DESCRIBE = Update(
    # The row whose deletion, if it had one, the document came after.
    lambda: Conversation.objects.of(GIVEN_KEY).filter(
        Q(deleted_at=None) | Q(deleted_at__lt=Parameter("created_at")), active=True
    ),
    *("message_count", "created_at", "expires_at"),
    updated_at=Greatest("updated_at", Parameter("changed_at", DateTimeField())),
    deletion_pending=False,
)
_MARK = Update(
    # Each lease has its own token. A row with another one was stored by somebody else, or has been
    # taken up again since it was read: what it holds now is not what the document holds.
    lambda: Turn.objects.under_lease_of(GIVEN_TURN).filter(state__in=TO_STORE),
    *("stored_at",),
    state=Turn.State.STORED,
    lease_until=None,
    lease_token="",
)


def finish(turn: Turn, failure: ModelFailed | None, deadline: Deadline) -> None:
    """Keep the turn's reply, or why there is none, and which tasks the reply asks about.

    A database that is busy or away is tried again until the deadline: the reply has been paid for.

    Raises:
        TurnConflict: the row is gone, or another process has taken it up.
        DatabaseBusy, django.db.Error: it still is at the deadline.
    """
    turn.state = Turn.State.FAILED if failure else Turn.State.ANSWERED
    turn.failure = failure.code if failure else ""
    turn.answered_at = max(timezone.now(), turn.accepted_at)
    to_confirm: list[int] = []
    if not (failure or turn.stopped):  # one that was cut short asks nothing: nobody waited for it
        to_confirm = until_back(lambda _: ask_to_confirm(turn), deadline.at)
    was_tried = False

    def keep(is_repeated: bool) -> None:
        _keep(turn, to_confirm, is_repeated or was_tried)

    while True:
        try:
            until_back(keep, deadline.at)
            break
        except DatabaseBusy:
            if deadline.passed:
                raise
            was_tried = True
    became = turn.failure or ("stopped" if turn.stopped else "answered")
    metrics.TURNS.labels(became, str(turn.degraded).lower()).inc()


def _keep(turn: Turn, to_confirm: list[int], is_repeated: bool) -> None:
    # Most turns change nothing but their row, which needs no lock.
    alone = not (to_confirm or turn.degraded or is_repeated)

    def write() -> int:
        if is_repeated and _is_kept(turn):
            return 1
        if alone:
            return _KEEP.run(turn)
        lock_user(turn.user_id)
        updated = _KEEP.run(turn)
        if updated and to_confirm:
            Conversation.objects.of(turn.key).update(awaiting_confirmation=to_confirm)
        if updated and turn.degraded:
            note_degraded(turn)
        return updated

    if not in_transaction(write, is_one_statement=alone):
        raise turn.lost()


def _is_kept(turn: Turn) -> bool:
    """Whether it was written, though the answer was lost. It may even have been stored since."""
    return Turn.objects.filter(pk=turn.pk, answered_at=turn.answered_at).exists()


def mark_stored(turns: Sequence[Turn], state: ConversationState) -> bool:
    """Step 6. Return False if the conversation was deleted meanwhile, this document of it anyhow.

    The index row says so. That a turn's row is gone does not: another worker may have stored the
    turn, and its row was pruned since.
    """

    def write() -> bool:
        lock_user(state.user_id)
        if not _DESCRIBE.run(
            user_id=state.user_id,
            conversation_id=state.conversation_id,
            message_count=len(state.messages),
            created_at=state.created_at,
            changed_at=state.updated_at,
            expires_at=expiry_from_now(),
        ):
            return False
        now = timezone.now()
        marked = sum(
            _MARK.run(id=turn.pk, lease_token=turn.lease_token, stored_at=now) for turn in turns
        )
        return marked == len(turns) or not deletion.deleted_of(turns)

    return in_transaction(write, may_be_lost=True)
