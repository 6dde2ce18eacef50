"""Try on a Redis what a state call does, and say in words what it does not allow."""

from dataclasses import replace
from typing import Any

from redis import Redis
from redis.exceptions import (
    AuthenticationError,
    ClusterCrossSlotError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from common.findings import Finding
from connector_state import redis_checks
from connector_state.redis_checks import UnfitRedis
from connector_state.store.calls import Caller, Steps
from connector_state.store.keys import Address, connector_keys
from connector_state.store.retries import is_denied
from connector_state.store.values import Operation, StateStore, operate_steps

NOBODY = "00000000-0000-0000-0000-000000000000"  # no connector's UUID
TTL_SECONDS = 60  # if the value could not be deleted


def examine(client: Redis) -> Finding:
    """Return what is wrong with a Redis: by what it says of itself, and by a call.

    Raises:
        UnfitRedis: as redis_checks.examine, or it does not allow what a call does.
        redis.exceptions.RedisError: it did not answer.
    """
    try:
        found = redis_checks.examine(client)
        _call(client)
    except AuthenticationError as error:
        raise UnfitRedis("It refuses the user or the password of REDIS_URL.") from error
    except (OutOfMemoryError, ReadOnlyError) as error:  # INFO has told, if it could be asked
        return found if found.dangers else replace(found, dangers=(_refuses_writes(error),))
    except ClusterCrossSlotError:
        raise UnfitRedis(redis_checks.CLUSTER) from None
    except ResponseError as error:
        if is_denied(error):
            raise UnfitRedis(
                f"The user of REDIS_URL may not do what a call does: {error}"
            ) from error
        return replace(found, dangers=(*found.dangers, _refuses_writes(error)))
    return found


def _refuses_writes(error: Exception) -> str:
    return f"It refuses writes now: {error}"


def _call(client: Redis) -> None:
    """Write, read and delete, by the scripts of calls; leave nothing but two nonces."""
    written, read = Address("statekeep", "check"), Address("statekeep", "nothing")
    put = Operation("put", written, b"check", TTL_SECONDS)
    for operations in ([put, Operation("get", read)], [Operation("delete", written)]):
        store = StateStore(NOBODY, Caller.operator("check"))
        _run(client, operate_steps(store, operations))
    client.delete(*connector_keys(NOBODY).own)


def _run(client: Any, steps: Steps[object]) -> None:
    try:
        step = next(steps)
        while True:
            source, words = step.script.usual, (len(step.keys), *step.keys, *step.arguments)
            try:
                reply = client.evalsha(source.sha, *words)
            except NoScriptError:
                reply = client.eval(source.text, *words)
            step = steps.send(reply)
    except StopIteration:
        pass
