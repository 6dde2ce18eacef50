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
from redis.crc import key_slot
from redis.exceptions import RedisError

from tests.servers import free_port, freeze, start_valkey, thaw, wait_until

SLOTS = 16_384
PRIMARIES = 3
START_SECONDS_MAX = 60
NODE_TIMEOUT_MILLISECONDS = 1_000  # after which a silent node counts as failed


class RedisCluster:
    """Six nodes of one program, once `start` was called; the first three begin as primaries.

    Args of the constructor:
        folder: where the nodes keep their data.
        program: the server to run, at least Redis 7.0; by default the Valkey that comes along.
        arguments: more of each server's options.
    """

    def __init__(self, folder: Path, *arguments: str, program: str | None = None) -> None:
        self.folder, self._program, self._arguments = folder, program, arguments
        self.ports = [free_port() for _ in range(2 * PRIMARIES)]
        self._bus_ports: dict[int, int] = {}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> "RedisCluster":
        """Start all nodes, and form a cluster of them; return it."""
        try:
            for port in self.ports:
                self.start_node(port)
            self.form()
        except BaseException:
            self.stop()
            raise
        return self

    @property
    def running(self) -> list[int]:
        """The ports of the servers that run."""
        return list(self._processes)

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
        self._processes[port] = self.launch(port)

    def launch(self, port: int) -> "subprocess.Popen[bytes]":
        """Start the server of this port, for the caller to stop; return its process."""
        return start_valkey(
            self.folder / str(port),
            *("--port", str(port), "--cluster-enabled", "yes"),
            # By default it would be another 10,000 higher, among the ports of outgoing connections.
            # The same after a restart, or nodes that all stopped would not find each other.
            *("--cluster-port", str(self._bus_ports.setdefault(port, free_port()))),
            *("--cluster-node-timeout", str(NODE_TIMEOUT_MILLISECONDS)),
            # A replica that has just joined may be promoted at once.
            *("--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"),
            *self.arguments_of(port),
            program=self._program,
        )

    def arguments_of(self, port: int) -> tuple[str, ...]:
        """Return more options of the server of this port; for subclasses."""
        return self._arguments

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
        found: dict[int, list[tuple[int, int]]] = {}
        slots = self.client(self.running[0]).execute_command("CLUSTER SLOTS")
        for first, last, primary, *_ in slots:
            found.setdefault(primary[1], []).append((first, last))
        return found

    def primary_of(self, key: str) -> int:
        """Return the port of the primary that has a key's slot."""
        return self.primary_of_slot(key_slot(key.encode()))

    def primary_of_slot(self, slot: int) -> int:
        """Return the port of the primary that has a slot."""
        for port, ranges in self.primaries().items():
            if any(first <= slot <= last for first, last in ranges):
                return port
        raise AssertionError(f"no primary has slot {slot}")

    def begin_to_move(self, slot: int, target: int) -> None:
        """Let a slot migrate to another primary: from now on, key by key."""
        source = self.primary_of_slot(slot)
        self._set_slot(target, slot, "IMPORTING", source)
        self._set_slot(source, slot, "MIGRATING", target)

    def end_move(self, slot: int, source: int, target: int) -> None:
        """Move what a migrating slot still has, and give it to its new primary."""
        give = self.client(source)
        while keys := give.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            give.execute_command("MIGRATE", "127.0.0.1", target, "", 0, 5000, "KEYS", *keys)
        for node in (target, source):
            self._set_slot(node, slot, "NODE", target)

    def _set_slot(self, node: int, slot: int, state: str, other: int) -> None:
        self.client(node).execute_command("CLUSTER SETSLOT", slot, state, self.node_id(other))

    def move_at_once(self, slot: int, target: int) -> None:
        """Begin to move a slot as a whole, which needs Valkey 9."""
        source = self.client(self.primary_of_slot(slot))
        words = ("SLOTSRANGE", slot, slot, "NODE", self.node_id(target))
        source.execute_command("CLUSTER MIGRATESLOTS", *words)

    def wait_until_whole(self) -> None:
        """Wait until all running nodes say that the cluster is ok."""
        ports = self.running
        wait_until(lambda: all(map(self._is_ok, ports)), START_SECONDS_MAX, "a whole cluster")

    def _is_ok(self, port: int) -> bool:
        try:
            facts = self.client(port).execute_command("CLUSTER INFO")
        except (RedisError, OSError):
            return False
        return bool(facts["cluster_state"] == "ok")

    def form(self) -> None:
        """Make a cluster of the first servers, which run."""
        first, *others = self.ports
        bounds = [SLOTS * number // PRIMARIES for number in range(PRIMARIES + 1)]
        for port, (start, end) in zip(self.ports, pairwise(bounds), strict=False):
            self.client(port).execute_command("CLUSTER ADDSLOTSRANGE", start, end - 1)
        for port in others:
            self.meet(port, first)
        for replica, primary in zip(self.ports[PRIMARIES:], self.ports, strict=False):
            knows = lambda r=replica, p=primary: self._knows(r, p)  # noqa: E731
            wait_until(knows, START_SECONDS_MAX, "the news of a primary")
            self.client(replica).execute_command("CLUSTER REPLICATE", self.node_id(primary))
        self.wait_until_whole()
        wait_until(
            lambda: all(map(self.has_replica, self.ports[:PRIMARIES])),
            START_SECONDS_MAX,
            "replication",
        )

    def has_replica(self, port: int) -> bool:
        """Whether a primary has a replica that has caught up."""
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


class FailingCluster:
    """A durable cluster in the place of a `RedisStore`: all of its nodes fail at once."""

    def __init__(self, folder: Path) -> None:
        durable = ("--appendonly", "yes", "--appendfsync", "always")
        self._cluster = RedisCluster(folder / "cluster", *durable)
        self.environ = {"REDIS_CLUSTER": self._cluster.addresses}
        self._is_formed = False

    def start(self) -> None:
        """Start it, as it was when it was killed."""
        if not self._is_formed:
            self._cluster.start()
            self._is_formed = True
            return
        for port in self._cluster.ports:
            self._cluster.start_node(port)
        self._cluster.wait_until_whole()

    def kill(self) -> None:
        """SIGKILL."""
        self.thaw()
        self._cluster.stop()

    def freeze(self) -> None:
        """From now on the nodes take connections and never answer."""
        for port in self._cluster.running:
            freeze(self._cluster.pid(port))

    def thaw(self) -> None:
        """Let them go on where they were."""
        for port in self._cluster.running:
            thaw(self._cluster.pid(port))


def main() -> None:
    """Run a cluster until a signal."""
    with tempfile.TemporaryDirectory(prefix="redis-cluster-") as folder:
        cluster = RedisCluster(Path(folder)).start()
        try:
            print(f"export REDIS_CLUSTER={cluster.addresses}", flush=True)
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
        finally:
            cluster.stop()


if __name__ == "__main__":
    # Blocked before any server starts, so that none is lost between a start and the waiting.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
