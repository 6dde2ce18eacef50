"""Refused signatures: what is counted, when it is written, and what the log says of them."""

import queue
import subprocess
import sys
import threading
from collections import Counter

import pytest
from django.db import DatabaseError
from redis.exceptions import ConnectionError as RedisConnectionError

from connector_state.credentials import issuing, live
from connector_state.credentials.counters import failures
from connector_state.credentials.counters.failures import LOGGED_AT_MOST, Tally
from connector_state.models import Connector
from tests.connectors import redis_keys


class Clock:
    """Timers that run when the test says so."""

    def __init__(self) -> None:
        self.timers = []

    def later(self, flush) -> None:
        self.timers.append(flush)

    def tick(self) -> None:
        due, self.timers = self.timers, []
        for flush in due:
            flush()


class Store:
    """What was written, and whether writing works."""

    def __init__(self) -> None:
        self.written = []
        self.is_down = False

    def write(self, counts) -> None:
        if self.is_down:
            raise RedisConnectionError("down")
        self.written.append(dict(counts))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def tally(clock, store) -> Tally:
    return Tally(store.write, clock.later)


@pytest.fixture
def counting(clock, monkeypatch) -> Clock:
    """The process counts for real; the clock's ticks write it to Redis."""
    monkeypatch.setattr(failures, "_tally", Tally(failures._write, clock.later))
    return clock


# --- Counting -------------------------------------------------------------------------------------


def test_tally__one_timer_writes_a_whole_burst_and_its_last_failure_too(tally, clock, store):
    for _ in range(1000):
        tally.add("bad_signature")
    tally.add("replayed")
    assert len(clock.timers) == 1
    assert store.written == []  # nobody waited for it
    clock.tick()
    assert store.written == [{"bad_signature": 1000, "replayed": 1}]
    assert clock.timers == []  # nothing is pending: nothing runs


def test_tally__what_comes_during_a_write_waits_for_the_next_timer(clock):
    written = []

    def write(counts) -> None:
        written.append(dict(counts))
        if len(written) == 1:
            tally.add("replayed")
            assert clock.timers == []  # one at a time

    tally = Tally(write, clock.later)
    tally.add("bad_signature")
    clock.tick()
    assert len(clock.timers) == 1
    clock.tick()
    assert written == [{"bad_signature": 1}, {"replayed": 1}]


def test_tally__keeps_what_could_not_be_written_and_says_so_once(tally, clock, store, caplog):
    store.is_down = True
    tally.add("bad_signature")
    clock.tick()
    tally.add("bad_signature")
    clock.tick()
    assert len(caplog.records) == 1
    assert "calls can't be counted for now: down" in caplog.text
    store.is_down = False
    clock.tick()
    assert store.written == [{"bad_signature": 2}]
    assert clock.timers == []


def test_tally__where_no_thread_can_be_started_the_next_failure_tries_again(clock, store):
    starts = [RuntimeError("can't start new thread")]

    def later(flush) -> None:
        if starts:
            raise starts.pop()
        clock.later(flush)

    tally = Tally(store.write, later)
    tally.add("bad_signature")
    tally.add("bad_signature")
    clock.tick()
    assert store.written == [{"bad_signature": 2}]


def test_tally__its_timer_is_a_thread_that_holds_no_process(monkeypatch):
    written: queue.Queue = queue.Queue()
    monkeypatch.setattr(failures, "FLUSH_SECONDS", 0.01)

    def write(counts) -> None:
        written.put((dict(counts), threading.current_thread().daemon))

    Tally(write, failures.run_later).add("bad_signature")
    assert written.get(timeout=20) == ({"bad_signature": 1}, True)


def test_tally__a_forked_process_counts_from_nothing_and_sets_a_timer_of_its_own():
    code = """
import os
from connector_state.credentials.counters import failures

timers = []
tally = failures._tally
tally._later = timers.append
failures.count("bad_signature")
tally._lock.acquire()  # by a thread that the child does not have
if os.fork() == 0:
    failures.count("replayed")
    print(dict(tally._pending), len(timers), flush=True)
else:
    os.wait()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("{'replayed': 1} 2\n", "")


@pytest.mark.django_db
def test_failures__are_counted_by_reason_and_lock_nobody_out(connector, counting):
    good = connector.secret
    connector.secret = "wrong"
    for _ in range(30):
        assert connector.get().status_code == 401
    connector.secret = good
    assert connector.get().status_code == 200
    connector.key_id = "attacker's text"
    connector.get()
    counting.tick()
    (counts,) = failures.daily(2).values()
    assert counts == {"bad_signature": 30, "malformed_header": 1}
    assert len(redis_keys("*failures*")) == 1


@pytest.mark.django_db
def test_failures__no_refusal_waits_for_redis(connector, counting, cut_redis):
    cut_redis()
    connector.secret = "wrong"
    assert connector.get().status_code == 401
    counting.tick()
    assert failures._tally._pending == Counter(bad_signature=1)


# --- The log --------------------------------------------------------------------------------------


def refused(caplog) -> list[str]:
    begin = "refused a signed request: "
    return [text.removeprefix(begin) for text in caplog.messages if text.startswith(begin)]


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["bad_signature", "timestamp_out_of_window", "replayed"])
def test_log__says_which_credential_of_which_connector_from_where(connector, caplog, reason):
    target = connector.path()
    authorization = connector.authorization("GET", target)
    if reason == "bad_signature":
        authorization = connector.authorization("PUT", target)
    if reason == "timestamp_out_of_window":
        authorization = connector.authorization("GET", target, ts="1")
    if reason == "replayed":
        connector.send("GET", target, b"", authorization)
    connector.send("GET", target, b"", authorization, REMOTE_ADDR="192.0.2.7")
    assert refused(caplog) == [
        f"{reason}; connector {connector.uuid}, key id {connector.key_id}, from 192.0.2.7"
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("why", ["revoked", "disabled"])
def test_log__says_of_a_key_id_that_it_is_no_longer_live(connector, caplog, why):
    if why == "revoked":
        issuing.revoke_credential(connector.key_id)
    else:
        Connector.objects.update(enabled=False)
    live.clear_cache()
    connector.get()
    (line,) = refused(caplog)
    assert f"key id {connector.key_id} (revoked, expired or of a disabled connector)" in line


@pytest.mark.django_db
@pytest.mark.parametrize("ts", ["1", None])
def test_log__holds_nothing_of_a_key_id_that_was_never_issued(connector, caplog, ts):
    connector.key_id = "attacker"
    target = connector.path()
    connector.send("GET", target, b"", connector.authorization("GET", target, ts=ts))
    (line,) = refused(caplog)
    assert f"connector {connector.uuid}, unknown key id, from" in line
    assert "attacker" not in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "logged"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8::1", "2001:db8::1"),
        ("fe80::1%attacker", "fe80::1"),
        ("attacker", "unknown"),
        ("", "127.0.0.1"),
    ],
)
def test_log__behind_a_proxy_holds_an_address_and_no_other_text(
    connector, caplog, settings, header, logged
):
    settings.TRUSTED_PROXY_COUNT = 1
    connector.secret = "wrong"
    connector.get(HTTP_X_FORWARDED_FOR=header)
    (line,) = refused(caplog)
    assert line.endswith(f"from {logged}")
    assert "attacker" not in caplog.text


@pytest.mark.django_db
def test_log__has_few_lines_of_a_flood_and_the_number_of_the_others(
    connector, caplog, counting, django_assert_num_queries
):
    connector.secret = "wrong"
    for _ in range(LOGGED_AT_MOST):
        connector.get()
    with django_assert_num_queries(0):
        for _ in range(15):
            connector.get()
    assert len(refused(caplog)) == LOGGED_AT_MOST
    caplog.clear()
    counting.tick()
    assert caplog.messages == ["refused 15 more requests than are logged one by one"]
    connector.get()
    assert len(refused(caplog)) == 1


@pytest.mark.django_db
def test_log__goes_on_without_the_database(connector, caplog, monkeypatch):
    def away(key_id: str) -> bool:
        raise DatabaseError("away")

    monkeypatch.setattr("connector_state.api.authentication.was_issued", away)
    connector.secret = "wrong"
    assert connector.get().status_code == 401
    assert "key id not looked up" in refused(caplog)[0]
