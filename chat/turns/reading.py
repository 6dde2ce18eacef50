"""Step 2: the document is read, and what the assistant sees of it is chosen.

After one store call that failed, the store is not asked again in this turn: the answer is degraded,
and the row waits (chat.turns.flush).
"""

import logging
from collections.abc import Sequence
from contextlib import suppress

from django.conf import settings
from django.utils import timezone

from chat.conversations.history import remove_turn, window
from chat.conversations.state import MessageEntry
from chat.errors import StoreConflict, StoreError, TurnConflict
from chat.locks import user_locked
from chat.models import ChatUser, Conversation, Turn
from chat.models.turns import put_turns
from chat.turns.accept import Accepted
from chat.turns.flush import flush
from chat.turns.open_conversation import OpenConversation

logger = logging.getLogger(__name__)

RENUMBERINGS_MAX = 8


def read_history(accepted: Accepted) -> list[MessageEntry]:
    """Read the document, after storing what waits; return the window before the turn.

    The turn is degraded then if the store failed, and its conversation another one if the number
    of its own was taken.
    """
    turn, conversation = accepted.turn, accepted.conversation
    waiting: Sequence[Turn] = ()
    if accepted.others_wait:
        waiting = Turn.objects.of(turn.key).to_store()
        accepted.others_wait = bool(waiting)
    try:
        conversation.read()
        if accepted.is_numbered and conversation.state is not None:
            conversation = accepted.conversation = _renumbered(turn, conversation)
        if waiting:
            with suppress(StoreConflict):  # others are storing them already
                if flush(conversation.again()):
                    conversation.read()
    except StoreError as error:
        turn.degraded, turn.degraded_by = True, error.code
        logger.warning("%s goes on without the store: %s", conversation.key, error.code)
    state = conversation.state_or_new(turn.accepted_at)
    if conversation.snapshot is None:
        others = Turn.objects.of(turn.key).exclude(pk=turn.pk)
        waiting = others.newest(settings.CHAT_MESSAGE_WINDOW)
    state = put_turns(state, waiting, turn.accepted_at)
    # A turn that is taken up again may be stored already; its message is asked separately.
    state = remove_turn(state, turn.id, turn.accepted_at)
    return window(state, settings.CHAT_MESSAGE_WINDOW)


def _renumbered(turn: Turn, conversation: OpenConversation) -> OpenConversation:
    """Return a conversation under a number that the store, too, has never seen."""
    for tries in range(RENUMBERINGS_MAX):
        row = renumber(turn, conversation, tries)
        if row is None:
            raise TurnConflict()
        conversation = OpenConversation(row.key, conversation.deadline, row)
        if conversation.read().state is None:
            break
    return conversation


def renumber(turn: Turn, taken: OpenConversation, tries: int) -> Conversation | None:
    """Move the turn into a conversation with another number, because its own is taken.

    A database that was lost, or begun again, does not know which numbers it gave out. The store
    does.

    Args:
        turn: the only one of its conversation; changed here.
        taken: the conversation that the store has, which the index row describes from now on.
        tries: how many numbers were taken before: the next one is the farther away.

    Return the new index row, None when the turn is gone.
    """
    with user_locked(turn.user_id):
        row = Conversation.at(turn.key)
        if row is None or taken.snapshot is None or taken.state is None:
            return None
        title, row.title = row.title, ""
        if row.updated_at == turn.accepted_at:  # nobody else has used it since
            row.updated_at = taken.state.updated_at
        row.describe(taken.state, taken.snapshot.expires_at)
        row.save_but_lease()
        user, _ = ChatUser.objects.get_or_create(pk=turn.user_id)
        turn.conversation_id = user.next_conversation_id(step=10**tries)
        Turn.objects.filter(pk=turn.pk).update(conversation_id=turn.conversation_id)
        return Conversation.objects.create(
            user_id=turn.user_id,
            conversation_id=turn.conversation_id,
            id_is_integer=True,
            title=title,
            created_at=turn.accepted_at,
            updated_at=max(turn.accepted_at, timezone.now()),
        )
