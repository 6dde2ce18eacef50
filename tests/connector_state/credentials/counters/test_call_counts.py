"""Counts of calls: what is counted, that it is bounded, and that no call waits for it."""

from datetime import UTC, datetime, timedelta

import pytest
from django_redis import get_redis_connection

from connector_state.credentials.counters import call_counts
from connector_state.credentials.counters.call_counts import recorded_of
from connector_state.store.keys import connector_keys
from tests.connectors import SigningConnector

pytestmark = pytest.mark.django_db


def counts_of(connector: SigningConnector) -> dict[str, int]:
    """What was counted today."""
    call_counts.flush()
    daily = recorded_of(connector.uuid).daily
    return daily[datetime.now(UTC).date()]


def test_counts__are_by_outcome(connector):
    connector.put("1")
    connector.get()
    assert connector.put("2", query="?if_match=" + "0" * 40).status_code == 412
    assert connector.get(ns="a" * 200).status_code == 400
    assert counts_of(connector) == {
        "ok": 2,
        "400 invalid_namespace": 1,
        "412 precondition_failed": 1,
    }


def test_counts__add_up_over_flushes_and_processes(connector):
    for _ in range(3):
        connector.get()
        call_counts.flush()
    assert counts_of(connector) == {"ok": 3}


def test_counts__a_value_that_cannot_be_read_is_named(connector):
    redis = get_redis_connection()
    redis.set(connector_keys(connector.uuid).value_prefix + "m365:a:b", b"\xff")
    assert connector.get("a:b").status_code == 500
    assert counts_of(connector) == {"500 value_corrupt": 1}
    assert recorded_of(connector.uuid).unreadable == ["m365:a:b"]


def test_counts__unreadable_keys_are_bounded(connector, monkeypatch):
    monkeypatch.setattr(call_counts, "UNREADABLE_FROM", 2)
    for number in range(4):
        call_counts.note_unreadable(connector.uuid, f"m365:{number}")
        call_counts.flush()
    assert recorded_of(connector.uuid).unreadable == ["m365:0", "m365:1"]


def test_counts__an_unexpected_error_is_a_500(connector, monkeypatch):
    def fail(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("connector_state.core.decide.read", fail)
    assert connector.get().status_code == 500
    assert counts_of(connector) == {"500 server_error": 1}


def test_counts__what_is_not_signed_counts_for_nobody(connector, stranger):
    target = connector.path()
    connector.send("GET", target, b"", None)
    connector.send("GET", target, b"", connector.authorization("GET", "/elsewhere"))
    assert stranger.call("GET", target).status_code == 403
    assert counts_of(connector) == {}
    assert counts_of(stranger) == {"403 other_connector": 1}


def test_counts__end_after_eight_days_and_show_seven(connector):
    connector.get()
    call_counts.flush()
    today = datetime.now(UTC).date()
    key = f"statekeep:{{{connector.uuid}}}:calls:{today}"
    ttl = get_redis_connection().ttl(key)
    assert 7 * 86_400 < ttl <= 8 * 86_400
    assert list(recorded_of(connector.uuid).daily) == [today - timedelta(days=n) for n in range(7)]


def test_counts__without_redis_calls_are_counted_when_it_is_back(connector, monkeypatch):
    with monkeypatch.context() as away:
        away.setattr("redis.client.Pipeline.execute", _refuse)
        connector.get(REMOTE_ADDR="10.0.0.9")
        call_counts.flush()
    assert counts_of(connector) == {"ok": 1}
    assert recorded_of(connector.uuid).addresses == {connector.key_id: "10.0.0.9"}


def test_counts__are_bounded_in_memory(connector, monkeypatch):
    monkeypatch.setattr(call_counts, "PENDING_MAX", 1)
    connector.get()
    connector.get(ns="a" * 200)
    assert counts_of(connector) == {"ok": 1}


def test_counts__no_call_writes_them(connector):
    before = get_redis_connection().info("commandstats").get("cmdstat_hincrby")
    connector.get()
    assert get_redis_connection().info("commandstats").get("cmdstat_hincrby") == before
    assert recorded_of(connector.uuid).daily[datetime.now(UTC).date()] == {}


def test_addresses__are_the_last_of_each_credential(connector):
    connector.get(REMOTE_ADDR="10.0.0.1")
    connector.get(REMOTE_ADDR="10.0.0.2")
    call_counts.flush()
    assert recorded_of(connector.uuid).addresses == {connector.key_id: "10.0.0.2"}


def _refuse(*args: object, **kwargs: object) -> None:
    raise ConnectionError("refused")
