"""Step 1: the turn becomes a row, before anybody is asked anything.

An `Idempotency-Key` is unique per user: a repeat gets the turn that is there.
"""

import hashlib
import json
import math
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from chat.conversations.state import ConversationKey
from chat.errors import RateLimited, TurnConflict
from chat.locks import user_locked
from chat.models import Conversation, Turn, title_of
from chat.moments import MICROSECOND, microseconds
from chat.turns.confirmation import confirmed_deletes
from chat.turns.document import index_row, save_row
from chat.turns.numbering import unused_id
from chat.turns.pruning import prune_now_and_then
from chat.turns.waiting import TO_STORE

# A turn's own deadline ends before its lease does.
LEASE_MARGIN_SECONDS = 5
REPEAT_SECONDS_MAX = 5


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a client sends. `conversation_id` in the client's own type, None for a new one."""

    user_id: str
    message: str
    conversation_id: int | str | None = None
    idempotency_key: str | None = None

    @property
    def digest(self) -> str:
        """What must be the same for a repeat to be one."""
        body = json.dumps([self.conversation_id, self.message])
        return hashlib.sha256(body.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The turn of a request; `is_answered` when it has its answer from an earlier request.

    `conversation` is the index row as it is then, None: it was not looked at. `is_numbered`: this
    request got a conversation of its own, under a new number. `others_wait`: other turns of the
    conversation are not stored yet, as far as is known.
    """

    turn: Turn
    is_answered: bool
    conversation: Conversation | None = None
    is_numbered: bool = False
    others_wait: bool = True


def accept(request: ChatRequest) -> Accepted:
    """Insert the turn under a lease, or take up the one that this request repeats.

    Raises:
        TurnConflict: the key was used with another body, or its turn is under way.
        RateLimited: the user has CHAT_MAX_TURNS_PER_USER turns under way.
    """
    with user_locked(request.user_id):
        now = timezone.now()
        if request.idempotency_key is not None and (earlier := _repeated(request)):
            return _take_up(earlier, now)
        others = _check_turns_under_way(request.user_id, now)
        conversation = _enter_conversation(request, now)
        turn = Turn(
            user_id=request.user_id,
            conversation_id=conversation.conversation_id,
            id_is_integer=not isinstance(request.conversation_id, str),
            accepted_at=_next_time(conversation, now),
            message=request.message,
            confirmed_deletes=confirmed_deletes(conversation, request.message),
            idempotency_key=request.idempotency_key,
            body_digest=request.digest,
        )
        # Sorts as accepted_at does.
        turn.id = f"{microseconds(turn.accepted_at):014x}{secrets.token_hex(5)}"
        conversation.updated_at = turn.accepted_at
        _save(conversation)
        _lease(turn, now)
        turn.save(force_insert=True)
        prune_now_and_then(request.user_id, now)
    return Accepted(
        turn,
        is_answered=False,
        conversation=conversation,
        is_numbered=request.conversation_id is None,
        others_wait=any(other.conversation_id == turn.conversation_id for other in others),
    )


def _repeated(request: ChatRequest) -> Turn | None:
    turn = Turn.objects.filter(
        user_id=request.user_id, idempotency_key=request.idempotency_key
    ).first()
    if turn is not None and turn.body_digest != request.digest:
        raise TurnConflict(
            "This Idempotency-Key was used with another body.", code="idempotency_key_reused"
        )
    return turn


def _take_up(turn: Turn, now: datetime) -> Accepted:
    if turn.reply is not None:
        return Accepted(turn, is_answered=True)
    if turn.lease_until is not None and turn.lease_until > now:
        left = (turn.lease_until - now).total_seconds()
        raise TurnConflict(
            "This message is being answered.",
            code="turn_in_progress",
            retry_after_seconds=min(math.ceil(left), REPEAT_SECONDS_MAX),
        )
    _check_turns_under_way(turn.user_id, now)
    turn.state, turn.failure = Turn.State.ACCEPTED, ""
    _lease(turn, now)
    turn.save(update_fields=["state", "failure", "lease_until", "lease_token"])
    return Accepted(turn, is_answered=False)


def _lease(turn: Turn, now: datetime) -> None:
    turn.lease_token = secrets.token_hex(16)
    turn.lease_until = now + timedelta(seconds=settings.CHAT_TURN_SECONDS + LEASE_MARGIN_SECONDS)


def _turns_not_stored(user_id: str) -> list[Turn]:
    """Return the user's turns that are under way or wait for the store, without their contents."""
    turns = Turn.objects.filter(user_id=user_id, state__in=(Turn.State.ACCEPTED, *TO_STORE))
    return list(turns.order_by().only("conversation_id", "state", "lease_until"))


def _check_turns_under_way(user_id: str, now: datetime) -> list[Turn]:
    """Return the user's turns that are not stored; raise RateLimited if too many are under way."""
    others = _turns_not_stored(user_id)
    under_way = sum(
        turn.state == Turn.State.ACCEPTED
        and turn.lease_until is not None
        and turn.lease_until > now
        for turn in others
    )
    if under_way >= settings.CHAT_MAX_TURNS_PER_USER:
        raise RateLimited(
            f"At most {settings.CHAT_MAX_TURNS_PER_USER} messages are answered at a time.",
            code="too_many_turns",
        )
    return others


def _enter_conversation(request: ChatRequest, now: datetime) -> Conversation:
    """Return the index row of the request's conversation, made or brought back to life."""
    if request.conversation_id is None:
        conversation_id = unused_id(request.user_id)
    else:
        conversation_id = str(request.conversation_id)
    conversation = index_row(ConversationKey(request.user_id, conversation_id))
    if conversation is None:
        conversation = Conversation(
            user_id=request.user_id,
            conversation_id=conversation_id,
            id_is_integer=not isinstance(request.conversation_id, str),
            created_at=now,
            expires_at=None,
        )
    elif not conversation.active or _has_expired(conversation, now):
        revive(conversation, now)
    if not conversation.title:
        conversation.title = title_of(request.message)
    return conversation


def revive(conversation: Conversation, now: datetime) -> None:
    """Let a conversation that was deleted, or has expired, begin anew (not saved yet).

    Of one that has expired, the user's own title stays: the store may have it all the same.
    """
    if not (conversation.active and conversation.title_renamed):
        conversation.title, conversation.title_renamed = "", False
    conversation.active = True
    conversation.message_count = 0
    conversation.expires_at = None
    conversation.created_at = now
    if conversation.deleted_at is not None:
        conversation.created_at = max(now, conversation.deleted_at + MICROSECOND)


def _save(conversation: Conversation) -> None:
    """Save what a message changes: of a conversation that goes on, little."""
    if conversation.pk is None or not conversation.message_count:
        save_row(conversation)
    else:
        conversation.save(update_fields=["updated_at", "title", "awaiting_confirmation"])


def _has_expired(conversation: Conversation, now: datetime) -> bool:
    return conversation.expires_at is not None and conversation.expires_at <= now


def _next_time(conversation: Conversation, now: datetime) -> datetime:
    """Return now, or the first moment after what came before in it: clocks may step back.

    That is the conversation's last turn, and its deletion.
    """
    if conversation.deleted_at is not None:
        now = max(now, conversation.deleted_at + MICROSECOND)
    if conversation.updated_at < now:  # it is no earlier than its last turn
        return now
    last = (
        Turn.objects.filter(
            user_id=conversation.user_id, conversation_id=conversation.conversation_id
        )
        .order_by("-id")
        .values_list("accepted_at", flat=True)
        .first()
    )
    return now if last is None else max(now, last + MICROSECOND)
