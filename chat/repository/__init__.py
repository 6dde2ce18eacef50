"""Where conversations are: one interface, a module for each backend, one suite that all pass.

Missing, unavailable, conflict, refused and corrupt are the exceptions of chat.errors; backends
raise nothing else.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from django.conf import settings

from chat.conversations.state import ConversationKey, ConversationState


@dataclass(frozen=True, slots=True)
class Stored:
    """A conversation as it stands.

    `etag` is what save and delete take. `expires_at` is aware, None where the store does not say.
    """

    state: ConversationState
    etag: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """A store that answers, for people: such as "dapr", "statestore: state.redis/v1".

    `lacks` names what the store would need to keep conversations safe, and does not offer.
    """

    backend: str
    description: str
    lacks: tuple[str, ...] = ()


class ConversationRepository(Protocol):
    """The store of conversations, safe to share between threads.

    `deadline` is on time.monotonic(), in seconds: no call outlasts it, nor takes longer than
    CHAT_STORE_TIMEOUT_SECONDS. Every method raises StoreUnavailable, and StoreRefused for a
    key that the store can't have (Dapr: a user id with "||").
    """

    def get(self, key: ConversationKey, deadline: float) -> Stored:
        """Return what stands under the key.

        Raises:
            StoreMissing: nothing does.
            StoreCorrupt: what does is no conversation; it was left as it is.
        """
        ...

    def save(
        self, state: ConversationState, etag: str | None, ttl_seconds: int, deadline: float
    ) -> None:
        """Store the conversation under its key, if what stands there has this ETag.

        After StoreConflict and StoreUnavailable it may have been stored all the same: read again.

        Args:
            state: the whole document.
            etag: of the document that this one replaces; None: nothing must stand there.
            ttl_seconds: the store forgets it after so long, 1 at least.
            deadline: see above.

        Raises:
            StoreConflict: something else stands there.
            StoreRefused: the store won't take this content, ever.
        """
        ...

    def delete(self, key: ConversationKey, etag: str, deadline: float) -> None:
        """Delete what stands under the key, if it has this ETag.

        Raises:
            StoreConflict: something else stands there, or (some stores) nothing does.
        """
        ...

    def check(self, deadline: float) -> StoreInfo:
        """Ask the store for something small, and describe it."""
        ...


def conversation_repository() -> ConversationRepository:
    """Return this process's repository, as CHAT_STATE_STORE says, behind a circuit breaker."""
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
    """Drop connections and what the breakers have learnt; the next call starts anew."""
    _build.cache_clear()


@lru_cache(maxsize=8)
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
    from chat.repository.breaker import Breaker, GuardedRepository
    from chat.repository.dapr import DaprRepository
    from chat.repository.redis import RedisRepository, service_connection
    from chat.repository.transport import Transport

    inner: ConversationRepository
    if backend == "redis":
        inner = RedisRepository(
            service_connection, max_state_bytes, connect_timeout_seconds, timeout_seconds
        )
    else:
        transport = Transport(endpoint, api_token, connect_timeout_seconds, timeout_seconds)
        inner = DaprRepository(transport, store_name, max_state_bytes)
    return GuardedRepository(inner, Breaker(pause_seconds=pause_seconds))
