"""A Redis Cluster over TLS with client certificates, and a user with few permissions there."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.certificates import Authority
from tests.redis_cluster import RedisCluster
from tests.servers import ROOT, free_port, granian
from tests.test_redis_tls import PROGRAM, works
from tests.test_redis_users import ALL, SMALLEST
from tests.test_servers import Product

pytestmark = pytest.mark.skipif(
    not PROGRAM, reason="no redis-server here (apt-get install redis-server)"
)

OF_CLUSTER = "+cluster|slots"


class EncryptedCluster(RedisCluster):
    """Six nodes that speak TLS to the service and to each other, and plainly to the tests alone."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        super().__init__(folder, program=PROGRAM)
        self.tls_ports = {port: free_port() for port in self.ports}
        self._pair, self._authority = authority.issue("server"), authority

    @property
    def addresses(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.tls_ports.values())

    def arguments_of(self, port: int) -> tuple[str, ...]:
        return (
            *("--tls-port", str(self.tls_ports[port])),
            *("--tls-cluster", "yes", "--tls-replication", "yes", "--appendonly", "yes"),
            *("--tls-cert-file", str(self._pair.certificate)),
            *("--tls-key-file", str(self._pair.key)),
            *("--tls-ca-cert-file", str(self._authority.certificate)),
        )

    def be(self, *rules: str) -> None:
        """Give the service's user these permissions on all nodes."""
        for port in self.ports:
            words = ("app", "reset", "on", ">p/w of redis", *rules)
            self.client(port).execute_command("ACL", "SETUSER", *words)


class Encrypted(Product):
    """The product on such a cluster."""

    def start_valkey(self) -> None:
        authority = Authority(self.folder)
        ours = authority.issue("client")
        self.cluster = EncryptedCluster(self.folder / "cluster", authority)
        self.cluster.start()
        self.cluster.be(*SMALLEST, OF_CLUSTER)
        parameters = {
            "ssl_ca_certs": authority.certificate,
            "ssl_certfile": ours.certificate,
            "ssl_keyfile": ours.key,
        }
        self.environ |= {
            "REDIS_URL": "",
            "REDIS_CLUSTER": self.cluster.addresses,
            "REDIS_CLUSTER_USERNAME": "app",
            "REDIS_CLUSTER_PASSWORD": "p/w of redis",
            "REDIS_CLUSTER_TLS": "true",
            "REDIS_CLUSTER_PARAMETERS": urlencode(parameters),
            "CHAT_STATE_STORE": "redis",
        }

    def stop(self) -> None:
        self.server.stop()
        self.cluster.stop()


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    product = Encrypted(granian, tmp_path_factory.mktemp("t"))
    yield product
    product.stop()


def test_cluster__over_tls_by_the_smallest_permissions(product):
    assert f"`{OF_CLUSTER}`" in (ROOT / "docs" / "stores.md").read_text()
    works(product, "alice")
    assert "of 16384 slots" in product.manage("check_stores")
    for port in product.cluster.ports:  # nothing was refused
        assert product.cluster.client(port).execute_command("ACL", "LOG") == []


def examined(product: Encrypted, **environ: str) -> str:
    """Return why Redis can't be used, as checks say it; they themselves wait a moment only."""
    script = "from connector_state.redis_server import trial; trial.examine()"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        product.manage("shell", "--no-imports", "-c", script, **environ)
    return str(failed.value.stderr)


def test_cluster__that_refuses_the_password(product):
    words = "refuses the user or the password of REDIS_CLUSTER"
    assert words in examined(product, REDIS_CLUSTER_PASSWORD="wrong")


def test_cluster__whose_user_may_not_do_what_a_call_does(product):
    product.cluster.be(*ALL, "-@scripting")
    try:
        target = product.connector.path().encode()
        status, body = product.raw(product.raw_request("PUT", target, b"v"))
        assert (status, json.loads(body)["code"]) == (503, "store_denied")
        assert "user of REDIS_CLUSTER may not do what a call does" in examined(product)
    finally:
        product.cluster.be(*SMALLEST, OF_CLUSTER)
