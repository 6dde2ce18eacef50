"""A thousand requests a second to a cluster that loses a primary and moves slots.

    python -m benchmarks.cluster_faults [--per-second N] [--seconds N] [--servers N]

Signed PUTs and GETs by turns, each of one of 96 connectors, are sent when they are due, whatever
the others wait for. After a quarter of the time a primary is killed, and it is back once its
replica was promoted; after a half, the connectors' slots of a primary move key by key to a node
that has just joined; after three quarters, those of another one move there at once. Each answer
to a GET is held against what was acknowledged, and at the end so is each value; the last request
of each connector is sent again, and must get 401. The report says how many answers there were of
each kind, how long they took, and what was lost or admitted again; it exits with 1 if that was
not close to the kill.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import django
from redis.crc import key_slot

from benchmarks.cluster_clients import Client, Report
from benchmarks.load import CREATE_FLEET, FLEET, _granian, _manage
from config.local.run import GRANIAN_OPTIONS
from tests.environment import ENVIRONMENT
from tests.redis_cluster import RedisCluster
from tests.servers import Server, wait_until

CONNECTORS = 96
SLACK_SECONDS = 3.0  # min-replicas-max-lag, and the second in which it is looked at
PROMOTED_SECONDS = 30


async def _load(clients: list[Client], options: argparse.Namespace, report: Report) -> None:
    """Start a call whenever one is due, by whichever client is free."""
    free: asyncio.Queue[Client] = asyncio.Queue()
    for client in clients:
        free.put_nowait(client)
    loop = asyncio.get_running_loop()

    async def one(client: Client) -> None:
        await client.call()
        free.put_nowait(client)

    async with asyncio.TaskGroup() as tasks:
        began = loop.time()
        for number in range(options.per_second * options.seconds):
            due = began + number / options.per_second
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            elif early < -1:
                report.late += 1
            tasks.create_task(one(await free.get()))


class Faults:
    """What is done to the cluster meanwhile."""

    def __init__(self, cluster: RedisCluster, uuids: list[str]) -> None:
        self._cluster, self._slots = cluster, sorted({key_slot(u.encode()) for u in uuids})
        self.killed: tuple[float, float] = (0.0, 0.0)

    def run(self, seconds: float) -> None:
        """Do the three, each when a further quarter of the time is over."""
        began = time.monotonic()
        for number, fault in enumerate((self._kill, self._by_key, self._at_once), 1):
            time.sleep(max(began + seconds * number / 4 - time.monotonic(), 0))
            start = time.monotonic()
            what = fault()
            print(f"  {what}: {time.monotonic() - start:.1f} s", flush=True)

    def _owned(self, port: int) -> list[int]:
        return [slot for slot in self._slots if self._cluster.primary_of_slot(slot) == port]

    def _kill(self) -> str:
        cluster, began = self._cluster, time.monotonic()
        victim = list(cluster.primaries())[-1]
        slot = self._owned(victim)[0]
        cluster.kill(victim)
        wait_until(lambda: cluster.primary_of_slot(slot) != victim, PROMOTED_SECONDS)
        self.killed = began, time.monotonic()
        cluster.start_node(victim)
        return f"a primary killed, until its replica was promoted ({len(self._owned(victim))} left)"

    def _join(self) -> int:
        cluster = self._cluster
        cluster.wait_until_whole()
        self._target = cluster.add_node()
        cluster.meet(self._target, cluster.ports[0])
        cluster.wait_until_whole()
        return self._target

    def _by_key(self) -> str:
        target = self._join()
        source = next(iter(self._cluster.primaries()))
        slots = self._owned(source)
        for slot in slots:
            self._cluster.begin_to_move(slot, target)
            self._cluster.end_move(slot, source, target)
        return f"{len(slots)} slots moved key by key to a new node"

    def _at_once(self) -> str:
        source = next(p for p in self._cluster.primaries() if p != self._target and self._owned(p))
        slots = self._owned(source)
        for slot in slots:
            self._cluster.move_at_once(slot, self._target)
            wait_until(lambda s=slot: self._cluster.primary_of_slot(s) == self._target)
        return f"{len(slots)} slots moved at once"


async def _run(clients: list[Client], faults: Faults, options: Any, report: Report) -> None:
    done = asyncio.create_task(asyncio.to_thread(faults.run, options.seconds))
    await _load(clients, options, report)
    await done
    for client in clients:
        await client.read()
        await client.replay()


def main() -> None:
    """Run it, print the report, and exit with 1 if it found what must not be."""
    parser = argparse.ArgumentParser(description="Break a cluster under load.")
    parser.add_argument("--per-second", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--servers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="statekeep-bench-") as name:
        folder = Path(name)
        durable = ("--appendonly", "yes", "--min-replicas-max-lag", "2")
        cluster, servers = RedisCluster(folder / "cluster", *durable), list[Server]()
        try:
            cluster.start()
            environ = _environ(folder, cluster)
            fleet = CREATE_FLEET.replace(str(FLEET), str(CONNECTORS))
            lines = _manage(environ, "shell", "--no-imports", "-c", fleet).splitlines()
            for number in range(options.servers):
                log = folder / f"log{number}"
                servers.append(_granian("config.asgi", environ, log, GRANIAN_OPTIONS))
            sys.exit(_measure(cluster, servers, [line.split() for line in lines], options))
        finally:
            for server in servers:
                server.stop()
            cluster.stop()


def _environ(folder: Path, cluster: RedisCluster) -> dict[str, str]:
    environ = {
        **ENVIRONMENT,
        "DATA_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "REDIS_CLUSTER": cluster.addresses,
        "REDIS_RETRY_SECONDS": "8",
        "HMAC_SKEW_SECONDS": "600",  # so that a replay is one at the end too
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    _manage(environ, "migrate", "-v", "0")
    os.environ.update(environ)
    django.setup()
    return environ


def _measure(
    cluster: RedisCluster, servers: list[Server], fleet: list[list[str]], options: Any
) -> int:
    from tests.connectors import SigningConnector  # needs Django to be set up

    report = Report()
    clients = [
        Client(SigningConnector(*words), servers[number % len(servers)], report)
        for number, words in enumerate(fleet)
    ]
    faults = Faults(cluster, [uuid for uuid, *_ in fleet])
    asyncio.run(_run(clients, faults, options, report))
    waits = sorted(report.seconds)
    began, ended = faults.killed
    found = [
        at
        for at in (*report.lost, *report.replayed)
        if not began - SLACK_SECONDS <= at <= ended + SLACK_SECONDS
    ]
    print("Answers: " + ", ".join(f"{n} {what}" for what, n in sorted(report.answers.items())))
    print(
        f"  p50 {waits[len(waits) // 2] * 1000:.1f} ms, p99 {waits[len(waits) * 99 // 100]:.2f} s,"
    )
    print(f"  longest {waits[-1]:.1f} s; {report.late} were sent more than a second late")
    print(f"Lost: {len(report.lost)}; admitted again: {len(report.replayed)}")
    print(f"FOUND {len(found)} of these not close to the kill" if found else "Everything held.")
    return 1 if found else 0


if __name__ == "__main__":
    main()
