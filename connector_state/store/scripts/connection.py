"""Scripts on Redis: one round trip each, tried again while Redis fails over (see retries).

`run` blocks its thread; loop.run does the same on an event loop.
"""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hiredis
from django.conf import settings
from django_redis import get_redis_connection
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.redis_cluster import routes
from connector_state.store.scripts import Script
from connector_state.store.scripts.retries import Attempts, keeps_connection

logger = logging.getLogger(__name__)


Argument = str | bytes | int

FIRST_WAIT_SECONDS = 2.0  # until a process has asked a cluster's nodes who has which slots
QUICK_SECONDS = 0.6

_local = threading.local()


def run(
    script: Script,
    keys: Sequence[str],
    arguments: Sequence[Argument],
    *,
    when_full: bool = False,
) -> list[Any]:
    """Run the script and return its reply.

    Args:
        when_full: run it in a Redis without memory too. It must add no value; a nonce for some
            minutes, the rate and entries of the audit it does add.

    Raises:
        Unavailable: Redis did not answer within REDIS_RETRY_SECONDS, or can't carry it out now.
        Corrupt: a key holds another type than its script expects.
    """
    attempts = Attempts(script, when_full, routes.key_on_cluster(keys))
    while True:
        try:
            reply = _evaluate(attempts, keys, arguments)
        except (exceptions.RedisError, OSError) as error:
            if pause := attempts.pause_after(error):
                time.sleep(pause)
        else:
            attempts.succeeded()
            return reply


def _evaluate(attempts: Attempts, keys: Sequence[str], arguments: Sequence[Argument]) -> list[Any]:
    """EVALSHA, or EVAL where Redis does not know the script (a new or restarted server)."""
    connection, source = _thread_connection(keys[0]), attempts.source
    try:
        if not connection.is_connected:
            _connect(connection, attempts.remaining_seconds)
        # Of what is left of the call's time, too.
        timeout = min(connection.socket_timeout, attempts.remaining_seconds)
        words = (len(keys), *keys, *arguments)
        try:
            reply = _command(connection, timeout, "EVALSHA", source.sha, *words)
        except exceptions.NoScriptError:
            reply = _command(connection, timeout, "EVAL", source.text, *words)
    except BaseException as error:
        if not (isinstance(error, Exception) and keeps_connection(error)):
            connection.disconnect()
        raise
    return list(reply)


def _connect(connection: Any, seconds: float) -> None:
    """Connect and shake hands, within these seconds; sending would not ask the sentinels."""
    limits = connection.socket_connect_timeout, connection.socket_timeout
    connection.socket_connect_timeout = min(limits[0], seconds / 2)
    connection.socket_timeout = min(limits[1], seconds / 2)
    try:
        connection.connect()
    finally:
        connection.socket_connect_timeout, connection.socket_timeout = limits
    connection.update_current_socket_timeout(-1)  # to what it has for every call


def _command(connection: Any, timeout: float, *command: Argument) -> Any:
    connection.send_packed_command([hiredis.pack_command(command)])
    return connection.read_response(timeout=timeout)


def check_answer(connector_uuids: Iterable[str]) -> None:
    """Ask Redis for a sign of life, for at most some QUICK_SECONDS.

    Other calls wait longer, for a fail-over, which is more than a person waits for a page.

    Args:
        connector_uuids: on a cluster, the primaries that have their keys are asked, at once.

    Raises:
        redis.exceptions.RedisError, OSError: it does not answer.
    """
    if not settings.REDIS_CLUSTER:
        _ping(get_redis_connection().connection_pool)
        return
    uuids = {routes.pool_for(uuid, FIRST_WAIT_SECONDS): uuid for uuid in connector_uuids}
    with ThreadPoolExecutor(max(len(uuids), 1)) as executor:
        list(executor.map(_ping_node, uuids, uuids.values()))


def _ping_node(pool: Any, uuid: str) -> None:
    try:
        _ping(pool)
    except (exceptions.RedisError, OSError) as error:
        # A page that gives up here makes no call that would find out who has been promoted.
        routes.learn(error, routes.place_of(uuid, error))
        raise


def _ping(pool: Any) -> None:
    limits = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), QUICK_SECONDS)
    kwargs = {**pool.connection_kwargs, **limits, "retry": Retry(NoBackoff(), 0)}
    connection = pool.connection_class(**kwargs)
    try:
        connection.connect()
        connection.send_command("PING")
        connection.read_response()
    finally:
        connection.disconnect()


def _thread_connection(key: str) -> Any:
    """Return this thread's own connection, to the key's node, not connected until it is used.

    A pool's get and release, and the client's layers above a connection, cost a third of a call.
    """
    node = routes.pool_for(key, FIRST_WAIT_SECONDS)
    try:
        return _local.connections[node]
    except AttributeError:
        _local.connections = {}
    except KeyError:
        pass
    # Made beside the pool, which counts what it makes and is never told that a thread ended.
    pool = node or get_redis_connection().connection_pool
    # It connects once at a time: `run` counts the attempts.
    kwargs = {**pool.connection_kwargs, "retry": Retry(NoBackoff(), 0)}
    made = _local.connections[node] = pool.connection_class(**kwargs)
    return made
