"""A planned fail-over by the sentinels, which loses no write that was acknowledged.

`SENTINEL FAILOVER` alone loses some: for about ten seconds after another server was promoted, the
old primary goes on acknowledging the writes of clients that are still connected to it.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis import Connection, ConnectionPool, Redis, SSLConnection
from redis.exceptions import RedisError, ResponseError
from redis.sentinel import SentinelConnectionPool

POLL_SECONDS = 0.05
DEMOTED_SECONDS = 15  # by then the sentinels too have made an old primary a replica

NEEDED = "+client|pause +client|unpause +client|kill +role +replicaof +multi +exec"


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class FailOver:
    """A fail-over that happened, and how long writes waited for it."""

    old: Address
    new: Address
    paused_seconds: float


class FailOverFailed(Exception):
    """There was no fail-over; the text says why, and what holds now."""


def fail_over(pool: SentinelConnectionPool, timeout_seconds: float) -> FailOver:
    """Let the sentinels promote a replica, while writes wait at the primary.

    Writes are paused, the replicas catch up, the sentinels promote one of them, and the old primary
    becomes a replica before it takes commands again. When a step before the promotion fails, writes
    go on where they were. If this process dies, they wait for `timeout_seconds` and
    DEMOTED_SECONDS.

    Raises:
        FailOverFailed: see there.
        redis.exceptions.RedisError: no sentinel answered, or none knows the service.
    """
    old = Address(*pool.sentinel_manager.discover_master(pool.service_name))
    sentinel = pool.sentinel_manager.sentinels[0]  # discovering puts the one that answered first
    primary = _client(pool, old)
    until = time.monotonic() + timeout_seconds
    try:
        replicas = _promotable(sentinel, pool.service_name)
        # Longer than all that follows, so that no write gets in if this process or a step fails.
        primary.client_pause(int((timeout_seconds + DEMOTED_SECONDS) * 1000), all=False)
        paused_at = time.monotonic()
        _catch_up(pool, primary, replicas, until)
        sentinel.sentinel_failover(pool.service_name)
    except (RedisError, FailOverFailed) as error:
        _unpause(primary)
        raise FailOverFailed(
            f"{_words(error)} Nothing was changed: writes go on at {old}."
        ) from error
    except BaseException:
        _unpause(primary)
        raise
    new = _switch(pool, sentinel, primary, old, until)
    return FailOver(old, new, time.monotonic() - paused_at)


def _promotable(sentinel: Redis, service: str) -> list[Address]:
    """Return the replicas of which the sentinels may promote one."""
    found = [
        Address(replica["ip"], int(replica["port"]))
        for replica in sentinel.sentinel_slaves(service)
        if not (replica["is_sdown"] or replica["is_odown"] or replica["is_disconnected"])
        and int(replica["slave-priority"])
    ]
    if not found:
        raise FailOverFailed("The sentinels know no replica that answers and may be promoted.")
    return found


def _catch_up(
    pool: SentinelConnectionPool, primary: Redis, replicas: list[Address], until: float
) -> None:
    """Wait until the replicas have all that the paused primary has."""
    role, offset, *_ = _role(primary)
    if role != b"master":
        raise FailOverFailed("The primary that the sentinels name is a replica itself.")
    for address in replicas:
        replica = _client(pool, address)

        def has_all(replica: Redis = replica) -> bool:
            *_, state, reached = _role(replica)
            return bool(state == b"connected" and reached >= offset)

        _wait(has_all, until, f"The replica {address} did not catch up in time.")


def _switch(
    pool: SentinelConnectionPool, sentinel: Redis, primary: Redis, old: Address, until: float
) -> Address:
    """Wait until the sentinels name another primary; make the old one its replica."""

    def named() -> Address:
        state: Any = sentinel.sentinel_master(pool.service_name)
        return Address(state["ip"], state["port"])

    try:
        _wait(lambda: named() != old, until, "The sentinels promoted nobody in time.")
    except BaseException as error:
        _unpause(primary)
        raise FailOverFailed(
            f"{_words(error)} Writes go on at {old}, and those are lost if the sentinels still "
            f"promote another: see `SENTINEL MASTER {pool.service_name}`."
        ) from error
    new = named()
    try:
        _demote(primary, new)
    except RedisError as error:
        raise FailOverFailed(
            f"{new} is the primary now, but {old} could not be made its replica: {_words(error)} "
            "The sentinels do that within seconds. Writes wait there until then, so none is lost."
        ) from error
    return new


def _demote(old: Any, new: Address) -> None:
    """Make the old primary a replica, as the sentinels would do seconds later."""
    # At once, for what waits at the pause's end must meet a replica. Its clients are disconnected,
    # so that they ask the sentinels again.
    steps = old.pipeline()
    steps.execute_command("REPLICAOF", new.host, new.port)
    steps.execute_command("CLIENT", "KILL", "TYPE", "normal")
    steps.execute_command("CLIENT", "UNPAUSE")
    steps.execute()
    with suppress(RedisError):  # it may have no file, or no permission: the sentinels see to it
        old.config_rewrite()


def _unpause(primary: Redis) -> None:
    with suppress(RedisError):  # then the pause ends by its own limit
        primary.client_unpause()


def _wait(condition: Callable[[], bool], until: float, words: str) -> None:
    while not condition():
        if time.monotonic() >= until:
            raise FailOverFailed(words)
        time.sleep(POLL_SECONDS)


def _role(client: Any) -> list[Any]:
    role: list[Any] = client.execute_command("ROLE")
    return role


def _client(pool: SentinelConnectionPool, address: Address) -> Redis:
    """Return a client of one server, with the user, the time limits and the TLS of the pool."""
    options = {k: v for k, v in pool.connection_kwargs.items() if k != "connection_pool"}
    kind = SSLConnection if issubclass(pool.connection_class, SSLConnection) else Connection
    options |= {"host": address.host, "port": address.port}
    return Redis(connection_pool=ConnectionPool(kind, **options))


def _words(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, ResponseError) and "permissions" in text:
        return f"The Redis user may not do this; it needs {NEEDED} ({text})."
    return text if isinstance(error, FailOverFailed) else f"{type(error).__name__}: {text}."
