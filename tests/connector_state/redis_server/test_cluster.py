"""What is said of a cluster that is in part down, and whom admin's pages ask."""

from types import SimpleNamespace

import pytest
from redis import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError

from common.findings import Finding, Unfit
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


def test_examine__names_the_part_that_loads_its_data():
    def examine_node(client: SimpleNamespace, uuid: str) -> Finding:
        if client is B:
            raise Unfit("Redis is still loading what it has stored. Wait.")
        return Finding("Valkey 9.1.2")

    found = examine(cluster(), examine_node)
    assert (found.state, found.dangers) == (
        "unsafe",
        (
            "The primary b:1 can't be used, and neither can 8192 of 16384 slots: Redis is still "
            "loading what it has stored. Wait.",
        ),
    )


def test_examine__tells_why_no_primary_can_be_used():
    def examine_node(client: SimpleNamespace, uuid: str) -> Finding:
        if client is A:
            raise RedisConnectionError("refused")
        raise Unfit("Redis is still loading what it has stored. Wait.")

    with pytest.raises(Unfit, match="still loading"):
        examine(cluster(), examine_node)


def test_examine__asks_for_the_primaries_anew_if_one_is_none_any_more(monkeypatch):
    known, now = cluster(), cluster()
    now.nodes_manager.slots_cache = {slot: [B] for slot in range(SLOTS)}

    def examine_node(client: SimpleNamespace, uuid: str) -> Finding:
        if client is A:
            raise MovedError("0 127.0.0.1:6379")
        return Finding("Valkey 9.1.2")

    def ask_nodes(client: SimpleNamespace) -> None:
        client.nodes_manager = now.nodes_manager

    monkeypatch.setattr(routes, "ask_nodes", ask_nodes)
    found = examine(known, examine_node)
    assert (found.dangers, found.description) == (
        (),
        "Valkey 9.1.2; cluster of 1 primaries and 0 replicas, 16384 of 16384 slots",
    )


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
