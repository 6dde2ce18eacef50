"""Numbers for conversations that begin without an id: integers that their user has never had.

The database knows those that it has given out, also of deleted conversations. One that was lost or
begun anew does not; then the store says that a number is taken.
"""

from django.utils import timezone

from chat.conversations.state import ConversationKey
from chat.locks import user_locked
from chat.models import ChatUser, Conversation, Turn
from chat.turns.document import Snapshot, describe, index_row, reads_as_integer, save_row


def unused_id(user_id: str, step: int = 1) -> str:
    """Return the next number that the database has not given out, `step` on from the last one.

    The caller holds the user's lock.
    """
    user, _ = ChatUser.objects.get_or_create(pk=user_id)
    while True:
        user.last_conversation_id += step
        conversation_id = str(user.last_conversation_id)
        if index_row(ConversationKey(user_id, conversation_id)) is None:
            user.save(update_fields=["last_conversation_id"])
            return conversation_id
        step = 1


def is_never_given_out_again(user: ChatUser, conversation_id: str) -> bool:
    """Whether no new conversation gets this id, also without its index row."""
    if not reads_as_integer(conversation_id):
        return True
    return int(conversation_id) <= user.last_conversation_id


def renumber(turn: Turn, taken: Snapshot, tries: int) -> Conversation | None:
    """Move the turn into a conversation with another number, because its own is taken.

    Args:
        turn: the only one of its conversation; changed here.
        taken: what the store has under its number, which the index row describes from now on.
        tries: how many numbers were taken before: the next one is the farther away.

    Return the new index row, None when the turn is gone.
    """
    with user_locked(turn.user_id):
        row = index_row(ConversationKey(turn.user_id, turn.conversation_id))
        if row is None or taken.state is None:
            return None
        title = row.title
        row.title = ""
        if row.updated_at == turn.accepted_at:  # nobody else has used it since
            row.updated_at = taken.state.updated_at
        describe(row, taken.state, taken.expires_at)
        save_row(row)
        turn.conversation_id = unused_id(turn.user_id, step=10**tries)
        Turn.objects.filter(pk=turn.pk).update(conversation_id=turn.conversation_id)
        return Conversation.objects.create(
            user_id=turn.user_id,
            conversation_id=turn.conversation_id,
            id_is_integer=True,
            title=title,
            created_at=turn.accepted_at,
            updated_at=max(turn.accepted_at, timezone.now()),
        )
