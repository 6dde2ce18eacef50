"""A real Redis Cluster on loopback: three primaries, each with a replica, stopped by their pids.

    .venv/bin/python -m tests.redis_cluster

starts one, prints the value of REDIS_CLUSTER, and stops it when it is interrupted.
"""

import signal
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tests.servers import free_port, start_valkey, wait_until

SLOTS = 16_384
PRIMARIES = 3
START_SECONDS_MAX = 60
NODE_TIMEOUT_MILLISECONDS = 1_000  # after which a silent node counts as failed


class RedisCluster:
    """Six nodes of one program; the first three begin as primaries.

    Args of the constructor:
        folder: where the nodes keep their data.
        program: the server to run, at least Redis 7.0; by default the Valkey that comes along.
        arguments: more of each server's options.
    """

    def __init__(self, folder: Path, *arguments: str, program: str | None = None) -> None:
        self.folder, self._program, self._arguments = folder, program, arguments
        self.ports: list[int] = []
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        try:
            for _ in range(2 * PRIMARIES):
                self.add_node()
            self._form()
        except BaseException:
            self.stop()
            raise

    @property
    def addresses(self) -> str:
        """The value of REDIS_CLUSTER."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def add_node(self) -> int:
        """Start one more server, which belongs to no cluster yet; return its port."""
        port = free_port()
        self.ports.append(port)
        self.start_node(port)
        return port

    def start_node(self, port: int) -> None:
        """Start the server of this port, which finds what it had if it ran before."""
        self._processes[port] = start_valkey(
            self.folder / str(port),
            *("--port", str(port), "--cluster-enabled", "yes"),
            # By default it would be another 10,000 higher, among the ports of outgoing connections.
            *("--cluster-port", str(free_port())),
            *("--cluster-node-timeout", str(NODE_TIMEOUT_MILLISECONDS)),
            # A replica that has just joined may be promoted at once.
            *("--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"),
            *self._arguments,
            program=self._program,
        )

    def kill(self, port: int) -> None:
        """Kill the server of this port."""
        process = self._processes.pop(port)
        process.kill()
        process.wait(10)

    def pid(self, port: int) -> int:
        """Return the process id of the server of this port."""
        return self._processes[port].pid

    def stop(self) -> None:
        """Stop all servers."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait(10)
        self._processes.clear()

    def client(self, port: int) -> Any:
        """Return a client of one node, which follows no redirections."""
        return Redis(port=port, socket_timeout=5)

    def node_id(self, port: int) -> str:
        """Return the id by which the nodes know the server of this port."""
        return str(self.client(port).execute_command("CLUSTER MYID").decode())

    def primaries(self) -> dict[int, list[tuple[int, int]]]:
        """Return the ranges of slots of each primary's port, as a running node knows them."""
        port = next(iter(self._processes))
        found: dict[int, list[tuple[int, int]]] = {}
        for first, last, primary, *_ in self.client(port).execute_command("CLUSTER SLOTS"):
            found.setdefault(primary[1], []).append((first, last))
        return found

    def primary_of(self, key: str) -> int:
        """Return the port of the primary that has a key's slot."""
        slot = self.client(next(iter(self._processes))).execute_command("CLUSTER KEYSLOT", key)
        for port, ranges in self.primaries().items():
            if any(first <= slot <= last for first, last in ranges):
                return port
        raise AssertionError(f"no primary has slot {slot}")

    def wait_until_whole(self) -> None:
        """Wait until all running nodes say that the cluster is ok."""
        ports = list(self._processes)
        wait_until(lambda: all(map(self._is_ok, ports)), START_SECONDS_MAX, "a whole cluster")

    def _is_ok(self, port: int) -> bool:
        try:
            facts = self.client(port).execute_command("CLUSTER INFO")
        except (RedisError, OSError):
            return False
        return bool(facts["cluster_state"] == "ok")

    def _form(self) -> None:
        first, *others = self.ports
        bounds = [SLOTS * number // PRIMARIES for number in range(PRIMARIES + 1)]
        for port, (start, end) in zip(self.ports, pairwise(bounds), strict=False):
            self.client(port).execute_command("CLUSTER ADDSLOTSRANGE", start, end - 1)
        for port in others:
            self.meet(port, first)
        for replica, primary in zip(self.ports[PRIMARIES:], self.ports, strict=False):
            self.client(replica).execute_command("CLUSTER REPLICATE", self.node_id(primary))
        self.wait_until_whole()
        wait_until(
            lambda: all(map(self._has_replica, self.ports[:PRIMARIES])),
            START_SECONDS_MAX,
            "replication",
        )

    def _has_replica(self, port: int) -> bool:
        facts = self.client(port).info("replication")
        return bool(facts.get("slave0", {}).get("state") == "online")

    def meet(self, port: int, other: int) -> None:
        """Let a node join the cluster of another, and wait until these two know each other."""
        bus = self.client(other).config_get("cluster-port")["cluster-port"]
        self.client(port).execute_command("CLUSTER MEET", "127.0.0.1", other, bus)
        wait_until(
            lambda: self._knows(port, other) and self._knows(other, port),
            START_SECONDS_MAX,
            f"the meeting of {port}",
        )

    def _knows(self, port: int, other: int) -> bool:
        known = self.client(port).execute_command("CLUSTER NODES").get(f"127.0.0.1:{other}")
        return bool(known and "handshake" not in known["flags"])


def main() -> None:
    """Run a cluster until a signal."""
    with tempfile.TemporaryDirectory(prefix="redis-cluster-") as folder:
        cluster = RedisCluster(Path(folder))
        try:
            print(f"export REDIS_CLUSTER={cluster.addresses}", flush=True)
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
        finally:
            cluster.stop()


if __name__ == "__main__":
    # Blocked before any server starts, so that none is lost between a start and the waiting.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
