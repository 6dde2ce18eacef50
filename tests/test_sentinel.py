"""A real fail-over: two Valkeys, three sentinels, and state calls that go on."""

import asyncio
import itertools
import json
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from redis import Redis
from redis.exceptions import RedisError
from redis.sentinel import Sentinel, SentinelConnectionPool

from connector_state.store.calls import Caller
from connector_state.store.keys import Address
from connector_state.store.scripts import loop_connection
from connector_state.store.values import AsyncStateStore
from tests.chat.calls import User
from tests.servers import (
    free_port,
    freeze,
    granian,
    sees_all,
    start_sentinel,
    start_valkey,
    thaw,
    wait_until,
)
from tests.test_servers import Product


class Replicated(Product):
    """The product on a primary, a replica and three sentinels."""

    def start_valkey(self) -> None:
        self.ports = [free_port(), free_port()]
        self.valkeys = []
        for number, port in enumerate(self.ports):
            arguments = ["--port", str(port), "--appendonly", "yes"]
            if number:
                arguments += ["--replicaof", f"127.0.0.1 {self.ports[0]}"]
            self.valkeys.append(start_valkey(self.folder / f"v{port}", *arguments))
        sentinels = self.sentinels = []
        for _ in range(3):
            port = free_port()
            folder = self.folder / f"s{port}"
            folder.mkdir()
            config = folder / "sentinel.conf"
            config.write_text(
                f"sentinel monitor State 127.0.0.1 {self.ports[0]} 2\n"
                "sentinel down-after-milliseconds State 400\n"
                "sentinel failover-timeout State 3000\n"
            )
            self.valkeys.append(start_sentinel(config, port))
            sentinels.append(f"127.0.0.1:{port}")
        self.environ |= {
            "REDIS_URL": "redis://State/0",  # a capital: as it is written, it is the service's name
            "REDIS_SENTINELS": ",".join(sentinels),
            "REDIS_RETRY_SECONDS": "8",
            "HMAC_SKEW_SECONDS": "600",  # so that a replay is one on a slow machine too
            "CHAT_MAX_TURNS_PER_PROCESS": "4",
        }
        primary = Redis(port=self.ports[0])
        wait_until(lambda: primary.info("replication")["connected_slaves"] == 1, 30, "replication")
        watcher = int(sentinels[0].rpartition(":")[2])
        wait_until(lambda: sees_all(watcher, "State"), 30, "the sentinels' meeting")

    def stop(self) -> None:
        self.server.stop()
        for process in self.valkeys:
            process.kill()
            process.wait(10)


@pytest.fixture
def product(tmp_path):
    product = Replicated(granian, tmp_path)
    yield product
    product.stop()


def test_sentinel__reads_go_on_through_a_fail_over(product):
    target = product.connector.path().encode()
    assert product.raw(product.raw_request("PUT", target, b"kept"))[0] == 204
    primary = Redis(port=product.ports[0])
    primary.wait(1, 5000)
    answers = []

    def read() -> None:
        for _ in range(5):
            answers.append(product.raw(product.raw_request("GET", target)))

    product.valkeys[0].kill()
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answers} == {200}
    assert {json.loads(body)["value"] for _, body in answers} == {"kept"}
    assert product.raw(product.raw_request("PUT", target, b"new"))[0] == 204
    assert (
        Redis(port=product.ports[1]).get(
            f"dsxconnect:connector_state:{product.connector.uuid}:m365:delta"
        )
        == b"new"
    )


def test_sentinel__calls_of_an_event_loop_go_on_through_a_fail_over(product, monkeypatch, settings):
    settings.REDIS_RETRY_SECONDS = 30
    limits = {"socket_timeout": 1, "socket_connect_timeout": 1}
    addresses = [("127.0.0.1", int(s.rpartition(":")[2])) for s in product.sentinels]
    pool = SentinelConnectionPool("State", Sentinel(addresses, sentinel_kwargs=limits), **limits)
    client = SimpleNamespace(connection_pool=pool)
    monkeypatch.setattr(loop_connection, "get_redis_connection", lambda: client)

    def store() -> AsyncStateStore:
        return AsyncStateStore(product.connector.uuid, Caller.operator("tests"))

    async def work() -> None:
        address = Address("m365", "loop")
        await store().put(address, b"kept")
        await asyncio.to_thread(Redis(port=product.ports[0]).wait, 1, 5000)
        product.valkeys[0].kill()
        entries = await asyncio.gather(*(store().get(address) for _ in range(100)))
        assert {entry.value for entry in entries} == {b"kept"}
        await store().put(address, b"new")

    asyncio.run(work())
    key = f"dsxconnect:connector_state:{product.connector.uuid}:m365:loop"
    assert Redis(port=product.ports[1]).get(key) == b"new"


CONVERSATIONS = ("c0", "c1", "c2")
BEFORE = 2  # answers in each of them, before the primary dies
FAIL_OVER_SECONDS_MAX = 60


def test_sentinel__chats_in_the_midst_of_a_fail_over(product):
    answered, is_dead = threading.Semaphore(0), threading.Event()

    def converse(conversation: str) -> list[str]:
        """Say one thing after the other, until the store is there again; return what was said."""
        alice, said = User(product.server), []
        give_up_at = time.monotonic() + FAIL_OVER_SECONDS_MAX
        while time.monotonic() < give_up_at:
            died_before = is_dead.is_set()
            said.append(f"add {conversation}-{len(said)}")
            began = time.monotonic()
            answer = alice.chat(said[-1], conversation)
            assert (answer.status_code, time.monotonic() - began < 20) == (200, True), answer.text
            is_degraded = "X-Chat-Degraded" in answer.headers
            if died_before and not is_degraded:
                return said
            answered.release()
            if is_degraded:
                time.sleep(0.2)  # no more than the window holds
        raise AssertionError("the store did not come back")

    with ThreadPoolExecutor(len(CONVERSATIONS)) as pool:
        under_way = [pool.submit(converse, conversation) for conversation in CONVERSATIONS]
        for _ in range(BEFORE * len(CONVERSATIONS)):
            assert answered.acquire(timeout=30)
        product.valkeys[0].kill()
        is_dead.set()
        said = [each.result(2 * FAIL_OVER_SECONDS_MAX) for each in under_way]

    product.manage("flush_pending_turns")
    for conversation, texts in zip(CONVERSATIONS, said, strict=True):
        messages = User(product.server).messages(conversation)
        assert {message["status"] for message in messages} == {"stored"}
        assert [m["content"] for m in messages if m["role"] == "user"] == texts
        calls = [call for m in messages for call in m["tool_calls"] or ()]
        titles = [call["parameters"]["title"] for call in calls]
        assert titles == [text.removeprefix("add ") for text in texts]


REPLAYS = 200


class Writers:
    """Threads that store one value after the other under keys of their own, until stopped."""

    def __init__(self, product: Replicated, count: int = 4) -> None:
        self._product = product
        self._stopped = threading.Event()
        self.refused: list[tuple[int, bytes]] = []
        self.acknowledged: dict[str, bytes] = {}  # the requests, by key
        self._threads = [threading.Thread(target=self._write, args=[n]) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _write(self, writer: int) -> None:
        for number in itertools.count():
            if self._stopped.is_set():
                return
            key = f"{writer}-{number}"
            target = self._product.connector.path(key=key).encode()
            request = self._product.raw_request("PUT", target, key.encode())
            status, body = self._product.raw(request)
            if status == 204:
                self.acknowledged[key] = request
            else:
                self.refused.append((status, body))
            self._stopped.wait(0.02)

    def wait_for(self, more: int) -> None:
        enough = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= enough, 60, f"{more} more writes")

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def test_sentinel__a_planned_fail_over_loses_no_write_and_admits_no_replay(product):
    for sentinel in product.sentinels:  # on a slow machine they would begin one unasked
        Redis.from_url(f"redis://{sentinel}").sentinel_set(
            "State", "down-after-milliseconds", 60000
        )
    writers = Writers(product)
    try:
        writers.wait_for(50)
        before = len(writers.acknowledged)
        said = product.manage("failover_redis")
        after = len(writers.acknowledged)
        writers.wait_for(50)
    finally:
        writers.stop()
    old, new = product.ports
    assert f"127.0.0.1:{new} is the primary now, 127.0.0.1:{old} its replica" in said
    assert writers.refused == []  # they waited
    prefix = f"dsxconnect:connector_state:{product.connector.uuid}:m365:"
    keys = list(writers.acknowledged)
    values = Redis(port=new).mget(prefix + key for key in keys)
    assert [key for key, value in zip(keys, values, strict=True) if value != key.encode()] == []
    around = list(writers.acknowledged.values())[before:after]
    replays = [product.raw(request) for request in around[:: len(around) // REPLAYS + 1]]
    assert {(s, json.loads(body)["code"]) for s, body in replays} == {(401, "replayed")}


def is_up(replica: dict[str, object]) -> bool:
    return not (replica["is_sdown"] or replica["is_disconnected"])


def test_sentinel__a_planned_fail_over_that_cannot_be_leaves_all_as_it_was(product):
    freeze(product.valkeys[1].pid)
    try:
        with pytest.raises(subprocess.CalledProcessError) as refused:
            product.manage("failover_redis", "--timeout", "5")
    finally:
        thaw(product.valkeys[1].pid)
    assert "Nothing was changed: writes go on at 127.0.0.1" in refused.value.stderr
    assert "Traceback" not in refused.value.stderr
    target = product.connector.path().encode()
    assert product.raw(product.raw_request("PUT", target, b"kept"))[0] == 204
    assert Redis(port=product.ports[0]).role()[0] == b"master"
    # A step fails while writes are paused already: the replica does not tell how far it is.
    rules = ("on", "nopass", "~*", "&*", "+@all", "-replicaof")
    for port, more in zip(product.ports, ([], ["-role"]), strict=True):
        Redis(port=port).execute_command("ACL", "SETUSER", "half", *rules, *more)
    for sentinel in product.sentinels:
        watcher = Redis.from_url(f"redis://{sentinel}")
        wait_until(lambda w=watcher: is_up(w.sentinel_slaves("State")[0]), 30, "the replica")
    product.environ["REDIS_URL"] = "redis://half:any@State/0"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        product.manage("failover_redis")
    assert "Nothing was changed: writes go on at 127.0.0.1" in refused.value.stderr
    assert "'role' command" in refused.value.stderr
    assert Redis(port=product.ports[0], socket_timeout=5).set("kept", "x")
    # From here on somebody is promoted, but the old primary can't be told.
    Redis(port=product.ports[1]).execute_command("ACL", "SETUSER", "half", "+role")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        product.manage("failover_redis")
    assert "is the primary now, but" in refused.value.stderr
    assert "+replicaof" in refused.value.stderr
    with pytest.raises((RedisError, OSError)):  # it is paused, or a replica by now
        Redis(port=product.ports[0], socket_timeout=1).set("lost", "x")
