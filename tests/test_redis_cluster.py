"""The product on a real cluster of six: calls, a primary that dies, slots that move."""

import itertools
import json
import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest
import requests
from redis.crc import key_slot
from redis.exceptions import AskError

from tests.chat.calls import User
from tests.connectors import PREFIX, SigningConnector
from tests.redis_cluster import RedisCluster
from tests.servers import granian, start_valkey, wait_until
from tests.test_servers import Product


class Clustered(Product):
    """The product on three primaries and three replicas."""

    def start_valkey(self) -> None:
        self.cluster = RedisCluster(self.folder / "cluster", "--appendonly", "yes").start()
        self.environ |= {
            "REDIS_URL": "",
            "REDIS_CLUSTER": self.cluster.addresses,
            "REDIS_RETRY_SECONDS": "8",
            "HMAC_SKEW_SECONDS": "600",  # so that a replay is one on a slow machine too
            "CHAT_STATE_STORE": "redis",
        }

    def stop(self) -> None:
        self.server.stop()
        self.cluster.stop()

    def call(self, connector: SigningConnector, method: str, key: str, body: bytes = b"") -> int:
        """Make a call of a connector; return its status."""
        return self.raw(self.request(connector, method, key, body))[0]

    def request(self, connector: SigningConnector, method: str, key: str, body: bytes) -> bytes:
        """Return a signed request."""
        own, self.connector = self.connector, connector
        try:
            return self.raw_request(method, connector.path(key=key).encode(), body)
        finally:
            self.connector = own

    def connector_on(self, port: int) -> SigningConnector:
        """Create a connector whose slot is one of this primary's."""
        uuid = next(
            uuid for uuid in map(str, iter(uuid4, None)) if self.cluster.primary_of(uuid) == port
        )
        made = requests.post(
            f"{self.server.url}{PREFIX}/register",
            json={"name": "clustered", "url": "http://c", "uuid": uuid},
            headers={"X-Enrollment-Token": "enrol-me"},
            timeout=30,
        ).json()
        return SigningConnector(uuid, made["hmac_key_id"], made["hmac_secret"])

    def stored(self, connector: SigningConnector, key: str) -> bytes | None:
        """Return what the primary of the connector's slot has under the documented key."""
        client = self.cluster.client(self.cluster.primary_of(connector.uuid))
        value: bytes | None = client.get(
            f"dsxconnect:connector_state:{{{connector.uuid}}}:m365:{key}"
        )
        return value


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clustered]:
    product = Clustered(granian, tmp_path_factory.mktemp("clustered"))
    yield product
    product.stop()


@pytest.fixture(scope="module")
def connectors(product: Clustered) -> list[SigningConnector]:
    """One on each primary."""
    return [product.connector_on(port) for port in sorted(product.cluster.primaries())]


def test_cluster__each_connector_is_in_one_slot_and_no_replay_is_admitted(product, connectors):
    for connector in connectors:
        request = product.request(connector, "PUT", "k", connector.uuid.encode())
        assert [product.raw(request)[0] for _ in range(2)] == [204, 401]
        assert product.stored(connector, "k") == connector.uuid.encode()
        assert json.loads(product.raw(product.request(connector, "GET", "k", b""))[1]) == {
            "value": connector.uuid
        }


def test_cluster__a_batch_a_listing_and_a_command_know_the_values(product, connectors):
    for connector in connectors:
        assert product.call(connector, "PUT", "listed", b"v") == 204
        product.connector, own = connector, product.connector
        target = f"{PREFIX}/state/{connector.uuid}/m365".encode()
        status, body = product.raw(product.raw_request("GET", target))
        product.connector = own
        assert (status, "listed" in {k["key"] for k in json.loads(body)["keys"]}) == (200, True)
    assert "of 16384 slots" in product.manage("check_stores")
    assert product.manage("reindex_connector_state")


def test_cluster__chats_are_stored(product):
    alice = User(product.server)
    for number in range(4):
        answer = alice.chat("hello", f"c{number}")
        assert (answer.status_code, "X-Chat-Degraded" in answer.headers) == (200, False)
        assert {m["status"] for m in alice.messages(f"c{number}")} == {"stored"}


def test_cluster__a_conversation_that_is_half_moved_is_found_and_written(product):
    alice, cluster = User(product.server), product.cluster
    alice.chat("hello", "asked")
    source, key = next(
        (port, key) for port in cluster.primaries() for key in cluster.client(port).keys("*asked*")
    )
    slot, target = key_slot(key), other_primary(product, source)
    cluster.begin_to_move(slot, target)
    # It is on the other node now, which takes commands for it only after ASKING.
    cluster.client(source).execute_command("MIGRATE", "127.0.0.1", target, key, 0, 5000)
    answer = alice.chat("again", "asked")
    assert (answer.status_code, "X-Chat-Degraded" in answer.headers) == (200, False)
    with pytest.raises(AskError):
        cluster.client(source).get(key)
    cluster.end_move(slot, source, target)
    assert b"again" in cluster.client(target).get(key)
    assert {m["status"] for m in alice.messages("asked")} == {"stored"}


def other_primary(product: Clustered, port: int) -> int:
    return next(other for other in product.cluster.primaries() if other != port)


def test_cluster__a_slot_that_moves_key_by_key_makes_its_connector_wait(product, connectors):
    moving, steady = connectors[:2]
    assert product.call(moving, "PUT", "moved", b"v") == 204
    cluster, source = product.cluster, product.cluster.primary_of(moving.uuid)
    target = other_primary(product, source)
    slot = key_slot(moving.uuid.encode())
    cluster.begin_to_move(slot, target)
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(product.call(moving, "PUT", "moved", b"w"))
    )
    waiting.start()
    assert product.call(steady, "PUT", "steady", b"v") == 204
    cluster.end_move(slot, source, target)
    waiting.join()
    assert answers == [204]
    assert (cluster.primary_of(moving.uuid), product.stored(moving, "moved")) == (target, b"w")


def test_cluster__a_slot_that_moves_at_once_keeps_nobody_waiting(product, connectors):
    moving = connectors[2]
    cluster, source = product.cluster, product.cluster.primary_of(moving.uuid)
    target = other_primary(product, source)
    cluster.move_at_once(key_slot(moving.uuid.encode()), target)
    statuses = set()
    for number in itertools.count():
        statuses.add(product.call(moving, "PUT", f"n{number}", b"v"))
        if cluster.primary_of(moving.uuid) == target and number >= 50:
            break
    assert statuses == {204}
    assert product.stored(moving, "n0") == b"v"


def test_cluster__calls_go_on_when_a_primary_dies(product, connectors):
    cluster, struck = product.cluster, connectors[1]
    victim = cluster.primary_of(struck.uuid)
    assert product.call(struck, "PUT", "kept", b"v") == 204
    replayed = product.request(struck, "PUT", "last", b"v")
    assert product.raw(replayed)[0] == 204
    assert cluster.client(victim).wait(1, 30_000) == 1
    cluster.kill(victim)
    assert product.call(struck, "PUT", "new", b"w") == 204
    assert cluster.primary_of(struck.uuid) != victim
    assert product.raw(replayed)[0] == 401
    assert (product.stored(struck, "kept"), product.stored(struck, "new")) == (b"v", b"w")
    cluster.start_node(victim)
    cluster.wait_until_whole()
    assert requests.get(f"{product.server.url}/readyz", timeout=30).json()["redis"] == "ok"


def test_cluster__a_worker_that_was_asked_nothing_while_a_replica_was_promoted_is_ready(product):
    cluster = product.cluster
    victim = next(iter(cluster.primaries()))
    cluster.kill(victim)
    wait_until(lambda: victim not in cluster.primaries(), 60, "a promotion")
    cluster.start_node(victim)
    cluster.wait_until_whole()
    assert requests.get(f"{product.server.url}/readyz", timeout=30).json()["redis"] == "ok"


# In one process, as each takes a second to start.
ON_THE_SINGLE_REDIS = """
from django.core.management import call_command
from django_redis import get_redis_connection
uuid, file = {arguments}
call_command("import_state", uuid, file)
key = f"dsxconnect:connector_state:{{uuid}}:m365:moves0"
assert get_redis_connection().getset(key, "changed meanwhile") == b"v"
call_command("import_state", uuid, file, "--overwrite", "--dry-run")
call_command("export_state", uuid, "--file", file + "-back")
"""


def test_move__to_a_single_redis_and_back(product, connectors, tmp_path):
    """As docs/production.md says it, with its dry run."""
    connector, file, socket = connectors[0], str(tmp_path / "export"), tmp_path / "s"
    for number in range(3):
        assert product.call(connector, "PUT", f"moves{number}", b"v") == 204
    product.manage("export_state", connector.uuid, "--file", file)
    valkey = start_valkey(tmp_path / "data", "--port", "0", "--unixsocket", str(socket))
    single = {"REDIS_CLUSTER": "", "REDIS_URL": f"unix://{socket}"}
    script = ON_THE_SINGLE_REDIS.format(arguments=(connector.uuid, file))
    try:
        told = product.manage("shell", "--no-imports", "-c", script, **single)
    finally:
        valkey.terminate()
        valkey.wait(10)
    assert "Would import: 0 new; existing: 1 different" in told
    product.manage("import_state", connector.uuid, f"{file}-back", "--overwrite")
    assert product.stored(connector, "moves0") == b"changed meanwhile"
