"""The bytes of a conversation on their way into a store and out of it."""

from chat.conversations.state import (
    ConversationKey,
    ConversationState,
    InvalidConversation,
    decode,
    encode,
)
from chat.errors import StoreCorrupt, StoreRefused


def pack(state: ConversationState, max_bytes: int) -> bytes:
    """Return the bytes to store.

    Raises:
        StoreRefused: the state is no valid conversation, or it is over the limit.
    """
    try:
        raw = encode(state)
    except InvalidConversation as error:
        raise StoreRefused(f"This is no valid conversation: {error.reason}.") from error
    if len(raw) > max_bytes:
        raise StoreRefused(f"The conversation has {len(raw)} bytes; {max_bytes} are allowed.")
    return raw


def unpack(raw: bytes, key: ConversationKey, etag: str) -> ConversationState:
    """Return the conversation that stands under the key.

    Raises:
        StoreCorrupt: these bytes are not one.
    """
    try:
        return decode(raw, key)
    except InvalidConversation as error:
        raise StoreCorrupt(raw, etag, error.reason) from error
