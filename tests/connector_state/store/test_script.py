"""The scripts against a real Valkey: the keys that they declare, marks, and what a retry gets."""

import pytest
from django_redis import get_redis_connection
from redis import exceptions

from connector_state.errors import Forbidden, PreconditionFailed, SignatureRefused
from connector_state.store import index
from connector_state.store.calls import Caller, Limits, Nonce, claim
from connector_state.store.keys import Address, connector_keys
from connector_state.store.operations import Condition, Deleted, Operation, Written
from connector_state.store.scripts import connection
from connector_state.store.values import StateStore, etag_of
from tests.connectors import redis_server_of

UUID = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"
DELTA = Address("m365", "delta")
OTHER = Address("m365", "other")


def signed(nonce: str, **limits: int) -> Caller:
    return Caller("kid", Nonce("kid", nonce), Limits(**limits))


def store(nonce: str, **limits: int) -> StateStore:
    return StateStore(UUID, signed(nonce, **limits))


def keys_of(command: list[str]) -> set[str]:
    """The keys of a command that a script runs."""
    name, *arguments = command
    if name == "TIME":
        return set()
    return set(arguments) if name == "EXISTS" else {arguments[0]}


def work() -> None:
    """Every script, on every path."""
    limits = {"requests_per_second": 1000, "max_keys": 3, "max_bytes": 1000}
    calls = (store(f"nonce-{number:04}", **limits) for number in range(1000))
    claim(UUID, signed("a-claim-of-its-own"))
    for number in range(3):
        next(calls).put(Address("m365", f"k{number}"), b"v", 1)
    with pytest.raises(Forbidden):
        next(calls).put(DELTA, b"v")
    redis, keys = get_redis_connection(), connector_keys(UUID)
    for member in ("m365:k0", "m365:k1"):
        redis.zadd(keys.named("expiries"), {member: 1})
        redis.delete(keys.value_prefix + member)
    etag = next(calls).put(DELTA, b"v", "keep")
    with pytest.raises(PreconditionFailed):
        next(calls).put(DELTA, b"w", condition=Condition(if_none_match=etag))
    next(calls).put(DELTA, b"w", 60, Condition(if_match=etag))
    next(calls).expire(DELTA, None)
    next(calls).expire(DELTA, 60)
    next(calls).operate([Operation("get", DELTA), Operation("put", OTHER, b"v")])
    next(calls).get(DELTA)
    next(calls).delete(OTHER)
    redis.delete(keys.value_prefix + "m365:k2")
    index.list_namespaces(UUID, signed("list-namespaces"))
    assert [row.key for row in index.list_keys(UUID, signed("list-keys"), "m365").keys] == ["delta"]
    list(index.reindex(UUID, "tests"))
    redis.hset(keys.revoked, "kid", "1")
    with pytest.raises(SignatureRefused):
        next(calls).get(DELTA)


def test_scripts__use_no_key_that_they_do_not_declare():
    redis, runs, declared = redis_server_of(UUID), 0, set()
    redis.script_flush()  # else how many runs there are depends on the tests before this one
    with redis.monitor() as monitor:
        work()
        redis.echo("the-end")
        for entry in monitor.listen():
            command = entry["command"].split(" ")
            if command[0] in {"EVAL", "EVALSHA"}:
                runs += 1
                first = next(n for n, word in enumerate(command) if word.startswith("statekeep:"))
                declared = set(command[first : first + int(command[first - 1])])
            elif entry["client_type"] == "lua":
                assert keys_of(command) <= declared, command
            elif command == ["ECHO", "the-end"]:
                break
    assert runs > 20


def test_revoked__a_key_id_or_all_of_them_are_refused_at_once():
    keys, redis = connector_keys(UUID), get_redis_connection()
    store("nonce-0001").put(DELTA, b"v")
    for mark in ("kid", "*"):
        redis.hset(keys.revoked, mark, "1")
        for number, call in enumerate(
            (
                lambda s: s.get(DELTA),
                lambda s: s.put(DELTA, b"w"),
                lambda s: s.operate([Operation("get", DELTA)] * 4),
            )
        ):
            with pytest.raises(SignatureRefused) as refused:
                call(store(f"{mark}-{number}"))
            assert (refused.value.code, refused.value.reason) == ("bad_signature", "unknown_key_id")
        with pytest.raises(SignatureRefused):
            claim(UUID, signed(f"{mark}-claim"))
        assert StateStore(UUID, Caller.operator("tests")).get(DELTA).value == b"v"
        redis.delete(keys.revoked)
    redis.hset(keys.revoked, "another", "1")
    assert store("nonce-0002").get(DELTA).value == b"v"


def test_revoked__spends_the_nonce_and_notes_no_use():
    keys, redis = connector_keys(UUID), get_redis_connection()
    redis.hset(keys.revoked, "kid", "1")
    caller = signed("nonce-0001")
    with pytest.raises(SignatureRefused):
        claim(UUID, caller)
    assert caller.nonce.claimed
    assert not redis.exists(keys.named("last_used"))
    redis.delete(keys.revoked)
    with pytest.raises(SignatureRefused) as refused:
        claim(UUID, signed("nonce-0001"))
    assert refused.value.code == "replayed"


@pytest.fixture
def lost_reply(monkeypatch) -> None:
    """The first reply of each script is lost."""
    real = connection._evaluate
    seen: set[str] = set()

    def evaluate(source, keys, arguments):
        reply = real(source, keys, arguments)
        if keys[0] in seen:
            return reply
        seen.add(keys[0])
        raise exceptions.ConnectionError("the reply was lost")

    monkeypatch.setattr(connection, "_evaluate", evaluate)


@pytest.mark.usefixtures("lost_reply")
def test_retry__of_what_was_refused_is_refused_again():
    """A claim without an outcome must not look like a success."""
    operator = StateStore(UUID, Caller.operator("tests"))
    etag = operator.put(DELTA, b"v")
    with pytest.raises(PreconditionFailed):
        store("nonce-0001").put(DELTA, b"w", condition=Condition(if_none_match="*"))
    with pytest.raises(PreconditionFailed):
        store("nonce-0002").delete(DELTA, Condition(if_match="0" * 40))
    with pytest.raises(Forbidden):
        store("nonce-0003", max_keys=1).put(OTHER, b"w")
    assert StateStore(UUID, Caller.operator("tests")).get(DELTA).etag == etag


@pytest.mark.usefixtures("lost_reply")
def test_retry__of_a_batch_gets_the_outcome_of_each():
    batch = [
        Operation("put", DELTA, b"v", condition=Condition(if_none_match="*")),
        Operation("get", OTHER),
        Operation("delete", OTHER),
    ]
    written, nothing, deleted = store("nonce-0001").operate(batch)
    assert (written, nothing, deleted) == (Written(etag_of(b"v")), None, Deleted(existed=False))
    assert store("nonce-0002").operate([Operation("delete", DELTA)]) == [Deleted(existed=True)]


def test_list_keys__of_a_page_with_gaps_is_full():
    operator = Caller.operator
    for number in range(60):
        StateStore(UUID, operator("t")).put(Address("m365", f"k{number:02}"), b"v")
    prefix = connector_keys(UUID).value_prefix
    get_redis_connection().delete(*(f"{prefix}m365:k{number:02}" for number in range(0, 60, 3)))
    page = index.list_keys(UUID, operator("t"), "m365", limit=30)
    assert [row.key for row in page.keys] == [f"k{n:02}" for n in range(60) if n % 3][:30]
    assert page.more
    rest = index.list_keys(UUID, operator("t"), "m365", after=page.last, limit=30)
    assert (len(rest.keys), rest.more) == (10, False)
