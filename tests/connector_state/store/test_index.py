"""The index can't drift: compared with a SCAN after random work, expiries and power cuts."""

import random
import threading
from datetime import timedelta

import pytest
from django.conf import settings
from django_redis import get_redis_connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from connector_state.errors import Unavailable
from connector_state.store import index
from connector_state.store.calls import Caller, Limits
from connector_state.store.keys import Address, connector_keys
from connector_state.store.operations import Operation
from connector_state.store.usage import usage_of
from connector_state.store.values import StateStore
from tests.connectors import redis_keys, tag
from tests.servers import start_valkey, wait_until

UUID = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"
NEIGHBOUR = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e12"
PREFIX = f"dsxconnect:connector_state:{tag(UUID)}:"


def caller() -> Caller:
    return Caller.operator("tests")


def store(uuid: str = UUID) -> StateStore:
    return StateStore(uuid, caller())


def scanned(redis) -> dict[str, int]:
    """What really stands in Redis: member to size."""
    keys = [key.decode() for key in redis.scan_iter(PREFIX + "*", count=1000)]
    return {key.removeprefix(PREFIX): redis.strlen(key) for key in keys if redis.exists(key)}


def listed() -> dict[str, int]:
    """What the API lists, page by page."""
    found, after, more = {}, "", True
    namespaces = []
    while more:
        page = index.list_namespaces(UUID, caller(), after, limit=2)
        namespaces += [row.namespace for row in page.namespaces]
        after, more = namespaces[-1] if namespaces else "", page.more
    for namespace in namespaces:
        after, more = "", True
        while more:
            keys = index.list_keys(UUID, caller(), namespace, after=after, limit=7)
            found |= {f"{namespace}:{row.key}": row.size for row in keys.keys}
            after, more = keys.last, keys.more
    return found


def assert_index_is_true(redis) -> None:
    truth = scanned(redis)
    assert listed() == truth
    # Listing took out what had gone: now index, sizes and total are the truth as well.
    keys = connector_keys(UUID)
    assert {m.decode() for m in redis.zrange(keys.named("index"), 0, -1)} == set(truth)
    sizes = {m.decode(): int(size) for m, size in redis.hgetall(keys.named("sizes")).items()}
    assert sizes.pop("total", 0) == sum(truth.values())
    assert sizes == truth
    expiring = {m.decode() for m in redis.zrange(keys.named("expiries"), 0, -1)}
    assert expiring == {m for m in truth if redis.pttl(PREFIX + m) >= 0}


def random_work(dice: random.Random, steps: int) -> None:
    for _ in range(steps):
        addresses = [
            Address(
                dice.choice(["m365", "m365-a", "é"]), dice.choice("abcdefgh") * dice.randint(1, 3)
            )
            for _ in range(dice.choice([1, 1, 1, 5]))
        ]
        operations = []
        for address in dict.fromkeys(addresses):
            kind = dice.choice(["put", "put", "put", "delete"])
            ttl = dice.choice([None, None, 50, 100])
            value = dice.randbytes(dice.randint(0, 20))
            operations.append(
                Operation("delete", address)
                if kind == "delete"
                else Operation("put", address, value, ttl)
            )
        store().operate(operations)


def expire_some(redis, dice: random.Random) -> None:
    """Let values with a TTL end now, by Redis' own expiry and in the index's eyes."""
    keys = connector_keys(UUID)
    for member in redis.zrange(keys.named("expiries"), 0, -1):
        if dice.random() < 0.3:
            redis.pexpire(PREFIX + member.decode(), 0)
            redis.zadd(keys.named("expiries"), {member: 1})


@pytest.mark.parametrize("seed", range(8))
def test_index__after_random_work_and_expiries_is_what_a_scan_finds(seed):
    dice, redis = random.Random(seed), get_redis_connection()
    for _ in range(6):
        random_work(dice, 30)
        expire_some(redis, dice)
        assert_index_is_true(redis)
        assert usage_of([UUID])[UUID].keys == len(scanned(redis))


def test_index__after_concurrent_work_is_what_a_scan_finds():
    threads = [
        threading.Thread(target=random_work, args=(random.Random(seed), 60)) for seed in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_index_is_true(get_redis_connection())


def test_index__after_a_clock_that_stepped_forward_and_back_is_what_a_scan_finds(
    clock, other_redis
):
    redis = other_redis.client
    redis.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)  # else it may delete before the sweep
    for number in range(10):
        store().put(Address("m365", f"k{number}"), b"v", ttl_seconds=60)
    clock.move(timedelta(minutes=2))
    assert index.list_namespaces(UUID, caller()).namespaces == []
    for number in range(10):
        store().put(Address("m365", f"l{number}"), b"v", ttl_seconds=60)
    clock.move(timedelta(minutes=2))
    policy = Caller.operator("tests", Limits(max_keys=1))
    StateStore(UUID, policy).put(Address("m365", "only"), b"v", ttl_seconds=60)
    clock.move(timedelta(minutes=-4))
    assert set(scanned(redis)) == {"m365:only"}
    assert_index_is_true(redis)


def test_index__is_swept_by_writes(other_redis):
    redis, keys = other_redis.client, connector_keys(UUID)
    for number in range(40):
        store().put(Address("m365", f"k{number}"), b"v", ttl_seconds=100)
        redis.zadd(keys.named("expiries"), {f"m365:k{number}": 1})
        if number % 2:
            redis.pexpire(f"{PREFIX}m365:k{number}", 0)

    def write_and_look() -> bool:
        store().put(Address("m365", "another"), b"v")
        return bool(redis.zcard(keys.named("index")) == 21)

    wait_until(write_and_look)
    assert_index_is_true(redis)


@pytest.mark.parametrize("seed", range(4))
def test_index__after_power_cuts_in_the_middle_of_work_is_what_a_scan_finds(
    seed, tmp_path, use_redis, settings
):
    """SIGKILL of Valkey at a random moment of the work, again and again, on the same files."""
    settings.REDIS_RETRY_SECONDS = 0
    socket, dice = str(tmp_path / "s"), random.Random(seed)
    redis = Redis(unix_socket_path=socket, socket_timeout=2, retry=Retry(NoBackoff(), 1))
    use_redis(redis)
    for _ in range(3):
        process = start_valkey(
            tmp_path / "data",
            *("--port", "0", "--unixsocket", socket, "--appendonly", "yes"),
            *("--appendfsync", "everysec"),  # a SIGKILL loses nothing that reached the kernel
        )
        try:
            power_cut = threading.Timer(dice.uniform(0.01, 0.15), process.kill)
            power_cut.start()
            with pytest.raises(Unavailable):
                random_work(dice, 100_000)
            power_cut.join()
        finally:
            process.kill()
            process.wait(10)
    process = start_valkey(
        tmp_path / "data", "--port", "0", "--unixsocket", socket, "--appendonly", "yes"
    )
    try:
        assert_index_is_true(redis)
    finally:
        process.kill()
        process.wait(10)


def test_reindex__takes_over_what_a_dsx_connect_wrote():
    redis = get_redis_connection()
    for number in range(1203):
        redis.set(
            f"{PREFIX}m365:delta:{number}", "token" * (number % 3), ex=100 if number % 2 else None
        )
    redis.set(f"{PREFIX}no namespace", "x")
    redis.set(f"{PREFIX}m365:control\n", "x")
    redis.set(PREFIX.encode() + b"m365:\xff", "x")
    redis.hset(f"{PREFIX}m365:hash", "a", "b")
    redis.set(f"dsxconnect:connector_state:{tag(NEIGHBOUR)}:m365:delta", "x")
    assert listed() == {}
    *_, total = index.reindex(UUID, "tests")
    assert (total.added, total.forgotten) == (1203, 0)
    assert (total.foreign, total.nameless) == (1, 3)
    assert len(listed()) == 1203
    assert usage_of([NEIGHBOUR])[NEIGHBOUR].keys == 0
    *_, again = index.reindex(UUID, "tests")
    assert again.added == 0
    redis.delete(*redis_keys(f"{PREFIX}*"))
    *_, emptied = index.reindex(UUID, "tests")
    assert (emptied.added, emptied.forgotten) == (0, 1203)
    assert_index_is_true(redis)


def test_reindex__of_a_uuid_that_looks_like_a_pattern_stays_within_it():
    pattern = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e*"
    get_redis_connection().set(f"{PREFIX}m365:delta", "x")
    assert [total.added for total in index.reindex(pattern, "tests")] == []


def test_list_keys__many_stale_members_leave_it_in_bounded_steps():
    redis = get_redis_connection()
    keys = connector_keys(UUID)
    redis.zadd(keys.named("index"), {f"m365:k{number:05}": 0 for number in range(2500)})
    store().put(Address("m365", "z"), b"v")
    pages = [index.list_keys(UUID, caller(), "m365", limit=10)]
    while pages[-1].more:
        pages.append(index.list_keys(UUID, caller(), "m365", after=pages[-1].last, limit=10))
    assert [row.key for page in pages for row in page.keys] == ["z"]
    assert len(pages) == 3
    assert_index_is_true(redis)


@pytest.mark.skipif(bool(settings.REDIS_CLUSTER), reason="a cluster is sent the text each time")
def test_usage__of_many_sends_the_script_once():
    redis = get_redis_connection()
    store().put(Address("m365", "delta"), b"12345")
    store().put(Address("other", "delta"), b"1")
    redis.script_flush()
    redis.config_resetstat()
    for _ in range(2):
        usage = usage_of([UUID, NEIGHBOUR])
        assert usage[UUID].namespaces == ["m365", "other"]
        assert (usage[UUID].keys, usage[UUID].bytes) == (2, 6)
        assert usage[NEIGHBOUR].namespaces == []
    calls = redis.info("commandstats")
    assert "cmdstat_eval" not in calls
    assert calls["cmdstat_script|load"]["calls"] == 1
    assert calls["cmdstat_evalsha"]["calls"] == 4
