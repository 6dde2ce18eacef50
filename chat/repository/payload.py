"""Encode a conversation for the store, and decode what the store returns."""

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
        StoreRefused: the state is not a valid conversation, or it is over the limit.
    """
    try:
        raw = encode(state)
    except InvalidConversation as error:
        raise StoreRefused(f"This is not a valid conversation: {error.reason}.") from error
    if len(raw) > max_bytes:
        raise StoreRefused(f"The conversation has {len(raw)} bytes; {max_bytes} are allowed.")
    return raw


def unpack(raw: bytes, key: ConversationKey, etag: str) -> ConversationState:
    """Return the conversation in the bytes stored under the key.

    Raises:
        StoreCorrupt: they are not a valid conversation of this key.
    """
    try:
        return decode(raw, key)
    except InvalidConversation as error:
        raise StoreCorrupt(raw, etag, error.reason) from error
