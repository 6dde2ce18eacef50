"""A Redis Cluster of six, each server a part; who is a primary changes."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster as ClusterClient
from redis.exceptions import RedisError
from redis.retry import Retry

from soak.layout.parts import Part
from soak.layout.redis import REPLICA_LAG_SECONDS
from tests.redis_cluster import PRIMARIES, SLOTS, RedisCluster


class RedisSix(RedisCluster):
    """Three primaries and three replicas; `servers` has their parts, by port."""

    can_fill_disks = False
    sentinels: tuple[Part, ...] = ()

    def __init__(self, folder: Path) -> None:
        durable = ("--appendonly", "yes", "--appendfsync", "always")
        bounded = ("--min-replicas-max-lag", str(REPLICA_LAG_SECONDS))
        super().__init__(folder, *durable, "--min-replicas-to-write", "1", *bounded)
        self.servers: dict[int, Part] = {}

    def start(self, add: Callable[..., Part]) -> None:
        """Start all six; `add` makes a part of a name and of what launches it."""
        for number, port in enumerate(self.ports):
            launch: Callable[[], subprocess.Popen[bytes]] = lambda p=port: self.launch(p)  # noqa: E731
            self.servers[port] = add(f"redis {number}", launch)
        self.form()

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which a server finds it."""
        return {"REDIS_CLUSTER": self.addresses, "REDIS_RETRY_SECONDS": "8"}

    @property
    def running(self) -> list[int]:
        return [port for port, part in self.servers.items() if part.is_up]

    def client(self, port: int) -> Any:
        """Return a client of one node, which gives up early: it may be frozen."""
        return Redis(port=port, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def primary_client(self) -> ClusterClient:
        """Return a client of all primaries."""
        return ClusterClient.from_url(f"redis://127.0.0.1:{self.running[0]}")

    def replica_of(self, primary: int) -> int:
        """Return the port of a primary's replica."""
        return int(self.client(primary).info("replication")["slave0"]["port"])

    def has_replica(self, port: int | None = None) -> bool:
        """Whether this primary, or all of them, have a replica that has caught up."""
        if port is not None:
            facts = self.client(port).info("replication")
            replica = facts.get("slave0", {"state": "none", "lag": 0})
            return bool(replica["state"] == "online" and replica["lag"] <= REPLICA_LAG_SECONDS)
        with suppress(RedisError, OSError):
            views = [self.client(port).execute_command("CLUSTER INFO") for port in self.ports]
            known = self.primaries()
            return (
                all(view["cluster_state"] == "ok" for view in views)
                and sum(last - first + 1 for ranges in known.values() for first, last in ranges)
                == SLOTS
                and len(known) == PRIMARIES
                and all(map(self.has_replica, known))
            )
        return False

    def deposed(self) -> list[tuple[float, float]]:
        """Return nothing: what a cluster did without a fault is not read from its logs."""
        return []

    def unmount(self) -> None:
        """Do nothing: it has no disks that were mounted for it."""
