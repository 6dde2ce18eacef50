"""State calls from an event loop: many on one connection, and a Redis that is away."""

import asyncio
import gc
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from django_redis import get_redis_connection
from redis import Redis

from connector_state.errors import PreconditionFailed, SignatureRefused, Unavailable
from connector_state.store.calls import Caller, Nonce
from connector_state.store.keys import Address
from connector_state.store.operations import Condition, Entry
from connector_state.store.scripts import loop, retries
from connector_state.store.values import AsyncStateStore, StateStore
from tests.connector_state.store.conftest import client_of
from tests.connector_state.store.fault_proxy import Fault, FaultProxy
from tests.connectors import redis_total, tag
from tests.servers import freeze, start_valkey, thaw, wait_until

UUID = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"
DELTA = Address("m365", "delta")


def store(nonce: str = "") -> AsyncStateStore:
    caller = Caller("kid", Nonce("kid", nonce), Caller.operator("").limits)
    return AsyncStateStore(UUID, caller if nonce else Caller.operator("tests"))


def key(number: int) -> Address:
    return Address("m365", f"k{number}")


def value(number: int) -> bytes:
    return b"%d" % number * (number % 50)


async def all_of(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """What each returned, or raised."""
    return await asyncio.gather(*calls, return_exceptions=True)


def test_store__has_the_methods_of_the_other():
    def public(of: type) -> set[str]:
        return {name for name in dir(of) if not name.startswith("_")}

    assert public(AsyncStateStore) == public(StateStore)


def test_store__puts_gets_expires_and_deletes():
    async def work() -> None:
        etag = await store().put(DELTA, b"v")
        assert await store().expire(DELTA, 60)
        assert await store().get(DELTA) == Entry(b"v", etag, 60)
        assert await store().delete(DELTA)
        assert await store().get(DELTA) is None

    asyncio.run(work())


def test_calls__a_thousand_at_once_get_their_own_replies_on_one_connection():
    async def work() -> None:
        before = redis_total("stats", "total_connections_received")
        await asyncio.gather(*(store().put(key(n), value(n)) for n in range(1000)))
        entries = await asyncio.gather(*(store().get(key(n)) for n in range(1000)))
        assert [entry.value for entry in entries] == [value(n) for n in range(1000)]
        assert redis_total("stats", "total_connections_received") == before + 1

    asyncio.run(work())


def test_calls__large_values_pass_the_socket_s_buffers():
    async def work() -> None:
        values = [bytes([n]) * 400_000 for n in range(100)]
        await asyncio.gather(*(store().put(key(n), v) for n, v in enumerate(values)))
        entries = await asyncio.gather(*(store().get(key(n)) for n in range(100)))
        assert [entry.value for entry in entries] == values

    asyncio.run(work())


def test_calls__over_the_limit_are_busy(settings):
    settings.REDIS_MAX_CALLS_PER_PROCESS = 16

    async def work() -> None:
        outcomes = await all_of(*(store().get(DELTA) for _ in range(30)))
        busy = [outcome for outcome in outcomes if outcome is not None]
        assert len(busy) == 14
        assert {error.code for error in busy} == {"busy"}
        assert await store().get(DELTA) is None

    asyncio.run(work())


@pytest.mark.parametrize("turns_of_the_loop", range(6))
def test_cancelled__callers_do_not_disturb_others(turns_of_the_loop):
    async def work() -> None:
        await asyncio.gather(*(store().put(key(n), value(n)) for n in range(200)))
        tasks = [asyncio.create_task(store().get(key(n))) for n in range(200)]
        for _ in range(turns_of_the_loop):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        entries = await asyncio.gather(*tasks[1::2])
        assert [entry.value for entry in entries] == [value(n) for n in range(1, 200, 2)]
        assert (await store().get(key(7))).value == value(7)

    asyncio.run(work())


def test_loops__leave_nothing_behind():
    def clients() -> int:
        return redis_total("clients", "connected_clients")

    async def work(ends_itself: bool) -> None:
        await store().put(DELTA, b"v")
        if ends_itself:
            await loop.close()

    before, loops = clients(), set(map(id, loop._calls_by_loop))  # of tests before this one
    for number in range(20):
        asyncio.run(work(ends_itself=number % 2 == 0))
    gc.collect()  # what is left open warns here
    assert set(map(id, loop._calls_by_loop)) <= loops
    wait_until(lambda: clients() <= before, what="the end of the connections")


def test_close__lets_further_calls_connect_again():
    async def work() -> None:
        await loop.close()
        await store().put(DELTA, b"v")
        await loop.close()
        assert (await store().get(DELTA)).value == b"v"

    asyncio.run(work())


def test_script__unknown_to_a_restarted_redis_is_loaded_again():
    async def work() -> None:
        await store().put(DELTA, b"v")
        get_redis_connection().script_flush()
        entries = await asyncio.gather(*(store().get(DELTA) for _ in range(50)))
        assert {entry.value for entry in entries} == {b"v"}

    asyncio.run(work())


def test_corrupt__value_of_one_call_keeps_the_connection_of_all():
    async def work() -> None:
        redis = get_redis_connection()
        await store().put(DELTA, b"v")
        redis.hset(f"dsxconnect:connector_state:{tag(UUID)}:m365:hash", "a", "b")
        before = redis_total("stats", "total_connections_received")
        for _ in range(3):
            corrupt, good = await all_of(store().get(Address("m365", "hash")), store().get(DELTA))
            assert type(corrupt).__name__ == "Corrupt"
            assert good.value == b"v"
        assert redis_total("stats", "total_connections_received") == before

    asyncio.run(work())


def test_full__refuses_what_adds_alone_and_keeps_the_connection(other_redis):
    async def work() -> None:
        await store().put(DELTA, b"v")
        other_redis.client.config_set("maxmemory", 1)
        before = other_redis.client.info("stats")["total_connections_received"]
        for _ in range(3):
            refused, entry = await all_of(store().put(DELTA, b"w"), store().get(DELTA))
            assert (refused.code, entry.value) == ("store_full", b"v")
        assert other_redis.client.info("stats")["total_connections_received"] == before
        assert await store().delete(DELTA)

    asyncio.run(work())


async def count(increments: int) -> int:
    """Increment a number by compare-and-swap; return how often it was done."""
    done = 0
    while done < increments:
        entry = await store(f"read-{time.monotonic_ns()}").get(DELTA)
        condition = Condition(if_match=entry.etag)
        nonce = f"write-{time.monotonic_ns()}"
        try:
            await store(nonce).put(DELTA, b"%d" % (int(entry.value) + 1), condition=condition)
        except PreconditionFailed:
            continue
        done += 1
    return done


def test_killed__again_and_again_the_outcome_is_exact(other_redis, settings):
    """A lost reply of a write that was done is no 412, no 401 `replayed`, and not done twice."""
    settings.REDIS_RETRY_SECONDS = 20
    StateStore(UUID, Caller.operator("tests")).put(DELTA, b"0")

    async def work() -> int:
        counting = asyncio.gather(*(count(60) for _ in range(8)))
        for _ in range(4):
            await asyncio.sleep(0.15)
            await asyncio.to_thread(other_redis.stop)
            await asyncio.to_thread(other_redis.start)
        return sum(await counting)

    done = asyncio.run(work())
    assert done == 480
    assert other_redis.client.get(f"dsxconnect:connector_state:{tag(UUID)}:m365:delta") == b"480"


def test_frozen__redis_fails_all_that_is_in_flight_in_time_and_recovers(other_redis, settings):
    settings.REDIS_RETRY_SECONDS = 0.1

    async def work() -> None:
        await store().put(DELTA, b"v")
        freeze(other_redis.pid)
        began = time.monotonic()
        errors = await all_of(*(store().get(DELTA) for _ in range(300)))
        assert time.monotonic() - began < 5  # two attempts of 0.5 s and a pause, on a busy machine
        assert {type(error) for error in errors} == {Unavailable}
        thaw(other_redis.pid)
        assert (await store().get(DELTA)).value == b"v"

    asyncio.run(work())


@pytest.mark.parametrize("is_connected", [True, False])
def test_frozen__a_call_ends_before_its_connector_gives_up(
    other_redis, use_redis, settings, monkeypatch, is_connected
):
    """In all its attempts together, shaking hands included, from its begin on."""
    monkeypatch.setattr(retries, "CALL_SECONDS_MAX", 2.0)
    use_redis(client_of(other_redis.socket, timeout_seconds=1.2))  # two attempts are too many
    settings.REDIS_RETRY_SECONDS = 8

    async def work() -> None:
        if is_connected:
            await store().put(DELTA, b"v")
        freeze(other_redis.pid)
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await store().get(DELTA)
        assert 1.5 < time.monotonic() - began < 2.4
        await loop.close()

    def work_in_a_thread() -> None:
        if is_connected:
            StateStore(UUID, Caller.operator("tests")).put(DELTA, b"v")
        freeze(other_redis.pid)
        began = time.monotonic()
        with pytest.raises(Unavailable):
            StateStore(UUID, Caller.operator("tests")).get(DELTA)
        assert 1.5 < time.monotonic() - began < 2.4

    asyncio.run(work())
    thaw(other_redis.pid)
    work_in_a_thread()
    thaw(other_redis.pid)


def test_away__a_redis_is_unavailable_and_waited_for(other_redis, settings):
    async def work() -> None:
        await store().put(DELTA, b"v")
        await asyncio.to_thread(other_redis.stop)
        settings.REDIS_RETRY_SECONDS = 0.2
        errors = await all_of(*(store().get(DELTA) for _ in range(50)))
        assert {type(error) for error in errors} == {Unavailable}
        retries._outage.over()
        settings.REDIS_RETRY_SECONDS = 20
        back = threading.Timer(0.3, other_redis.start)
        back.start()
        entries = await asyncio.gather(*(store().get(DELTA) for _ in range(50)))
        assert {entry.value for entry in entries} == {b"v"}
        back.join()

    asyncio.run(work())


def test_script__of_another_that_takes_long_holds_calls_up_for_no_longer_than_their_limit(
    other_redis, settings
):
    settings.REDIS_RETRY_SECONDS = 0.1
    slow = "local t = redis.call('TIME')[1] + 4; while redis.call('TIME')[1] + 0 < t do end"

    async def work() -> None:
        await store().put(DELTA, b"v")
        elsewhere = Redis(unix_socket_path=str(other_redis.socket), socket_timeout=20)
        running = asyncio.create_task(asyncio.to_thread(elsewhere.eval, slow, 0))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        errors = await all_of(*(store().get(DELTA) for _ in range(20)))
        assert {type(error) for error in errors} == {Unavailable}
        assert time.monotonic() - began < 2.5
        await running
        assert (await store().get(DELTA)).value == b"v"

    asyncio.run(work())


def test_replica__that_was_the_primary_is_left(other_redis, use_redis, settings, tmp_path):
    settings.REDIS_RETRY_SECONDS = 20
    socket = tmp_path / "new"
    primary = start_valkey(tmp_path / "new-data", "--port", "0", "--unixsocket", str(socket))

    async def work() -> None:
        await store().put(DELTA, b"old")
        other_redis.client.replicaof("127.0.0.1", 1)
        use_redis(client_of(socket))
        puts = (store(f"the-nonce-{n}").put(key(n), b"v") for n in range(20))
        await asyncio.gather(*puts)
        assert (await store().get(key(19))).value == b"v"

    try:
        asyncio.run(work())
    finally:
        primary.kill()
        primary.wait(10)


@pytest.fixture
def proxy(other_redis, use_redis, settings, tmp_path) -> FaultProxy:
    """Between the calls and Valkey."""
    settings.REDIS_RETRY_SECONDS = 20
    use_redis(client_of(tmp_path / "proxy", timeout_seconds=0.15))
    return FaultProxy(tmp_path / "proxy", other_redis.socket)


@pytest.mark.parametrize("fault", ["cut", "swallow"])
def test_replies__from_every_byte_on_lost(proxy, fault: Fault):
    """Two writes and a read in flight: each gets its own outcome, and none is done twice."""

    async def calls(number: int) -> None:
        create = store(f"{fault}-create-{number}").put(
            key(number), value(number), condition=Condition(if_none_match="*")
        )
        delete = store(f"{fault}-delete-{number}").delete(key(number - 1))
        read = store(f"{fault}-read-{number}").get(DELTA)
        etag, existed, entry = await asyncio.gather(create, delete, read)
        assert (len(etag), existed, entry.value) == (40, True, b"of another")

    async def work() -> None:
        async with proxy:
            await store().put(DELTA, b"of another")
            await store().put(key(-1), b"v")
            proxy.arm(None)
            await calls(0)
            length = proxy.passed
            assert length > 100
            for at in range(length + 1):
                proxy.arm(fault, at)
                await calls(1 + at)
            proxy.arm(None)
            await calls(2 + length)
            with pytest.raises(SignatureRefused):
                await store(f"{fault}-delete-7").get(DELTA)
            await loop.close()

    asyncio.run(work())


def test_replies__byte_by_byte_are_put_together(proxy):
    async def work() -> None:
        async with proxy:
            await asyncio.gather(*(store().put(key(n), value(n)) for n in range(20)))
            proxy.byte_pause_seconds = 0
            entries = await asyncio.gather(*(store().get(key(n)) for n in range(20)))
            assert [entry.value for entry in entries] == [value(n) for n in range(20)]
            await loop.close()

    asyncio.run(work())


def test_replies__that_are_late_reach_nobody(proxy):
    """A slow answer to one call must not be taken for the answer to the next."""

    async def work() -> None:
        async with proxy:
            await asyncio.gather(*(store().put(key(n), value(n)) for n in range(10)))
            proxy.byte_pause_seconds = 0.004  # the first replies come in time, the others do not
            late = [asyncio.create_task(store().get(key(n))) for n in range(10)]
            await asyncio.sleep(0.4)
            proxy.byte_pause_seconds = None
            entries = await asyncio.gather(*late)
            assert [entry.value for entry in entries] == [value(n) for n in range(10)]
            await loop.close()

    asyncio.run(work())


def test_handshake__that_is_never_answered_is_given_up(proxy, settings):
    settings.REDIS_RETRY_SECONDS = 0.1

    async def work() -> None:
        async with proxy:
            proxy.arm("swallow")
            assert await store().get(DELTA) is None  # connected again
            await loop.close()

    asyncio.run(work())
