"""The faults of a run on a Redis Cluster: those of all other parts, and the cluster's."""

import re
import signal
from collections.abc import Callable, Iterator

from redis.crc import key_slot

from soak.chaos import UP_SECONDS, Chaos, Fault, _frozen
from soak.journal import Journal
from soak.layout.cluster import RedisSix
from soak.layout.parts import wait_while
from soak.layout.production import Layout

OF_SENTINELS = re.compile("redis|sentinel|upgrade all")
PROMOTED_SECONDS = 30


class ClusterChaos(Chaos):
    """Does faults to a layout on a cluster until it is told to stop."""

    def __init__(self, layout: Layout, journal: Journal, seed: str, only: str = "") -> None:
        super().__init__(layout, journal, seed, only)
        assert isinstance(layout.redis, RedisSix)
        self._cluster = layout.redis
        self.skipped = ["the network, the disks and the clock of a cluster's nodes"]

    def _faults(self) -> Iterator[Fault]:
        yield from (fault for fault in super()._faults() if not OF_SENTINELS.search(fault.name))
        yield Fault("kill a redis primary until its replica is promoted", self._kill_primary, True)
        yield Fault(
            "kill a redis replica",
            lambda: self._part(self._cluster.replica_of(self._any())).signal(signal.SIGKILL),
        )
        yield Fault("freeze a redis primary", lambda: _frozen(self._part(self._any())), True)
        yield Fault(
            "freeze a redis replica",
            lambda: _frozen(self._part(self._cluster.replica_of(self._any()))),
        )
        yield Fault("fill a redis primary to maxmemory", self._fill_memory)
        yield Fault("move slots of redis key by key", self._move_by_key)
        yield Fault("move slots of redis at once", self._move_at_once)
        yield Fault("fail a redis primary over as planned", lambda: self._fail_over(self._any()))
        yield Fault("upgrade all", self._upgrade)

    def _any(self) -> int:
        return self._random.choice(sorted(self._cluster.primaries()))

    def _part(self, port: int):
        return self._cluster.servers[port]

    # --- What they do -----------------------------------------------------------------------------

    def _kill_primary(self) -> None:
        victim = self._any()
        heir = self._cluster.client(self._cluster.replica_of(victim))

        def is_replica() -> bool:
            # It would be back, with all that it had, before the others give it up.
            self._part(victim).signal(signal.SIGKILL)
            return bool(heir.execute_command("ROLE")[0] == b"slave")

        if not wait_while(is_replica, PROMOTED_SECONDS):
            self._journal.found(f"no replica was promoted in place of {victim}")

    def _fill_memory(self) -> Callable[[], None]:
        client = self._cluster.client(self._any())
        self._journal.was_full = True
        client.config_set("maxmemory", client.info("memory")["used_memory"])
        return lambda: client.config_set("maxmemory", 0)

    def _slots(self) -> tuple[int, int, list[int]]:
        """Return a primary, another, and the slots of connectors that the first one has."""
        slots: dict[int, list[int]] = {}
        for slot in sorted({key_slot(chain.uuid.encode()) for chain in self._journal.chains}):
            slots.setdefault(self._cluster.primary_of_slot(slot), []).append(slot)
        source = self._random.choice(sorted(slots))
        target = self._random.choice(sorted(self._cluster.primaries().keys() - {source}))
        return source, target, slots[source]

    def _move_by_key(self) -> Callable[[], None]:
        source, target, slots = self._slots()
        for slot in slots:
            self._cluster.begin_to_move(slot, target)

        def end() -> None:
            for slot in slots:
                self._cluster.end_move(slot, source, target)

        return end

    def _move_at_once(self) -> None:
        source, target, slots = self._slots()
        for slot in slots:
            self._cluster.move_at_once(slot, target)
            moves = lambda s=slot: self._cluster.primary_of_slot(s) == source  # noqa: E731
            if not wait_while(moves, PROMOTED_SECONDS):
                self._journal.found(f"slot {slot} did not move")

    def _fail_over(self, primary: int) -> None:
        replica = self._cluster.client(self._cluster.replica_of(primary))
        replica.execute_command("CLUSTER FAILOVER")
        is_replica = lambda: replica.execute_command("ROLE")[0] == b"slave"  # noqa: E731
        if not wait_while(is_replica, PROMOTED_SECONDS):
            self._journal.found(f"the planned fail-over of {primary} did not happen")

    def _upgrade(self) -> None:
        """Migrate, then restart one part after the other, each primary once it is a replica."""
        layout = self._layout
        layout.manage("migrate", "-v", "0")
        for part in (*layout.servers, layout.sidecar):
            part.restart()
        for primary in sorted(self._cluster.primaries()):
            self._part(self._cluster.replica_of(primary)).restart()
            wait_while(lambda: not self._cluster.has_replica(), UP_SECONDS)
            self._fail_over(primary)
            wait_while(lambda: not self._cluster.has_replica(), UP_SECONDS)
            self._part(primary).restart()
            wait_while(lambda: not self._cluster.has_replica(), UP_SECONDS)
        layout.nginx.restart()
