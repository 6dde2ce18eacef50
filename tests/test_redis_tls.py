"""Redis over TLS with client certificates, with and without sentinels that want a password."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import requests
from redis import Redis
from redis.exceptions import RedisError

from tests.certificates import Authority
from tests.chat.calls import User
from tests.connectors import PREFIX
from tests.environment import ENVIRONMENT
from tests.servers import free_port, granian, wait_until
from tests.test_servers import Product

PROGRAM = shutil.which("redis-server")  # Valkey's wheel has no TLS
PASSWORD, SENTINEL_PASSWORD = "p/w of redis", "p/w of sentinels"

pytestmark = [
    pytest.mark.xdist_group("redis-tls"),
    pytest.mark.skipif(not PROGRAM, reason="no redis-server here (apt-get install redis-server)"),
]


class Encrypted(Product):
    """The product on a primary, a replica and a sentinel, all of which speak TLS alone."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.ours = self.authority.issue("client")
        self._theirs = self.authority.issue("server")
        self.processes: list[subprocess.Popen[bytes]] = []
        super().__init__(granian, folder)

    def start_valkey(self) -> None:
        self.ports = [free_port(), free_port()]
        for port in self.ports:
            lines = ["appendonly yes", "appendfsync always", f"masterauth '{PASSWORD}'"]
            lines += [
                "masteruser app",
                f"user app on '>{PASSWORD}' ~* &* +@all",
                "user default off",
            ]
            if port != self.ports[0]:
                lines.append(f"replicaof 127.0.0.1 {self.ports[0]}")
            self.start_redis(port, lines)
        self.sentinel_port = free_port()
        lines = [
            f"sentinel monitor state 127.0.0.1 {self.ports[0]} 1",
            "sentinel auth-user state app",
            f"sentinel auth-pass state '{PASSWORD}'",
            "user default off",
            f"user app on '>{SENTINEL_PASSWORD}' +@connection +sentinel|masters +sentinel|master"
            " +sentinel|slaves +sentinel|failover",
        ]
        self.start_redis(self.sentinel_port, lines, "--sentinel")
        self.environ |= {
            "REDIS_URL": self.redis_url("state"),
            "REDIS_SENTINELS": f"127.0.0.1:{self.sentinel_port}",
            "REDIS_SENTINEL_TLS": "true",
            "REDIS_SENTINEL_USERNAME": "app",
            "REDIS_SENTINEL_PASSWORD": SENTINEL_PASSWORD,
        }
        watcher = self.client(self.sentinel_port, SENTINEL_PASSWORD)
        wait_until(
            lambda: len(watcher.sentinel_slaves("state")) == 1, 30, "the replica's discovery"
        )

    def redis_url(self, host: str) -> str:
        query = {
            "ssl_ca_certs": self.authority.certificate,
            "ssl_certfile": self.ours.certificate,
            "ssl_keyfile": self.ours.key,
        }
        return f"rediss://app:p%2Fw%20of%20redis@{host}/0?{urlencode(query)}"

    def client(self, port: int, password: str = PASSWORD) -> Redis:
        url = self.redis_url(f"127.0.0.1:{port}")
        return Redis.from_url(url.replace("p%2Fw%20of%20redis", password.replace("/", "%2F")))

    def start_redis(self, port: int, lines: list[str], *arguments: str) -> None:
        folder = self.folder / str(port)
        folder.mkdir()
        lines = [*lines, "port 0", f"tls-port {port}", "bind 127.0.0.1", f"dir {folder}"]
        lines += [f"tls-cert-file {self._theirs.certificate}", f"tls-key-file {self._theirs.key}"]
        lines += [f"tls-ca-cert-file {self.authority.certificate}", "tls-replication yes"]
        config = folder / "redis.conf"
        config.write_text("\n".join([*lines, f"logfile {folder / 'log'}", ""]))
        self.processes.append(subprocess.Popen([PROGRAM, str(config), *arguments]))
        client = self.client(port, SENTINEL_PASSWORD if arguments else PASSWORD)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except RedisError:
                return False

        wait_until(answers, what=f"a PONG ({folder / 'log'})")

    def stop(self) -> None:
        self.server.stop()
        for process in self.processes:
            process.kill()
            process.wait(10)


@pytest.fixture(scope="module")
def product(tmp_path_factory) -> Iterator[Encrypted]:
    product = Encrypted(tmp_path_factory.mktemp("t"))
    yield product
    product.stop()


def works(product: Encrypted, user: str) -> None:
    """State calls on the loop and in threads, the chat's store, and the checks."""
    target = product.connector.path().encode()
    assert product.raw(product.raw_request("PUT", target, b"kept"))[0] == 204
    assert json.loads(product.raw(product.raw_request("GET", target))[1]) == {"value": "kept"}
    enrolled = requests.post(
        f"{product.server.url}{PREFIX}/register",
        json={"name": "n", "url": "http://c"},
        headers={"X-Enrollment-Token": ENVIRONMENT["ENROLLMENT_TOKENS"].partition(",")[0]},
        timeout=20,
    )
    assert enrolled.status_code == 201
    answer = User(product.server, user).chat("add milk")
    assert (answer.status_code, "X-Chat-Degraded" in answer.headers) == (200, False)
    assert requests.get(f"{product.server.url}/readyz", timeout=20).status_code == 200


def test_tls__to_the_primary_and_the_sentinels(product):
    works(product, "alice")
    product.manage("check_stores")


def test_tls__sentinels_that_want_another_password(product):
    right = product.environ["REDIS_SENTINEL_PASSWORD"]
    product.environ["REDIS_SENTINEL_PASSWORD"] = "wrong"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        product.manage("check_stores")
    product.environ["REDIS_SENTINEL_PASSWORD"] = right
    line = failed.value.stdout.splitlines()[0]
    assert "The sentinels refuse REDIS_SENTINEL_PASSWORD, or the user." in line


def test_tls__a_planned_fail_over(product):
    done = product.manage("failover_redis")
    assert f"127.0.0.1:{product.ports[1]} is the primary now" in done
    works(product, "bob")


def test_tls__without_sentinels(product):
    """On the server that is the primary by now, by an address that its certificate has."""
    primary = next(p for p in product.ports if product.client(p).role()[0] == b"master")
    product.server.stop()
    for name in [name for name in product.environ if name.startswith("REDIS_SENTINEL")]:
        del product.environ[name]
    product.environ["REDIS_URL"] = product.redis_url(f"localhost:{primary}")
    product.start()
    works(product, "carol")
