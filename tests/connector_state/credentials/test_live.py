"""Live credentials out of the database: what a request costs it, and what counts as a change."""

from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.utils import timezone

from connector_state.changes import CHANGES_KEPT, ChangeCounter, CredentialChange
from connector_state.credentials import cache, database, entries, issuing, live
from connector_state.credentials.enrolment import Registration, register, unregister
from connector_state.errors import Unavailable
from connector_state.models import Connector, Credential
from tests.connectors import SigningConnector

pytestmark = pytest.mark.django_db


@pytest.fixture
def pass_by(monkeypatch):
    """Call it, and so many seconds have passed for the cache, whose clock else stands still."""
    now = [cache.time.monotonic()]
    time = SimpleNamespace(monotonic=lambda: now[0], time=cache.time.time)
    monkeypatch.setattr(cache, "time", time)
    monkeypatch.setattr(entries, "time", time)

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


def noted() -> list[str]:
    """The connectors of the changes since the last call."""
    found = [str(change.connector_uuid) for change in CredentialChange.objects.order_by("number")]
    CredentialChange.objects.all().delete()
    return found


def test_steady_state__a_signed_request_makes_no_statement(pass_by, django_assert_num_queries):
    connectors = [SigningConnector.create(f"c{number}") for number in range(100)]
    for connector in connectors:
        assert connector.put("v").status_code == 204
    with django_assert_num_queries(0):
        for connector in connectors:
            assert connector.get().status_code == 200
            assert connector.put("v").status_code == 204


def test_miss__is_one_statement(connector, stranger, django_assert_num_queries):
    live.find_live(connector.key_id)
    with django_assert_num_queries(1):
        found = live.find_live(stranger.key_id)
    assert (found.connector_uuid, found.secret) == (stranger.uuid, stranger.secret.encode())


def test_look__is_one_statement(connector, pass_by, django_assert_num_queries):
    live.find_live(connector.key_id)
    pass_by(2.5)
    with django_assert_num_queries(1):
        assert live.find_live(connector.key_id)


def test_credential__is_what_the_database_holds(connector, settings):
    ends = timezone.now() + timedelta(days=1, microseconds=5)
    Credential.objects.update(expires_at=ends)
    Connector.objects.update(
        read_only=True, allowed_namespaces="m365\none-*", max_keys=0, max_bytes=7
    )
    settings.STATE_MAX_REQUESTS_PER_SECOND = 11
    found = live.find_live(connector.key_id)
    assert found.expires_at == ends.timestamp()
    assert (found.policy.read_only, found.policy.namespaces) == (True, ("m365", "one-*"))
    limits = found.policy.limits
    assert (limits.max_keys, limits.max_bytes, limits.requests_per_second) == (0, 7, 11)
    assert "secret" not in repr(found)


def test_secret__that_no_key_decrypts_is_told(connector, stranger):
    Credential.objects.filter(key_id=connector.key_id).update(encrypted_secret="x")
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            live.find_live(connector.key_id)
        assert refused.value.code == "secret_unreadable"
    assert live.find_live(stranger.key_id)


# --- What is a change -----------------------------------------------------------------------------

CHANGES = {
    "revocation": lambda c: issuing.revoke_credential(c.key_id),
    "rotation": lambda c: issuing.rotate_credential(Connector.objects.get(), timedelta(0)),
    "disabling": lambda c: Connector.objects.update(enabled=False),
    "expiry": lambda c: Credential.objects.update(expires_at=timezone.now()),
    "policy": lambda c: call_command("set_policy", c.uuid, "--read-only"),
    "the whole row": lambda c: Connector.objects.get().save(),
    "bulk": lambda c: Connector.objects.bulk_update([Connector(c.uuid, max_keys=1)], ["max_keys"]),
    "deletion": lambda c: Credential.objects.get().delete(),
    "deletion of all": lambda c: Credential.objects.all().delete(),
    "deletion with the connector": lambda c: Connector.objects.get().delete(),
    "deletion of connectors": lambda c: Connector.objects.filter(name="a connector").delete(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change__holds_within_two_seconds(connector, pass_by, capsys, change):
    before = live.find_live(connector.key_id)
    CHANGES[change](connector)
    pass_by(2.01)
    after = live.find_live(connector.key_id)
    if change in ("policy", "the whole row", "bulk"):
        assert (after == before) == (change == "the whole row")
    else:
        assert after is None
    assert set(noted()) == {connector.uuid}


def test_change__that_is_taken_back_was_none(connector):
    noted()
    with pytest.raises(ZeroDivisionError), issuing.transaction.atomic():
        issuing.revoke_credential(connector.key_id)
        raise ZeroDivisionError
    issuing.revoke_credential(connector.key_id)
    assert noted() == [connector.uuid]
    numbers = ChangeCounter.objects.get().number
    Connector.objects.get().save()
    assert ChangeCounter.objects.get().number == numbers + 1


def test_enrolment_and_heartbeat__are_no_changes():
    uuid = UUID(int=5)
    heartbeat = Registration(name="n", url="http://n", uuid=uuid)
    register(heartbeat, "", "192.0.2.1")
    register(heartbeat, "", "192.0.2.1")
    register(heartbeat.model_copy(update={"url": "http://m"}), "", "192.0.2.2")
    unregister(str(uuid))
    assert noted() == []


def test_log__is_bounded_and_a_worker_behind_it_reads_everything_again(connector, pass_by):
    live.find_live(connector.key_id)
    ChangeCounter.objects.create(pk=1, number=2 * CHANGES_KEPT)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE connector_state_connector SET read_only = %s", [True])
    Connector.objects.get().save()
    assert CredentialChange.objects.count() == 1
    assert database.changes_since(2 * CHANGES_KEPT) == (2 * CHANGES_KEPT + 1, {connector.uuid})
    assert database.changes_since(5) == (2 * CHANGES_KEPT + 1, None)
    assert database.changes_since(3 * CHANGES_KEPT) == (2 * CHANGES_KEPT + 1, None)
    pass_by(2.01)
    assert live.find_live(connector.key_id).policy.read_only


def test_log__of_a_database_that_is_empty(db):
    assert database.changes_since(None) == (0, None)
    assert database.changes_since(0) == (0, set())


def test_by_hand__a_change_is_found_within_a_minute(connector, pass_by):
    live.find_live(connector.key_id)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE connector_state_connector SET read_only = %s", [True])
    pass_by(2.01)
    assert not live.find_live(connector.key_id).policy.read_only
    pass_by(cache.REREAD_SECONDS)
    live._cache.work()
    assert live.find_live(connector.key_id).policy.read_only


# --- A database that is down ----------------------------------------------------------------------


@pytest.fixture
def cut(monkeypatch):
    """Call it, and no statement reaches the database, until the function it returns is called."""

    def cut():
        def refuse(*args: object) -> None:
            raise DatabaseError("refused")

        with_it = database._fetch_once
        monkeypatch.setattr(database, "_fetch_once", refuse)
        return lambda: monkeypatch.setattr(database, "_fetch_once", with_it)

    return cut


def test_outage__calls_go_on_and_then_are_503(connector, stranger, cut, pass_by, client):
    connector.put("v")
    bring_back = cut()
    pass_by(10)
    assert connector.get().json() == {"value": "v"}
    assert stranger.get().status_code == 503
    assert client.get("/readyz?for=state").status_code == 200
    pass_by(300.1)  # since the first look that failed
    assert connector.get().json()["code"] == "database_unavailable"
    bring_back()
    assert connector.get().json() == {"value": "v"}
    assert stranger.get().status_code == 200


def test_connection__that_died_meanwhile_is_no_outage(connector, pass_by, monkeypatch):
    live.find_live(connector.key_id)
    pass_by(2.01)
    fetch = database._fetch_once
    failures = [DatabaseError("the connection was closed")]

    def fail_once(*args):
        if failures:
            raise failures.pop()
        return fetch(*args)

    monkeypatch.setattr(database, "_fetch_once", fail_once)
    issuing.revoke_credential(connector.key_id)
    assert live.find_live(connector.key_id) is None
