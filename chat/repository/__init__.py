"""The store of conversations: one interface, and one module per backend.

All backends pass the same tests, and raise only the StoreErrors of chat.errors.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from django.conf import settings

from chat.conversations.state import ConversationKey, ConversationState
from common.events import outages

TITLE = "Conversation store"  # in the events of its outages


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """A conversation as it is in the store.

    `etag` is for save and delete. `expires_at` is aware, or None if the store does not tell it.
    """

    state: ConversationState
    etag: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """A description of a store that answers, such as "dapr", "statestore: state.redis/v1".

    `lacks` names the capabilities that the service needs and the store does not have.
    """

    backend: str
    description: str
    lacks: tuple[str, ...] = ()


class ConversationRepository(Protocol):
    """The interface of the store. Threads may share one.

    Each `deadline` is a time of time.monotonic(), in seconds. No call takes longer than until then,
    nor longer than CHAT_STORE_TIMEOUT_SECONDS. Every method may raise StoreUnavailable, and
    StoreRefused for a key that the store can't have (Dapr: a user id with "||").
    """

    def get(self, key: ConversationKey, deadline: float) -> StoredConversation:
        """Return the conversation stored under the key.

        Raises:
            StoreMissing: nothing is stored under the key.
            StoreCorrupt: what is stored is not a valid conversation; it is left as it is.
        """
        ...

    def save(
        self, state: ConversationState, etag: str | None, ttl_seconds: int, deadline: float
    ) -> None:
        """Store a conversation by compare-and-swap: only over the document with this ETag.

        After StoreConflict or StoreUnavailable it may have been stored nevertheless: read again.

        Args:
            state: the whole document; its user and id are the key.
            etag: of the document to replace; None: nothing may be stored under the key yet.
            ttl_seconds: the time until the store deletes it, at least 1.
            deadline: as for the whole interface.

        Raises:
            StoreConflict: another document, or none, is stored under the key.
            StoreRefused: the store will never accept this content.
        """
        ...

    def delete(self, key: ConversationKey, etag: str, deadline: float) -> None:
        """Delete the document under the key, if it has this ETag.

        Raises:
            StoreConflict: another document is stored there, or (in some stores) none.
        """
        ...

    def check(self, deadline: float) -> StoreInfo:
        """Make a small call to the store, and describe the store."""
        ...


def conversation_repository() -> ConversationRepository:
    """Return this process's repository: the backend of CHAT_STATE_STORE behind a circuit breaker.

    Threads share it, with its connections and its breaker.
    """
    return _build(
        settings.CHAT_STATE_STORE,
        settings.DAPR_ENDPOINT,
        settings.DAPR_STATE_STORE_NAME,
        settings.DAPR_API_TOKEN,
        settings.CHAT_MAX_STATE_BYTES,
        settings.CHAT_STORE_CONNECT_TIMEOUT_SECONDS,
        settings.CHAT_STORE_TIMEOUT_SECONDS,
        settings.CHAT_STORE_PAUSE_SECONDS,
    )


def forget_repositories() -> None:
    """Drop connections and breakers; the next call builds a repository again."""
    _build.cache_clear()


@lru_cache(maxsize=8)  # by the settings themselves, so that a changed one counts at once
def _build(
    backend: str,
    endpoint: str,
    store_name: str,
    api_token: str,
    max_state_bytes: int,
    connect_timeout_seconds: float,
    timeout_seconds: float,
    pause_seconds: float,
) -> ConversationRepository:
    # The backends import this module.
    from chat.repository.breaker import Breaker, GuardedRepository
    from chat.repository.cluster import ClusterRepository
    from chat.repository.dapr import DaprRepository
    from chat.repository.redis import RedisRepository, service_connection
    from chat.repository.transport import Transport

    timeouts = (connect_timeout_seconds, timeout_seconds)
    inner: ConversationRepository
    if backend == "redis":
        kind = ClusterRepository if settings.REDIS_CLUSTER else RedisRepository
        inner = kind(service_connection, max_state_bytes, *timeouts)
    else:
        transport = Transport(endpoint, api_token, *timeouts)
        inner = DaprRepository(transport, store_name, max_state_bytes)
    breaker = Breaker(
        pause_seconds=pause_seconds,
        on_failure=lambda: outages.noticed(TITLE),
        on_recovery=lambda: outages.over(TITLE),
    )
    return GuardedRepository(inner, breaker)
