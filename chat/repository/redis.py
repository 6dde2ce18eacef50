"""Conversations in the service's own Redis, for setups without a Dapr sidecar.

The key is the contract's, the value is the document's bytes, and the ETag is their SHA-1. For a key
that is not a string the ETag names its type, so that compare-and-swap can replace it too.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import hiredis
from django_redis import get_redis_connection
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from chat.conversations.state import ConversationKey, ConversationState, key_of
from chat.errors import StoreConflict, StoreCorrupt, StoreMissing, StoreUnavailable
from chat.repository import StoredConversation, StoreInfo
from chat.repository.deadline import FAIR_SECONDS, seconds_left
from chat.repository.payload import pack, unpack

logger = logging.getLogger(__name__)

CHECK_KEY = ConversationKey("statekeep", "check")  # of a conversation that nobody has

_ETAG = """
local function etag_of(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'none' then return '' end
  if kind ~= 'string' then return 'type-' .. kind end
  return redis.sha1hex(redis.call('GET', key))
end
"""


class _Script:
    def __init__(self, source: str) -> None:
        self.source = _ETAG + source
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


# KEYS: the conversation. Reply: empty, or ETag, value ("" unless a string), TTL in milliseconds.
_GET = _Script("""
local etag = etag_of(KEYS[1])
if etag == '' then return {} end
local value = ''
if string.sub(etag, 1, 5) ~= 'type-' then value = redis.call('GET', KEYS[1]) end
return {etag, value, redis.call('PTTL', KEYS[1])}
""")
# ARGV: ETag ("": the key must not exist), value, TTL in milliseconds. Reply: 1; 0 for a conflict.
_SAVE = _Script("""
if etag_of(KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
""")
# ARGV: ETag. Reply: 1, also if there is no such key; 0 for a conflict.
_DELETE = _Script("""
local etag = etag_of(KEYS[1])
if etag ~= '' and etag ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
""")


class RedisRepository:
    """The ConversationRepository on Redis, with one connection per thread.

    Args of the constructor:
        make_connection: returns a new redis-py connection that is not connected yet.
        max_state_bytes: the limit of an encoded conversation.
        connect_timeout_seconds, timeout_seconds: the time limits of one call.
    """

    def __init__(
        self,
        make_connection: Callable[[], Any],
        max_state_bytes: int,
        connect_timeout_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._make_connection = make_connection
        self._local = threading.local()
        self._max_state_bytes = max_state_bytes
        self._connect_timeout_seconds = connect_timeout_seconds
        self._timeout_seconds = timeout_seconds

    def get(self, key: ConversationKey, deadline: float) -> StoredConversation:
        try:
            reply = self._run(_GET, [key], deadline)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, exceptions.ConnectionError):
                raise
            # The connection may be older than a restart of Redis; a get can be repeated safely.
            reply = self._run(_GET, [key], deadline)
        if not reply:
            raise StoreMissing()
        raw, etag, ttl_ms = reply[1], reply[0].decode(), reply[2]
        if etag.startswith("type-"):
            raise StoreCorrupt(b"", etag, "the key holds no string; another program wrote it")
        expires_at = datetime.now(UTC) + timedelta(milliseconds=ttl_ms) if ttl_ms >= 0 else None
        return StoredConversation(unpack(raw, key, etag), etag, expires_at)

    def save(
        self, state: ConversationState, etag: str | None, ttl_seconds: int, deadline: float
    ) -> None:
        raw = pack(state, self._max_state_bytes)
        if not self._run(_SAVE, [key_of(state), etag or "", raw, ttl_seconds * 1000], deadline):
            raise StoreConflict()

    def delete(self, key: ConversationKey, etag: str, deadline: float) -> None:
        if not self._run(_DELETE, [key, etag], deadline):
            raise StoreConflict()

    def check(self, deadline: float) -> StoreInfo:
        self._run(_GET, [CHECK_KEY], deadline)  # as a chat does: PING needs no permission
        return StoreInfo("redis", "Redis itself")

    def _run(self, script: _Script, arguments: list[Any], deadline: float) -> Any:
        """Run a script by EVALSHA, or EVAL if Redis does not have it; arguments[0] is the key."""
        key, *rest = arguments
        words = (1, str(key).encode(), *rest)
        try:
            return self._call(("EVALSHA", script.sha, *words), deadline)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, exceptions.NoScriptError):
                raise
        return self._call(("EVAL", script.source, *words), deadline)

    def _call(self, command: tuple[Any, ...], deadline: float) -> Any:
        left = seconds_left(deadline, self._timeout_seconds)
        until = time.monotonic() + left
        connection = self._connection(self._key_of(command))
        # socket_timeout holds for each reply that connecting needs, such as to AUTH and SELECT.
        connection.socket_connect_timeout = min(left, self._connect_timeout_seconds)
        connection.socket_timeout = connection.socket_connect_timeout
        try:
            connection.connect()
            connection.update_current_socket_timeout(seconds_left(until, left))
            return self._exchange(connection, command)
        except exceptions.NoScriptError as error:
            raise StoreUnavailable() from error
        except (exceptions.RedisError, OSError) as error:
            # A late reply must not be read as the answer to the next call.
            connection.disconnect()
            logger.warning("Redis failed to carry out a chat's %s: %r", command[0], error)
            is_outage = left >= min(FAIR_SECONDS, self._timeout_seconds)
            raise StoreUnavailable(is_outage=is_outage) from error
        except BaseException:
            connection.disconnect()
            raise

    def _exchange(self, connection: Any, command: tuple[Any, ...]) -> Any:
        connection.send_packed_command([hiredis.pack_command(command)])
        return connection.read_response()

    @staticmethod
    def _key_of(command: tuple[Any, ...]) -> bytes:
        _, _, _, key, *_ = command  # EVAL, the script, the number of keys, the only key
        return bytes(key)

    def _connection(self, key: bytes) -> Any:
        """Return this thread's connection to the key's Redis, which connects when it is used."""
        try:
            return self._local.connection
        except AttributeError:
            self._local.connection = self._make_connection()
            return self._local.connection


def service_connection() -> Any:
    """Return a new connection to the Redis of REDIS_URL; it does not retry by itself."""
    # Not from the pool itself: it counts its connections, and would not learn that a thread ended.
    pool = get_redis_connection().connection_pool
    return pool.connection_class(**{**pool.connection_kwargs, "retry": Retry(NoBackoff(), 0)})
