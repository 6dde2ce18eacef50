"""The rules of the cache, on a source and a clock that the test holds: no thread but the test's."""

from types import SimpleNamespace

import pytest
from django.db import OperationalError

from connector_state.credentials import cache as cache_module
from connector_state.credentials import entries as entries_module
from connector_state.credentials.entries import Entries, LiveCredential
from connector_state.errors import Unavailable
from tests.connector_state.credentials.sources import POLICY, FakeSource, InlineCache


class Clock:
    """time.monotonic and time.time, which stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> Clock:
    clock = Clock()
    time = SimpleNamespace(monotonic=lambda: clock.now, time=lambda: clock.now)
    monkeypatch.setattr(cache_module, "time", time)
    monkeypatch.setattr(entries_module, "time", time)
    monkeypatch.setattr(cache_module, "SLICE_SECONDS", 0)
    return clock


@pytest.fixture
def source() -> FakeSource:
    return FakeSource("a", "b", "c")


@pytest.fixture
def cache(source) -> InlineCache:
    return InlineCache(source)


def secret_of(cache, key_id: str) -> bytes | None:
    credential = cache.find(key_id)
    return None if credential is None else credential.secret


def live_one(key_id: str, expires_at: float | None = None) -> LiveCredential:
    return LiveCredential(key_id, b"s", key_id, expires_at, POLICY)


def test_find__reads_once_and_looks_once_a_second_for_as_long_as_nothing_changes(
    cache, source, clock
):
    for _ in range(100):
        assert secret_of(cache, "a") == b"secret"
        cache.work()
        clock.pass_by(1)
    assert source.reads[0] == ["a"]
    assert source.looks == 100
    assert source.made == 1


def test_find__between_looks_asks_nothing(cache, source, clock):
    cache.find("a")
    cache._wake = None
    clock.pass_by(2)
    assert secret_of(cache, "a") == b"secret"


def test_change__holds_with_the_next_look_and_concerns_its_connector_alone(cache, source, clock):
    for key_id in "ab":
        cache.find(key_id)
    source.change("a", b"new")
    assert secret_of(cache, "a") == b"secret"
    clock.pass_by(1)
    cache.work()
    assert secret_of(cache, "a") == b"new"
    assert secret_of(cache, "b") == b"secret"
    assert source.reads == [["a"], ["b"], ["a"]]


def test_frozen__process_looks_before_it_uses_what_it_knew(cache, source, clock):
    cache.find("a")
    source.change("a")
    clock.pass_by(2.1)
    assert cache.find("a") is None
    assert source.looks == 2


def test_frozen__in_the_middle_of_a_look_looks_again(cache, source, clock):
    cache.find("a")
    clock.pass_by(3)
    look = source.changes_since

    def freeze_after(position):
        found = look(position)
        if source.looks == 2:
            source.change("a")
            clock.pass_by(600)
        return found

    source.changes_since = freeze_after
    assert cache.find("a") is None
    assert source.looks == 3


def test_frozen__between_a_read_and_its_answer_looks_again(cache, source, clock):
    def freeze():
        source.change("a")
        clock.pass_by(600)
        source.after_read = lambda: None

    source.after_read = freeze
    with pytest.raises(OperationalError):  # never what was read before
        cache.find("a")
    assert cache.find("a") is None


def test_read__what_changes_right_after_is_dropped_by_the_next_look(cache, source, clock):
    source.after_read = lambda: source.change("a")
    assert secret_of(cache, "a") == b"secret"
    clock.pass_by(1)
    cache.work()
    assert cache.find("a") is None


def test_log__with_a_gap_makes_everything_unknown(cache, source, clock):
    cache.find("a")
    source.change_by_hand("a")
    source.changes_since = lambda position: (7, None)
    clock.pass_by(1)
    cache.work()
    assert cache.find("a") is None


def test_unknown__is_asked_once_until_something_changes(cache, source, clock):
    for _ in range(3):
        assert cache.find("z") is None
    assert source.reads == [["z"]]
    source.change("z", b"issued")
    clock.pass_by(1)
    cache.work()
    assert secret_of(cache, "z") == b"issued"


def test_expiry__holds_at_its_second(clock):
    entries = Entries()
    entries.looked(clock.now, 0, None)
    entries.put(live_one("a", clock.now + 1), 0)
    assert entries.find("a") is not None
    clock.pass_by(1)
    assert entries.find("a") is None


# --- Changes past the log -------------------------------------------------------------------------


def test_by_hand__is_found_within_a_minute(cache, source, clock):
    for key_id in "abc":
        cache.find(key_id)
    source.change_by_hand("a")
    source.change_by_hand("b", b"new")
    assert secret_of(cache, "a") == b"secret"
    clock.pass_by(cache_module.REREAD_SECONDS)
    cache.work()
    assert cache.find("a") is None
    assert secret_of(cache, "b") == b"new"
    assert source.made == 4  # what is as it was is not decrypted again


def test_by_hand__one_that_comes_back_is_found_within_a_minute(cache, source, clock):
    assert cache.find("z") is None
    source.change_by_hand("z", b"new")
    clock.pass_by(cache_module.REREAD_SECONDS)
    cache.work()
    assert secret_of(cache, "z") == b"new"


def test_by_hand__a_secret_that_can_no_longer_be_read_is_not_used(cache, source, clock):
    cache.find("a")
    source.change_by_hand("a", b"unreadable")

    def fail(row):
        raise Unavailable

    source.credential_of = fail
    clock.pass_by(cache_module.REREAD_SECONDS)
    cache.work()
    with pytest.raises(Unavailable):
        cache.find("a")


def test_reread__goes_by_parts_and_looks_go_on_between_them(cache, source, clock, monkeypatch):
    monkeypatch.setattr(cache_module, "READ_AT_ONCE", 2)
    for key_id in "abc":
        cache.find(key_id)
    del source.reads[:]
    clock.pass_by(cache_module.REREAD_SECONDS)
    cache.work()
    source.change("a")
    clock.pass_by(1)
    cache.work()
    assert source.reads == [["a", "b"], ["c"]]
    assert cache.find("a") is None


def test_reread__that_fails_comes_again_a_minute_later(cache, source, clock):
    cache.find("a")
    source.error = OperationalError("away")
    clock.pass_by(cache_module.REREAD_SECONDS)
    cache.work()
    source.error = None
    source.change_by_hand("a")
    clock.pass_by(cache_module.REREAD_SECONDS)
    cache.work()
    assert cache.find("a") is None


# --- A database that is down ----------------------------------------------------------------------


def test_outage__known_ones_stay_good_for_a_time_and_then_do_not(cache, source, clock, settings):
    settings.CREDENTIAL_OUTAGE_SECONDS = 300
    cache.find("a")
    cache.find("z")
    source.error = OperationalError("away")
    for _ in range(301):
        clock.pass_by(1)
        cache.work()
        assert secret_of(cache, "a") == b"secret"
        assert cache.serves_known()
    for key_id in "bz":  # not known, or it may be known by now
        with pytest.raises(OperationalError):
            cache.find(key_id)
    clock.pass_by(2)
    with pytest.raises(OperationalError):
        cache.find("a")
    assert not cache.serves_known()


def test_outage__counts_from_the_first_look_that_failed(cache, source, clock, settings):
    settings.CREDENTIAL_OUTAGE_SECONDS = 300
    cache.find("a")
    source.error = OperationalError("away")
    clock.pass_by(200)  # nobody has called, and this process was frozen
    cache.work()
    for _ in range(2):
        clock.pass_by(150)
        cache.work()
        assert secret_of(cache, "a") == b"secret"
    clock.pass_by(1)
    with pytest.raises(OperationalError):
        cache.find("a")


def test_outage__only_a_look_that_succeeds_ends_it(cache, source, clock, settings, caplog):
    settings.CREDENTIAL_OUTAGE_SECONDS = 300
    cache.find("a")
    for _ in range(2):
        source.error = OperationalError("away")
        clock.pass_by(250)
        cache.work()
        source.change("a", b"new")
        assert cache.find("a") is not None
        source.error = None
        clock.pass_by(1)
        cache.work()
        assert secret_of(cache, "a") == b"new"
    assert len([line for line in caplog.messages if "does not say what changed" in line]) == 2


def test_outage__lets_nothing_but_the_two_seconds_give_way(cache, source, clock, settings):
    settings.CREDENTIAL_OUTAGE_SECONDS = 300
    credential_of = source.credential_of
    source.credential_of = lambda row: live_one(credential_of(row).key_id, clock.now + 10)
    cache.find("a")
    source.error = OperationalError("away")
    clock.pass_by(5)
    assert cache.find("a") is not None
    clock.pass_by(5)
    assert cache.find("a") is None


def test_outage__of_which_nothing_is_bridged(cache, source, clock, settings):
    settings.CREDENTIAL_OUTAGE_SECONDS = 0
    cache.find("a")
    source.error = OperationalError("away")
    clock.pass_by(2)
    assert secret_of(cache, "a") == b"secret"
    clock.pass_by(0.1)
    with pytest.raises(OperationalError):
        cache.find("a")


def test_start__while_the_database_is_away(cache, source):
    source.error = OperationalError("away")
    with pytest.raises(OperationalError):
        cache.find("a")
    assert not cache.serves_known()


# --- Bounds ---------------------------------------------------------------------------------------


def test_memory__keeps_those_that_were_used_last(clock):
    entries = Entries(known_most=100)
    entries.looked(clock.now, 0, None)
    for number in range(1000):
        clock.pass_by(0.001)
        entries.put(live_one(f"k{number}"), 0)
        assert entries.find("k0") is not None  # used all the time
        assert len(entries.known_key_ids()) <= 100
    assert {"k0", "k999", "k950"} <= set(entries.known_key_ids())


def test_memory__invented_key_ids_drive_nobody_out(cache):
    cache.find("a")
    for number in range(3000):
        cache.find(f"invented-{number}")
    assert cache.entries.known_key_ids() == ["a"]
    assert len(cache.entries._unknown) == entries_module.UNKNOWN_MOST
