"""The Redis of a dsx-connect, where it keeps its connectors' credentials: read, never written.

    dsxconnect:hmac:kid:{key id}                       string: the connector's UUID
    {env}:dsx-connect:connectors:config:{uuid}         hash: hmac_key_id, hmac_secret, and others

A user who may GET and HMGET these keys is enough (and SELECT, where the URL names a database other
than 0). Secrets are kept in memory alone, and never logged.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.retry import Retry

KEY_ID, SECRET = "hmac_key_id", "hmac_secret"

# Each call takes at most the sum: a read that waits for an answer gives up before Statekeep's own.
CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 1.0

NOBODY = "statekeep"  # neither a key id (of 16 characters) nor a UUID


@dataclass(frozen=True, slots=True)
class Pair:
    """The credential of a connector of the dsx-connect."""

    connector_uuid: str
    secret: bytes = field(repr=False)


def client() -> Redis:
    """Return the client of this process; it connects when it is used.

    Every call has a time limit. One that finds its connection closed is tried once more.
    """
    return _client_of(settings.DSX_CONNECT_REDIS_URL)


@lru_cache(maxsize=1)
def _client_of(url: str) -> Redis:
    return Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        # With these no connection begins with a command that its user may not call.
        protocol=2,
        driver_info=None,
    )


def key_id_key(key_id: str) -> str:
    """Return the key that holds the UUID of the key id's connector."""
    return f"dsxconnect:hmac:kid:{key_id}"


def config_key(connector_uuid: str) -> str:
    """Return the key of the hash that holds a connector's configuration."""
    return f"{settings.DSX_CONNECT_ENV}:dsx-connect:connectors:config:{connector_uuid}"


def check() -> None:
    """Ask for one key of each kind.

    Raises:
        redis.exceptions.RedisError: it did not answer, or its user may not read them.
    """
    _execute([("GET", key_id_key(NOBODY)), ("HMGET", config_key(NOBODY), KEY_ID)])


def look_up(key_ids: Sequence[str]) -> dict[str, Pair]:
    """Return the credentials of those of these key ids that the dsx-connect accepts, by key id.

    That takes more than the key id's entry: the configuration has to have the same key id, and its
    UUID to be canonical, as all our keys in Redis are named by it.

    Raises:
        redis.exceptions.RedisError: it did not answer, or its user may not read them.
    """
    uuids = _execute([("GET", key_id_key(key_id)) for key_id in key_ids])
    asked = {
        key_id: uuid
        for key_id, value in zip(key_ids, uuids, strict=True)
        if (uuid := canonical_uuid(value)) is not None
    }
    pairs = _execute([("HMGET", config_key(uuid), KEY_ID, SECRET) for uuid in asked.values()])
    return {
        key_id: Pair(uuid, pair[1])
        for (key_id, uuid), pair in zip(asked.items(), pairs, strict=True)
        if pair is not None and pair[0] == key_id.encode() and pair[1] and pair[1].isascii()
    }


def key_id_of(connector_uuid: str) -> str | None:
    """Return the key id in a connector's configuration, or None if it has none.

    Raises:
        redis.exceptions.RedisError: it did not answer.
    """
    (found,) = _execute([("HMGET", config_key(connector_uuid), KEY_ID)])
    return found[0].decode(errors="backslashreplace") if found and found[0] else None


def canonical_uuid(value: bytes | None) -> str | None:
    """Return the text of a UUID in its canonical form; None for anything else."""
    with suppress(ValueError):
        text = (value or b"").decode()
        if str(UUID(text)) == text:
            return text
    return None


def _execute(commands: list[tuple[str, ...]]) -> list[Any]:
    """Return the replies; None where a key has another type than the command expects."""
    if not commands:
        return []
    pipeline = client().pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
    replies = pipeline.execute(raise_on_error=False)
    for number, reply in enumerate(replies):
        if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
            replies[number] = None
        elif isinstance(reply, Exception):
            raise reply
    return replies
