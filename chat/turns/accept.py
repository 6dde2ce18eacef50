"""Step 1: the turn becomes a row, before anybody is asked anything.

An `Idempotency-Key` is unique per user: a repeat gets the turn that the first request made.
"""

import hashlib
import json
import math
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.errors import RateLimited, TokenRefused, TurnConflict
from chat.locks import user_for_update
from chat.models import ChatUser, Conversation, Turn
from chat.models.keyed import GIVEN_KEY
from chat.models.turns import TO_STORE, lease_length
from chat.moments import MICROSECOND, microseconds
from chat.tools.confirmation import confirmed_deletes
from chat.turns.open_conversation import OpenConversation
from chat.turns.pruning import prune_now_and_then
from chat.turns.traces import note_expiry
from common.database.statements import Insert, Parameter, Select
from common.database.transactions import in_transaction

_Refusal = TokenRefused | TurnConflict | RateLimited

REPEAT_SECONDS_MAX = 5
TURN_IN_PROGRESS = "turn_in_progress"

_NOT_STORED = Select(
    lambda: (
        Turn.objects.filter(
            user_id=Parameter("user_id"), state__in=(Turn.State.ACCEPTED, *TO_STORE)
        )
        .order_by()
        .only("conversation_id", "state", "lease_until")
    )
)
_FROM_NOW_ON = Select(
    lambda: (
        Turn.objects.of(GIVEN_KEY)
        .filter(Q(accepted_at__gte=Parameter("now")) | Q(answered_at__gte=Parameter("now")))
        .order_by()
        .only("accepted_at", "answered_at")
    )
)
_NEW_TURN = Insert(Turn)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A client's message. `conversation_id` in the client's own type, None for a new one.

    `asked_at` is when it came, `issued_at` when its token was issued, None where that does not say.
    """

    user_id: str
    message: str
    conversation_id: int | str | None = None
    idempotency_key: str | None = None
    asked_at: datetime = field(default_factory=timezone.now)
    issued_at: datetime | None = field(default_factory=timezone.now)

    @property
    def digest(self) -> str:
        """A digest of what must be the same in a repeat."""
        body = json.dumps([self.conversation_id, self.message])
        return hashlib.sha256(body.encode()).hexdigest()


@dataclass(slots=True)
class Accepted:
    """A turn under its lease, with what is known of its conversation: what steps 2 to 6 work on.

    `is_answered`: it has its answer from an earlier request. `is_numbered`: the request began a
    conversation under a new number. `others_wait`: other turns of the conversation are not stored
    yet, as far as is known.
    """

    turn: Turn
    conversation: OpenConversation
    is_answered: bool = False
    is_numbered: bool = False
    others_wait: bool = True


def accept(request: ChatRequest) -> Accepted:
    """Insert the turn under a lease, or take up the one that this request repeats.

    It has CHAT_TURN_SECONDS from now on.

    Raises:
        TurnConflict: the key was used with another body, or its turn is under way.
        TokenRefused: all of the user was removed since the token was issued, or the request came.
        RateLimited: the user has CHAT_MAX_TURNS_PER_USER turns under way.
        DatabaseBusy: see in_transaction.
    """
    deadline = Deadline(settings.CHAT_TURN_SECONDS)
    outcome = in_transaction(lambda: _accept(request, deadline))
    if isinstance(outcome, Accepted):
        return outcome
    if not isinstance(outcome, TokenRefused):
        # Turns under way are in its way.
        Turn.objects.filter(user_id=request.user_id).shorten_leases()
    raise outcome


def _accept(request: ChatRequest, deadline: Deadline) -> Accepted | _Refusal:
    """Return the turn under its lease. What is refused has written nothing."""
    user = user_for_update(request.user_id)
    now = timezone.now()
    # A request may take its time: what was removed meanwhile must not begin again.
    if user.refuses_now(request.issued_at, request.asked_at):
        return TokenRefused("The token is from before its user was removed. Log in again.")
    try:
        turn = _repeated(request, now)
        others = [] if turn else _turns_not_stored(request.user_id, now)
    except (TurnConflict, RateLimited) as refusal:
        return refusal
    if turn is not None:
        conversation = OpenConversation(turn.key, deadline)
        return Accepted(turn, conversation, is_answered=turn.reply is not None)
    row = _enter_conversation(request, user, now)
    turn = _insert(request, row, now)
    prune_now_and_then(request.user_id, now)
    return Accepted(
        turn,
        OpenConversation(turn.key, deadline, row),
        is_numbered=request.conversation_id is None,
        others_wait=any(other.conversation_id == row.conversation_id for other in others),
    )


def _repeated(request: ChatRequest, now: datetime) -> Turn | None:
    """Return the turn that this request repeats; lease it again, unless it was answered."""
    if request.idempotency_key is None:
        return None
    turns = Turn.objects.filter(user_id=request.user_id, idempotency_key=request.idempotency_key)
    turn = turns.first()
    if turn is None:
        return None
    if turn.body_digest != request.digest:
        raise TurnConflict(
            "This Idempotency-Key was used with another body.", code="idempotency_key_reused"
        )
    if turn.reply is None:
        _take_up(turn, now)
    return turn


def _take_up(turn: Turn, now: datetime) -> None:
    if left := turn.seconds_under_way(now):
        raise TurnConflict(
            "This message is being answered.",
            code=TURN_IN_PROGRESS,
            retry_after_seconds=min(math.ceil(left), REPEAT_SECONDS_MAX),
        )
    _turns_not_stored(turn.user_id, now)
    turn.state, turn.failure, turn.stopped = Turn.State.ACCEPTED, "", False
    _lease(turn, now)
    turn.save(update_fields=["state", "failure", "stopped", "lease_until", "lease_token"])
    turn.degraded = False  # it was, perhaps, at the first attempt


def _lease(turn: Turn, now: datetime) -> None:
    # A new token each time: whoever had the turn before can change nothing of it any more.
    turn.lease_token = secrets.token_hex(16)
    turn.lease_until = now + lease_length()


def _turns_not_stored(user_id: str, now: datetime) -> list[Turn]:
    """Return the user's turns that are not stored, without their contents.

    Raises:
        RateLimited: too many of them are being answered.
    """
    others = _NOT_STORED.rows(user_id=user_id)
    under_way = sum(turn.seconds_under_way(now) > 0 for turn in others)
    if under_way >= settings.CHAT_MAX_TURNS_PER_USER:
        raise RateLimited(
            f"At most {settings.CHAT_MAX_TURNS_PER_USER} messages are answered at a time.",
            code="too_many_turns",
        )
    return others


def _enter_conversation(request: ChatRequest, user: ChatUser, now: datetime) -> Conversation:
    """Return the index row of the request's conversation, made or revived (not saved)."""
    conversation = None
    if request.conversation_id is None:
        conversation_id = user.next_conversation_id()
    else:
        conversation_id = str(request.conversation_id)
        key = ConversationKey(request.user_id, conversation_id)
        conversation = Conversation.at(key)
    if conversation is None:
        conversation = Conversation(
            user_id=request.user_id,
            conversation_id=conversation_id,
            id_is_integer=not isinstance(request.conversation_id, str),
            created_at=now,
        )
    elif not conversation.active or conversation.has_expired(now):
        if conversation.active and conversation.message_count:
            note_expiry(conversation, "Expired: the next message begins it again.")
        conversation.revive(now)
    return conversation


def _insert(request: ChatRequest, conversation: Conversation, now: datetime) -> Turn:
    """Insert the turn, and save what it changes of its conversation's row."""
    accepted_at = _next_time(conversation, now)
    turn = Turn(
        # Sorts as accepted_at does.
        id=f"{microseconds(accepted_at):014x}{secrets.token_hex(5)}",
        user_id=request.user_id,
        conversation_id=conversation.conversation_id,
        id_is_integer=not isinstance(request.conversation_id, str),
        accepted_at=accepted_at,
        message=request.message,
        confirmed_deletes=confirmed_deletes(conversation, request.message),
        idempotency_key=request.idempotency_key,
        body_digest=request.digest,
    )
    _lease(turn, now)
    conversation.take_up(turn.message, accepted_at)
    _NEW_TURN.run(turn)
    return turn


def _next_time(conversation: Conversation, now: datetime) -> datetime:
    """Return now, or the first moment after all of the conversation's turns and its deletion.

    Clocks may step back, and ids sort by this time.
    """
    now = conversation.after_deletion(now)
    if conversation.updated_at < now:  # it is no earlier than the last turn
        return now
    key = conversation.key
    turns = _FROM_NOW_ON.rows(user_id=key.user_id, conversation_id=key.conversation_id, now=now)
    times = [moment for turn in turns for moment in (turn.accepted_at, turn.answered_at) if moment]
    return max([now, *(moment + MICROSECOND for moment in times)])
