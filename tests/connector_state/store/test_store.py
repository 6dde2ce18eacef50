"""The store against a real Valkey: replays, our own retries, and a Redis that is away."""

import threading
import time

import pytest
from django_redis import get_redis_connection
from redis import exceptions

from connector_state.errors import Forbidden, RateLimited, SignatureRefused, Unavailable
from connector_state.store import values
from connector_state.store.calls import Caller, Limits, Nonce
from connector_state.store.index import list_keys
from connector_state.store.keys import Address
from connector_state.store.operations import Condition, Operation
from connector_state.store.scripts import Source, connection
from connector_state.store.values import StateStore
from tests.connectors import redis_total, tag
from tests.servers import ROOT, freeze, thaw

UUID = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"
DELTA = Address("m365", "delta")


def store_of(nonce: str = "", **limits: int) -> StateStore:
    caller = Caller.operator("tests", Limits(**limits))
    if nonce:
        caller = Caller("kid", Nonce("kid", nonce), Limits(**limits))
    return StateStore(UUID, caller)


def test_replay__of_fifty_at_once_exactly_one_wins(settings):
    outcomes = []
    barrier = threading.Barrier(50)

    def call(number: int) -> None:
        store = store_of("the-captured-nonce")
        barrier.wait()
        try:
            store.put(DELTA, str(number).encode())
            outcomes.append(number)
        except SignatureRefused as refusal:
            assert refusal.code == "replayed"
            outcomes.append(None)

    threads = [threading.Thread(target=call, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [number for number in outcomes if number is not None]
    assert len(outcomes) == 50
    assert store_of().get(DELTA).value == str(winner).encode()


class LostReplies:
    """Lets commands reach Redis and loses the first `lost` of their replies."""

    def __init__(self, monkeypatch, lost: int) -> None:
        self.sent = 0
        real = connection._command

        def command(redis_connection, *arguments):
            reply = real(redis_connection, *arguments)
            self.sent += 1
            if self.sent <= lost:
                raise exceptions.ConnectionError("the reply was lost")
            return reply

        monkeypatch.setattr(connection, "_command", command)


def test_retry__of_our_own_is_not_a_replay(monkeypatch):
    lost = LostReplies(monkeypatch, lost=2)
    store_of("nonce-one").put(DELTA, b"v")
    assert lost.sent == 3
    assert store_of().get(DELTA).value == b"v"
    with pytest.raises(SignatureRefused):
        store_of("nonce-one").put(DELTA, b"w")


def test_retry__of_a_create_gets_the_outcome_of_the_first_try(monkeypatch):
    LostReplies(monkeypatch, lost=1)
    etag = store_of("nonce-two").put(DELTA, b"v", condition=Condition(if_none_match="*"))
    assert etag == store_of().get(DELTA).etag


def test_retry__does_not_write_again_over_what_came_between(monkeypatch):
    real = connection._command
    calls = []

    def command(redis_connection, *arguments):
        reply = real(redis_connection, *arguments)
        calls.append(arguments)
        if len(calls) == 1:
            get_redis_connection().set(
                f"dsxconnect:connector_state:{tag(UUID)}:m365:delta", "between"
            )
            raise exceptions.TimeoutError("the reply was lost")
        return reply

    monkeypatch.setattr(connection, "_command", command)
    store_of("nonce-three").put(DELTA, b"first")
    assert store_of().get(DELTA).value == b"between"


def test_script__unknown_to_a_restarted_redis_is_loaded_again():
    store_of().put(DELTA, b"v")
    get_redis_connection().script_flush()
    assert store_of().get(DELTA).value == b"v"


def test_sweep__of_what_ends_in_this_very_millisecond_comes_to_an_end():
    """Seen: such a member was put back as due now, and found again, for ever."""
    redis = get_redis_connection()
    limits = {"max_keys": 20}
    for number in range(20):
        store_of(**limits).put(Address("m365", f"k{number}"), b"v", ttl_seconds=100)
    expiries = f"statekeep:{{{UUID}}}:expiries"
    for tick in range(150):
        seconds, micros = redis.time()
        now_ms = seconds * 1000 + micros // 1000
        for number in range(20):
            # the index says now, and the value has not gone yet
            redis.zadd(expiries, {f"m365:k{number}": now_ms + number % 3})
            redis.pexpireat(f"dsxconnect:connector_state:{tag(UUID)}:m365:k{number}", now_ms + 5)
        for number in range(5):
            try:
                store_of(**limits).put(Address("m365", f"n{tick}-{number}"), b"v", ttl_seconds=1)
            except Forbidden as refused:
                assert refused.code == "quota_exceeded"


def test_quota__of_many_expired_keys_is_swept_in_bounded_steps(monkeypatch):
    redis = get_redis_connection()
    members = {f"m365:gone{number}": 1 for number in range(5000)}
    redis.zadd(f"statekeep:{{{UUID}}}:expiries", members)
    redis.zadd(f"statekeep:{{{UUID}}}:index", dict.fromkeys(members, 0))
    runs = []
    real = connection.run
    monkeypatch.setattr(
        connection, "run", lambda *call, **kwargs: runs.append(call) or real(*call, **kwargs)
    )
    store_of(max_keys=10).put(DELTA, b"v")
    assert len(runs) == 11  # two for each 1,000, and others in between
    assert redis.zcard(f"statekeep:{{{UUID}}}:index") == 1


def test_rate__a_clock_that_stepped_back_makes_nobody_wait_for_long():
    redis = get_redis_connection()
    ahead = (time.time() + 3600) * 1000
    redis.set(f"statekeep:{{{UUID}}}:rate", f"{ahead:.3f}", ex=4000)
    with pytest.raises(RateLimited) as limited:
        store_of(requests_per_second=10).get(DELTA)
    assert limited.value.retry_after_seconds == 1


def test_connections__of_threads_that_ended_are_closed():
    def clients() -> int:
        return redis_total("clients", "connected_clients")

    before = clients()
    for _ in range(150):
        thread = threading.Thread(target=lambda: store_of().get(DELTA))
        thread.start()
        thread.join()
    assert clients() <= before + 2


def test_bare_script__of_the_benchmark_stores_what_a_put_does(monkeypatch):
    bare = (ROOT / "benchmarks/bare.lua").read_text()
    monkeypatch.setattr(values._OPERATE, "usual", Source(bare))
    store_of().put(DELTA, b"bare")
    monkeypatch.undo()
    assert store_of().get(DELTA).value == b"bare"


def test_outage__shorter_than_the_wait_is_not_noticed(other_redis, settings):
    start, stop = other_redis.start, other_redis.stop
    settings.REDIS_RETRY_SECONDS = 20
    store_of().put(DELTA, b"v")
    stop()
    back = threading.Timer(0.5, start)
    back.start()
    assert store_of().get(DELTA).value == b"v"
    back.join()


def test_outage__longer_than_the_wait_is_unavailable(other_redis, settings):
    stop = other_redis.stop
    settings.REDIS_RETRY_SECONDS = 0.3
    stop()
    with pytest.raises(Unavailable):
        store_of().get(DELTA)


def test_outage__that_goes_on_lets_no_calls_queue_up(other_redis, settings):
    stop = other_redis.stop
    settings.REDIS_RETRY_SECONDS = 1
    stop()
    with pytest.raises(Unavailable):
        store_of().get(DELTA)
    began = time.monotonic()
    for _ in range(10):
        with pytest.raises(Unavailable):
            store_of().get(DELTA)
    assert time.monotonic() - began < 5  # ten waits of a second would be ten


def test_outage__a_frozen_redis_is_unavailable_and_recovers(other_redis, settings):
    settings.REDIS_RETRY_SECONDS = 0.1
    store_of().put(DELTA, b"v")
    freeze(other_redis.pid)
    with pytest.raises(Unavailable):
        store_of().get(DELTA)
    thaw(other_redis.pid)
    assert store_of().get(DELTA).value == b"v"


def test_power_cut__right_after_a_write_keeps_it(other_redis):
    start, stop = other_redis.start, other_redis.stop
    for number in range(20):
        store_of().put(DELTA, str(number).encode())
        stop()
        start()
        assert store_of().get(DELTA).value == str(number).encode()


@pytest.fixture
def full_redis(other_redis):
    """A Valkey with one value, b"v" at DELTA, and no memory left."""
    store_of().put(DELTA, b"v")
    connection.get_redis_connection().config_set("maxmemory", 1)


def keys_of_delta():
    return list_keys(UUID, Caller.operator("tests"), DELTA.namespace).keys


def _code_of_unavailable(operation):
    with pytest.raises(Unavailable) as error:
        operation()
    return error.value.code


@pytest.mark.usefixtures("full_redis")
def test_full__refuses_what_adds_and_says_so():
    put, get = Operation("put", DELTA, b"w"), Operation("get", DELTA)
    assert _code_of_unavailable(lambda: store_of().put(DELTA, b"w")) == "store_full"
    assert _code_of_unavailable(lambda: store_of().operate([get, put])) == "store_full"
    assert store_of().get(DELTA).value == b"v"


@pytest.mark.usefixtures("full_redis")
def test_full__reads_lists_and_deletes():
    assert store_of().get(DELTA).value == b"v"
    assert [key.key for key in keys_of_delta()] == [DELTA.key]
    assert store_of().expire(DELTA, 60)
    assert store_of().delete(DELTA)
    assert store_of().get(DELTA) is None
    assert keys_of_delta() == []


@pytest.mark.usefixtures("full_redis")
def test_full__a_nonce_is_good_for_one_request_all_the_same():
    assert store_of("the-captured-nonce").delete(DELTA)
    with pytest.raises(SignatureRefused):
        store_of("the-captured-nonce").get(DELTA)


@pytest.mark.usefixtures("full_redis")
def test_full__costs_no_connection_a_call():
    store_of().get(DELTA)
    client = connection.get_redis_connection()
    before = client.info("stats")["total_connections_received"]
    for _ in range(20):
        store_of().get(DELTA)
    assert client.info("stats")["total_connections_received"] == before


def test_full__as_redis_6_says_it(monkeypatch):
    def refuse(*_: object) -> None:
        raise exceptions.ResponseError(
            "Error running script (call to f_1ab): @user_script:21: @user_script: 21: "
            "-OOM command not allowed when used memory > 'maxmemory'."
        )

    monkeypatch.setattr(connection, "_command", refuse)
    monkeypatch.setattr(connection.time, "sleep", lambda _: pytest.fail("it waited"))
    assert _code_of_unavailable(lambda: store_of().get(DELTA)) == "store_full"


def test_api__redis_away_is_503_with_retry_after(connector, other_redis, settings):
    stop = other_redis.stop
    settings.REDIS_RETRY_SECONDS = 0.2
    stop()
    for method in ("GET", "PUT", "DELETE"):
        response = connector.call(method, connector.path())
        assert (response.status_code, response["Retry-After"]) == (503, "2")
        assert response.json()["code"] == "store_unavailable"
