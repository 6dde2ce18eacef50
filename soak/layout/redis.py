"""Two Valkeys, each behind a proxy that all others use, and three sentinels."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from soak.layout.clocks import Clock
from soak.layout.parts import Part
from soak.layout.proxy import Network
from tests.servers import free_port, sees_all, start_sentinel, start_valkey, wait_until

REPLICA_LAG_SECONDS = 2
DOWN_AFTER_MILLISECONDS = 1000
DISK = "256m"
EVENT = re.compile(r"\d+:X (\d+ \w+ \d+ [\d:.]+) \S+ ([+]odown|-odown|[+]switch-master)\b")


class RedisPair:
    """A primary and its replica, with sentinels; who is which changes."""

    def __init__(self, folder: Path, network: Network, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self.ports = [free_port(), free_port()]
        self.proxies = [network.proxy(port) for port in self.ports]
        self.sentinel_ports = [free_port() for _ in range(3)]
        self.disks = [folder / f"redis{n}" for n in (0, 1)]
        self.can_fill_disks = True

    def start(self, add: Callable[..., Part]) -> None:
        """Start all five; `add` makes a part of a name and of what launches it."""
        self._mount_disks()
        self.servers = [add(f"redis {n}", lambda n=n: self._launch(n)) for n in (0, 1)]
        self.sentinels = []
        for number, port in enumerate(self.sentinel_ports):
            config = self._folder / f"sentinel{number}" / "sentinel.conf"
            config.parent.mkdir()
            config.write_text(
                f"sentinel monitor state 127.0.0.1 {self.proxies[0].port} 2\n"
                f"sentinel down-after-milliseconds state {DOWN_AFTER_MILLISECONDS}\n"
                "sentinel failover-timeout state 3000\n"
            )
            launch = lambda c=config, p=port: _launch_sentinel(c, p)  # noqa: E731
            self.sentinels.append(add(f"sentinel {number}", launch))
        wait_until(lambda: sees_all(self.sentinel_ports[0]), 30, "the sentinels' meeting")

    def _mount_disks(self) -> None:
        """Give each a disk that can be filled, if this user may mount."""
        for disk in self.disks:
            disk.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
            mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
            self.can_fill_disks &= mounted

    def unmount(self) -> None:
        for disk in self.disks:
            subprocess.run(["umount", str(disk)], capture_output=True, check=False)

    def _launch(self, number: int) -> "subprocess.Popen[bytes]":
        arguments = ["--port", str(self.ports[number])]
        arguments += ["--appendonly", "yes", "--appendfsync", "always"]
        arguments += ["--min-replicas-to-write", "1"]
        arguments += ["--min-replicas-max-lag", str(REPLICA_LAG_SECONDS)]
        arguments += ["--replica-announce-ip", "127.0.0.1"]
        arguments += ["--replica-announce-port", str(self.proxies[number].port)]
        if self.primary() != number:
            arguments += ["--replicaof", f"127.0.0.1 {self.proxies[1 - number].port}"]
        return start_valkey(self.disks[number], *arguments, environ=self._clock.of_redis)

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which a server finds it."""
        sentinels = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        return {
            "REDIS_URL": "redis://state/0",
            "REDIS_SENTINELS": sentinels,
            "REDIS_RETRY_SECONDS": "4",
        }

    def primary(self) -> int:
        """Return which Valkey the sentinels call the primary; 0 before there are any."""
        for port in self.sentinel_ports:
            with suppress(RedisError, OSError):
                # By default it would try a sentinel that is down for some seconds.
                sentinel = Redis(port=port, socket_timeout=1, retry=Retry(NoBackoff(), 0))
                address = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "state")
                return [proxy.port for proxy in self.proxies].index(int(address[1]))
        return 0

    def primary_client(self) -> Redis:
        """Return a client of the primary, past all proxies."""
        return Redis(port=self.ports[self.primary()], socket_timeout=5)

    def deposed(self) -> Iterator[tuple[float, float]]:
        """Yield when the sentinels agreed that the primary is down, and when another one was it.

        By the monotonic clock, from their logs. On a starved machine they do so without a fault.
        """
        behind = time.time() - time.monotonic()
        for config in self._folder.glob("sentinel*/log"):
            began = None
            for line in config.read_text(errors="replace").splitlines():
                if not (event := EVENT.match(line)):
                    continue
                at = datetime.strptime(event[1], "%d %b %Y %H:%M:%S.%f").timestamp() - behind
                if event[2] == "+odown":
                    began = began or at - DOWN_AFTER_MILLISECONDS / 1000
                elif began is not None:  # it came back, or there is a new one
                    yield began, at
                    began = None

    def has_replica(self) -> bool:
        """Whether the primary has its replica, which says now and then what it has."""
        with suppress(RedisError, OSError):
            facts = self.primary_client().info("replication")
            replica = facts.get("slave0", {"state": "none", "lag": 0})
            is_online = replica["state"] == "online" and replica["lag"] <= REPLICA_LAG_SECONDS
            return facts["role"] == "master" and is_online
        return False


def _launch_sentinel(config: Path, port: int) -> "subprocess.Popen[bytes]":
    process = start_sentinel(config, port)
    # It asks every 10 s who is a replica of whom, and so long does a fail-over take to be whole.
    periods = ("info-period", "1000", "publish-period", "500")
    Redis(port=port, socket_timeout=5).execute_command("SENTINEL", "DEBUG", *periods)
    return process
