"""What is said of a cluster that is in part down, and whom admin's pages ask."""

from types import SimpleNamespace

import pytest
from redis import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError

from common.findings import Finding
from common.redis_cluster import routes
from connector_state.redis_server.cluster import SLOTS, examine
from connector_state.store.scripts.connection import check_answer
from tests.connectors import redis_server_of
from tests.servers import free_port

A, B, REPLICA = (SimpleNamespace(name=name) for name in ("a:1", "b:1", "r:1"))


@pytest.fixture(autouse=True)
def _no_real_cluster(monkeypatch):
    monkeypatch.setattr(routes, "learn", lambda error, place: None)


def cluster(last_slot: int = SLOTS) -> SimpleNamespace:
    """Two primaries with half of the slots each; the first has a replica."""
    slots = {slot: [A, REPLICA] if slot < 8192 else [B] for slot in range(last_slot)}
    return SimpleNamespace(
        nodes_manager=SimpleNamespace(slots_cache=slots), get_redis_connection=lambda node: node
    )


def examine_node(client: SimpleNamespace, uuid: str) -> Finding:
    if client is A:
        raise RedisConnectionError("refused")
    return Finding("Valkey 9.1.2", problems=("No file.",))


def test_examine__names_the_part_that_is_down():
    found = examine(cluster(), examine_node)
    assert found.state == "unsafe"
    assert found.description == (
        "Valkey 9.1.2; cluster of 2 primaries and 1 replicas, 16384 of 16384 slots"
    )
    assert found.dangers == (
        "The primary a:1 does not answer: 8192 of 16384 slots can't be used, until a replica is "
        "promoted.",
    )
    assert found.problems == (
        "The primary b:1 has no replica: if it fails, its slots can't be used.",
        "b:1: No file.",
    )


def test_examine__counts_slots_that_nobody_has():
    found = examine(cluster(16_000), lambda client, uuid: Finding("Valkey 9.1.2"))
    assert found.dangers == ("384 of 16384 slots have no primary: they can't be used.",)


def test_examine__fails_if_no_primary_answers():
    with pytest.raises(RedisConnectionError):
        examine(cluster(8192), examine_node)


def test_check_answer__asks_the_primaries_that_have_the_keys(monkeypatch, settings):
    pools = {
        "alive": redis_server_of("alive").connection_pool,
        "dead": ConnectionPool(host="127.0.0.1", port=free_port()),
    }
    learned = []
    settings.REDIS_CLUSTER = {"startup_nodes": []}
    monkeypatch.setattr(routes, "pool_for", lambda uuid, wait_seconds: pools[uuid])
    monkeypatch.setattr(routes, "place_of", lambda uuid, error: uuid)
    monkeypatch.setattr(routes, "learn", lambda error, place: learned.append(place))
    check_answer(["alive"])
    with pytest.raises(RedisConnectionError):
        check_answer(["alive", "dead"])
    assert learned == ["dead"]
