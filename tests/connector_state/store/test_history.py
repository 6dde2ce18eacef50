"""Earlier versions of values, on a Valkey whose clock the tests move."""

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from connector_state.errors import PreconditionFailed, Unavailable
from connector_state.operator_session import OperatorSession
from connector_state.store import history, index, room
from connector_state.store.calls import Caller, Limits, Nonce
from connector_state.store.history import history_of
from connector_state.store.keys import Address, connector_keys
from connector_state.store.operations import Condition, Operation
from connector_state.store.scripts import loop
from connector_state.store.values import AsyncStateStore, StateStore, etag_of
from tests.connector_state.store.conftest import MIDNIGHT

UUID = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"
DELTA = Address("m365", "delta")


def store(key_id: str = "kid") -> StateStore:
    return StateStore(UUID, Caller(key_id, Nonce(key_id, random.randbytes(8).hex()), Limits()))


def put(value: bytes, **options) -> str:
    return store().put(DELTA, value, **options)


def read(address: Address = DELTA) -> history.History:
    return history_of(UUID, Caller.operator("tests"), address)


def version(etag: str) -> bytes | None:
    (entry,) = store().operate([Operation("version", DELTA, etag=etag)])
    return entry and entry.value


def values() -> list[bytes | None]:
    return [version(kept.etag) for kept in read().versions]


def counted(redis) -> tuple[int, int]:
    """The bytes of all versions as counted, and as they are."""
    fields = redis.hgetall(connector_keys(UUID).named("history"))
    total = int(fields.pop(b"\0bytes", 0))
    return total, sum(len(v) for field, v in fields.items() if field.startswith(b"\0"))


def test_history__of_a_put_a_minute_has_yesterdays_last_value(clock, other_redis):
    for minute in range(1440):
        put(b"%04d" % minute)
        clock.move(timedelta(minutes=1))
    put(b"broken")  # two minutes into the next day
    kept = read().versions
    assert [version(each.etag) for each in kept] == [b"1439", b"1438", b"1437"]
    for minute in range(600):
        put(b"broken %d" % minute)
        clock.move(timedelta(minutes=1))
    kept = read().versions
    assert [version(each.etag) for each in kept] == [
        *(b"broken %d" % n for n in (598, 597, 596)),
        b"1439",
    ]
    yesterday = kept[-1]
    assert MIDNIGHT <= yesterday.written_at < MIDNIGHT + timedelta(days=1)
    assert (yesterday.by, yesterday.size, yesterday.expires_at) == ("kid", 4, None)
    session = OperatorSession(UUID, "ann", Limits())
    broken = etag_of(b"broken 599")
    assert session.restore(DELTA, yesterday.etag, if_match=broken) == etag_of(b"1439")
    assert store().get(DELTA).value == b"1439"
    assert read().versions[0].etag == broken, "a restored value can be taken back"
    with pytest.raises(PreconditionFailed):
        session.restore(DELTA, broken, if_match=broken)
    total, real = counted(other_redis.client)
    assert total == real


@pytest.mark.parametrize("seed", range(4))
def test_history__keeps_what_the_settings_say(clock, other_redis, seed):
    """Random writes against the definition."""
    chance = random.Random(seed)
    clock.move(timedelta(minutes=1))  # so that no write is within milliseconds of midnight
    written: list[tuple[datetime, bytes]] = []  # runs of one value, oldest first
    for _ in range(150):
        value = b"%d" % chance.randrange(25)
        put(value)
        if not written or written[-1][1] != value:
            written.append((clock.now, value))
        clock.move(timedelta(hours=chance.choice((0.1, 1, 5, 40))))
    clock.now = written[-1][0]
    before = list(dict.fromkeys(value for _, value in reversed(written)))[1:]
    kept = values()
    assert kept[:3] == before[:3]
    midnight = written[-1][0].replace(hour=0, minute=0, second=0)
    for days in range(7):
        then = midnight - timedelta(days=days)
        at_its_end = [value for at, value in written if at < then][-1]
        assert at_its_end in {*kept, written[-1][1]}, days
    assert len(kept) == len(set(kept)) <= 10
    total, real = counted(other_redis.client)
    assert total == real


def test_history__equal_values_are_kept_once(clock):
    for value in (b"x", b"y", b"a", b"b", b"a", b"b", b"a", b"a"):
        put(value)
    assert values() == [b"b", b"y", b"x"]


def test_history__of_a_deleted_value_lasts_for_days(clock, other_redis):
    put(b"one")
    put(b"two")
    store().delete(DELTA)
    assert values() == [b"two", b"one"]
    assert abs(read().deleted_at - MIDNIGHT) < timedelta(minutes=5)
    clock.move(timedelta(days=6))
    assert sum(history.prune(UUID, "tests")) == 0
    clock.move(timedelta(days=2))
    assert sum(history.prune(UUID, "tests")) == 1
    assert read() == history.History([], None)
    assert counted(other_redis.client) == (0, 0)


def test_history__a_value_with_a_ttl_does_not_outlive_it(clock, other_redis):
    put(b"for ever")
    put(b"for a minute", ttl_seconds=60)
    put(b"for an hour", ttl_seconds=3600)
    clock.move(timedelta(minutes=2))
    assert values() == [b"for ever"]
    clock.move(timedelta(hours=2))
    put(b"later")
    assert values() == [b"for ever"]
    assert version(etag_of(b"for an hour")) is version(etag_of(b"for a minute")) is None
    assert counted(other_redis.client) == (8, 8), "their bytes went with the next write"
    put(b"last", ttl_seconds=60)
    clock.move(timedelta(hours=1))
    assert values() == [b"later", b"for ever"]


def sweep() -> None:
    """Have the index forget what expired, as a call now and then does."""
    index.take_in(UUID, "tests", [DELTA])


@pytest.mark.parametrize("meanwhile", [lambda: None, sweep, lambda: prune(), lambda: delete()])
def test_history__a_ttl_that_lapses_takes_no_value_without_one_along(clock, meanwhile):
    """Seen: a good cursor, a broken one with a TTL, a rescan later, and the good one was gone."""
    put(b"good cursor")
    put(b"oops", ttl_seconds=60)
    clock.move(timedelta(hours=1))
    meanwhile()
    assert values() == [b"good cursor"]
    put(b"rescanned")
    assert values() == [b"good cursor"]
    clock.move(timedelta(days=1))
    put(b"next")
    assert values() == [b"rescanned", b"good cursor"]


def prune() -> int:
    return sum(history.prune(UUID, "tests"))


def delete() -> None:
    assert not store().delete(DELTA)


@pytest.mark.parametrize("meanwhile", [lambda: None, sweep])
def test_history__of_an_expired_value_lasts_for_days_as_of_a_deleted_one(
    clock, other_redis, meanwhile
):
    put(b"good cursor")
    put(b"longer", ttl_seconds=3 * 86_400)
    put(b"oops", ttl_seconds=3600)
    clock.move(timedelta(days=1))
    meanwhile()
    assert prune() == 0
    assert values() == [b"longer", b"good cursor"]
    assert abs(read().deleted_at - (MIDNIGHT + timedelta(hours=1))) < timedelta(minutes=1)
    (found,), _ = history.find_deleted(UUID)
    assert (found.address, found.by) == (DELTA, "its TTL")
    clock.move(timedelta(days=2, hours=1))
    assert values() == [b"good cursor"]
    clock.move(timedelta(days=4, hours=1))
    assert prune() == 1
    assert read() == history.History([], None)
    assert counted(other_redis.client) == (0, 0)


@pytest.mark.parametrize("forget", [sweep, prune])
def test_history__of_values_that_all_have_expired_is_gone(clock, other_redis, forget):
    for number in range(3):
        put(b"%d" % number, ttl_seconds=60)
    clock.move(timedelta(hours=1))
    forget()
    assert read() == history.History([], None)
    assert counted(other_redis.client) == (0, 0)
    assert not other_redis.client.hkeys(connector_keys(UUID).named("history"))[1:]


def test_history__an_expiry_set_on_nothing_changes_nothing(clock):
    put(b"one")
    store().delete(DELTA)
    assert not store().expire(DELTA, 60)
    clock.move(timedelta(hours=1))
    assert prune() == 0
    assert values() == [b"one"]


@pytest.mark.parametrize("seed", range(3))
def test_history__of_random_expiries_counts_its_bytes_and_shows_nothing_that_ended(
    clock, other_redis, seed
):
    chance = random.Random(seed)
    ends: dict[bytes, datetime | None] = {}
    for number in range(120):
        value, ttl = b"%d" % number, chance.choice((None, 60, 3600, 86_400))
        put(value, ttl_seconds=ttl)
        ends[value] = None if ttl is None else clock.now + timedelta(seconds=ttl + 30)
        for _ in range(chance.randrange(3)):
            # Never as long as a TTL: nothing ends while it is looked at.
            clock.move(timedelta(hours=chance.choice((0.13, 1.07, 5.3, 40.7))))
            chance.choice((sweep, prune, delete, read))() if store().get(DELTA) is None else read()
        kept = values()
        assert all(ends[old] is None or ends[old] > clock.now for old in kept)
        total, real = counted(other_redis.client)
        assert total == real
    assert kept, "or this tests nothing"


def test_history__erase_forgets_it(clock, other_redis):
    put(b"one")
    put(b"two")
    assert store().delete(DELTA, with_history=True)
    assert read() == history.History([], None)
    assert not store().delete(DELTA, with_history=True)
    assert counted(other_redis.client) == (0, 0)


def test_history__off_keeps_nothing(clock, settings, other_redis):
    put(b"one")
    put(b"two")
    settings.STATE_KEEP_VERSIONS = settings.STATE_KEEP_DAYS = 0
    put(b"three")
    assert values() == []
    settings.STATE_KEEP_VERSIONS = 1
    put(b"four")
    put(b"five")
    put(b"six")
    assert values() == [b"five"]
    settings.STATE_KEEP_VERSIONS = 0
    assert sum(history.prune(UUID, "tests")) == 1
    assert counted(other_redis.client) == (0, 0)


def test_history__of_what_another_program_wrote(clock, other_redis):
    key = connector_keys(UUID).value_prefix + DELTA.member
    other_redis.client.set(key, b"theirs")
    put(b"ours")
    other_redis.client.set(key, b"theirs again")
    put(b"ours again")
    first, second = read().versions
    assert (first.by, second.by, second.written_at) == ("?", "?", None)
    assert values() == [b"theirs again", b"theirs"]
    other_redis.client.set(key, b"their again")  # of the same size as ours
    put(b"ours at last")
    assert values()[0] == b"their again"
    assert version(etag_of(b"ours again")) is None


def test_history__stays_within_its_bytes(clock, settings, other_redis):
    settings.STATE_HISTORY_MAX_BYTES = 10_000
    for number in range(40):
        for address in (DELTA, Address("m365", "other")):
            store().put(address, b"%03d" % number + bytes(900))
        clock.move(timedelta(hours=9))
    total, real = counted(other_redis.client)
    assert total == real <= 10_000
    assert version(etag_of(b"038" + bytes(900))) is not None
    store().put(DELTA, bytes(20_000))
    store().put(DELTA, b"small again")
    assert etag_of(bytes(20_000)) not in {each.etag for each in read().versions}
    assert counted(other_redis.client)[0] == counted(other_redis.client)[1] > 0


def test_history__of_many_deleted_keys_stays_small(clock, settings, other_redis):
    settings.STATE_HISTORY_MAX_BYTES = 50_000
    for number in range(300):
        address = Address("m365", f"item {number}")
        store().put(address, b"")
        store().delete(address)
    assert other_redis.client.hlen(connector_keys(UUID).named("history")) < 200
    assert read(address).deleted_at is not None, "the last one is kept"


def test_history__of_many_expired_keys_stays_small(clock, settings, other_redis):
    settings.STATE_HISTORY_MAX_BYTES = 50_000
    addresses = [Address("m365", f"item {number}") for number in range(300)]
    for address in addresses:
        store().put(address, b"")
        store().put(address, b"lock", ttl_seconds=60)
    clock.move(timedelta(hours=1))
    index.take_in(UUID, "tests", addresses)
    assert other_redis.client.hlen(connector_keys(UUID).named("history")) < 200
    assert read(addresses[-1]).deleted_at is not None, "the last one is kept"


def test_history__counts_what_another_program_wrote(clock, other_redis):
    key = connector_keys(UUID).value_prefix + DELTA.member
    put(b"ours")
    other_redis.client.set(key, b"theirs, which is longer")
    store().expire(DELTA, None)  # the index learns its size
    put(b"ours again")
    assert read().versions[0].by == "?"
    store().delete(DELTA, with_history=True)
    assert counted(other_redis.client) == (0, 0)


def test_history__a_condition_that_fails_leaves_it(clock):
    put(b"one")
    with pytest.raises(PreconditionFailed):
        put(b"two", condition=Condition(if_none_match="*"))
    assert values() == []


def test_version__of_the_current_value(clock):
    etag = put(b"one")
    assert version(etag) == b"one"
    assert version("0" * 40) is None


@pytest.fixture
def filled(other_redis, monkeypatch):
    """A Redis with a history, and no room for anything else."""
    monkeypatch.setattr(room, "get_redis_connection", lambda: other_redis.client)
    monkeypatch.setattr(room, "_look_again_at", {})
    for number in range(12):
        store().put(Address("m365", f"key {number % 6}"), random.randbytes(500_000))
    used = other_redis.client.info("memory")["used_memory"]
    other_redis.client.config_set("maxmemory", used - 100_000)
    return other_redis.client


def test_history__goes_before_a_full_redis_refuses_a_value(filled):
    etag = put(b"as important as ever")
    assert store().get(DELTA).etag == etag
    assert counted(filled) == (0, 0)
    filled.config_set("maxmemory", 1)
    with pytest.raises(Unavailable) as refused:
        put(b"no room at all")
    assert refused.value.code == "store_full"


def test_history__stays_where_no_memory_is_to_be_had(filled):
    filled.config_set("maxmemory", 1)  # as `make run` does where the disk is full
    with pytest.raises(Unavailable) as refused:
        put(b"no room on the disk")
    assert refused.value.code == "store_full"
    assert counted(filled)[1] > 0


def test_make_room__gives_up_one_history_for_all_who_wait(filled):
    filled.config_set("maxmemory", 0)
    for number in range(8):
        filled.hset(connector_keys(f"other {number}").named("history"), "member", "log")
    start = threading.Barrier(4)

    def ask(_) -> bool:
        start.wait()
        return room.make_room()

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, range(4)))
    assert len(filled.keys(room.HISTORIES)) >= 6


def test_history__goes_on_the_loop_too(filled):
    async def put_on_loop() -> str:
        caller = Caller("kid", Nonce("kid", "a-nonce-of-the-loop"), Limits())
        etag = await AsyncStateStore(UUID, caller).put(DELTA, b"w")
        await loop.close()
        return etag

    assert asyncio.run(put_on_loop()) == etag_of(b"w")
