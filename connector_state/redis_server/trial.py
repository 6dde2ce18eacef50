"""Try on a Redis what a state call does, and say in words what it does not allow."""

from dataclasses import replace
from typing import Any

from django.conf import settings
from django_redis import get_redis_connection
from redis import Redis
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
from redis.sentinel import MasterNotFoundError

from common.findings import Finding
from connector_state.redis_server import checks, cluster
from connector_state.redis_server.checks import UnfitRedis
from connector_state.store.calls import Caller, Steps
from connector_state.store.keys import Address, connector_keys
from connector_state.store.operations import Operation
from connector_state.store.scripts.retries import is_denied
from connector_state.store.values import StateStore, operate_steps

NOBODY = "00000000-0000-0000-0000-000000000000"  # no connector's UUID
ANSWER_SECONDS = 0.7  # /readyz is waited for twice as long
TTL_SECONDS = 60  # if the value could not be deleted


def examine() -> Finding:
    """Return what is wrong with Redis, or the cluster: by what it says of itself, and by a call.

    Raises:
        UnfitRedis: as checks.examine, or it does not allow what a call does; of a cluster, no
            primary can be used.
        redis.exceptions.RedisError: it did not answer; of a cluster, no primary did.
    """
    if not settings.REDIS_CLUSTER:
        return _try(get_redis_connection(), NOBODY)
    try:
        client = get_redis_connection()  # a cluster's has to ask the nodes first
    except AuthenticationError as error:
        raise _refused() from error
    return cluster.examine(client, _try)


def _try(client: Redis, uuid: str) -> Finding:
    """Examine one server; `uuid` is no connector's, and on a cluster one of its slots has it."""
    try:
        found = checks.examine(client)
        _call(client, uuid)
    except ClusterDownError:
        raise  # although it is a ResponseError: nothing can be read either
    except (ClusterCrossSlotError, MovedError):
        if settings.REDIS_CLUSTER:
            raise  # a replica of this one has been promoted
        raise UnfitRedis(checks.CLUSTER) from None
    except (AskError, TryAgainError):  # the slot of this UUID moves to another primary just now
        return found
    except AuthenticationError as error:
        raise _refused() from error
    except MasterNotFoundError as error:
        if is_denied(error):
            raise UnfitRedis(
                "The sentinels refuse REDIS_SENTINEL_PASSWORD, or the user."
            ) from error
        raise
    except (OutOfMemoryError, ReadOnlyError) as error:  # INFO has told, if it could be asked
        return found if found.dangers else replace(found, dangers=(_refuses_writes(error),))
    except TimeoutError:  # a planned fail-over pauses them for a moment
        words = "It answers, but lets writes wait: they are paused, or it is very slow."
        return replace(found, dangers=(*found.dangers, words))
    except ResponseError as error:
        if is_denied(error):
            raise UnfitRedis(
                f"The user of {_setting()} may not do what a call does: {error}"
            ) from error
        _read(client, uuid)
        return replace(found, dangers=(*found.dangers, _refuses_writes(error)))
    return found


def _read(client: Redis, uuid: str) -> None:
    """Raise UnfitRedis if it refuses even to read, as in protected mode or while a script runs."""
    try:
        client.exists(*connector_keys(uuid).own)
    except ResponseError as error:
        words = str(error).partition(". ")[0]  # the first sentence: those of protected mode go on
        raise UnfitRedis(f"It refuses every command: {words}") from error


def _refused() -> UnfitRedis:
    return UnfitRedis(f"It refuses the user or the password of {_setting()}.")


def _setting() -> str:
    return "REDIS_CLUSTER" if settings.REDIS_CLUSTER else "REDIS_URL"


def _refuses_writes(error: Exception) -> str:
    return f"It refuses writes now: {error}"


def _call(client: Redis, uuid: str) -> None:
    """Write, read and erase, by the scripts of calls; leave nothing but two nonces."""
    pool: Any = client.connection_pool
    connection = pool.get_connection()
    written, read = Address("statekeep", "check"), Address("statekeep", "nothing")
    put = Operation("put", written, b"check", TTL_SECONDS)
    try:
        for operations in ([put, Operation("get", read)], [Operation("erase", written)]):
            store = StateStore(uuid, Caller.operator("check"))
            _run(connection, operate_steps(store, operations))
        _command(connection, "DEL", *connector_keys(uuid).own)
    except TimeoutError:
        connection.disconnect()  # a late reply must not meet another command
        raise
    finally:
        pool.release(connection)


def _run(connection: Any, steps: Steps[object]) -> None:
    try:
        step = next(steps)
        while True:
            source, words = step.script.usual, (len(step.keys), *step.keys, *step.arguments)
            try:
                reply = _command(connection, "EVALSHA", source.sha, *words)
            except NoScriptError:
                reply = _command(connection, "EVAL", source.text, *words)
            step = steps.send(reply)
    except StopIteration:
        pass


def _command(connection: Any, *words: str | bytes | int) -> Any:
    connection.send_command(*words)
    return connection.read_response(timeout=ANSWER_SECONDS)
