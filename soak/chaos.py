"""Faults, one after the other, in an order that the seed decides."""

import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from redis import Redis

from soak.journal import Journal
from soak.layout.clocks import FAKETIME
from soak.layout.parts import Part, wait_while
from soak.layout.production import Layout
from soak.layout.proxy import Proxy

FAULT_SECONDS = (1.0, 3.5)
PAUSE_SECONDS = (0.5, 2.0)
CLOCK_STEP_SECONDS = 25  # two that differ in opposite ways are within HMAC_SKEW_SECONDS
UP_SECONDS = 180
DEAD_SECONDS = 0.5  # until a process that was killed has ended
BALLOON_BYTES = 1 << 30
FAIL_OVERS_MAX = 5


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: `begin` does it, and what it returns undoes it (None: it mends itself)."""

    name: str
    begin: Callable[[], Callable[[], None] | None]
    hurts_primary: bool = False  # what it has not replicated may be lost


class Chaos:
    """Does faults until it is told to stop."""

    def __init__(self, layout: Layout, journal: Journal, seed: str, only: str = "") -> None:
        self._layout, self._journal, self._only = layout, journal, only
        self._redis = layout.redis
        self._random = random.Random(f"{seed} chaos")
        self.done: list[str] = []
        self.skipped = [] if FAKETIME else ["the clock of redis: no libfaketime"]
        if not layout.redis.can_fill_disks:
            self.skipped.append("full disk: no tmpfs can be mounted")

    def run(self, stopping: threading.Event) -> None:
        """Do one fault after the other; each kind once before any comes again."""
        deck: list[Fault] = []
        while not stopping.wait(self._random.uniform(*PAUSE_SECONDS)):
            if not deck:
                deck = [fault for fault in self._faults() if re.search(self._only, fault.name)]
                self._random.shuffle(deck)
            fault = deck.pop()
            try:
                self._do(fault, self._random.uniform(*FAULT_SECONDS), stopping)
            except Exception as error:
                self._journal.found(f"'{fault.name}' could not be done: {error!r}")

    def _do(self, fault: Fault, seconds: float, stopping: threading.Event) -> None:
        self.done.append(fault.name)
        began, missing = time.monotonic(), Counter[str]()
        gap: AbstractContextManager[None] = (
            self._journal.gap() if fault.hurts_primary else nullcontext()
        )
        with gap:
            undo = fault.begin()
            stopping.wait(seconds if undo else DEAD_SECONDS)
            if undo is not None:
                undo()

        def is_broken() -> bool:
            missing.update(names := self._layout.missing())
            return bool(names)

        # One fault at a time: of two, both Redis servers may be gone, and nothing is to be proved.
        if not wait_while(is_broken, UP_SECONDS):
            self._journal.found(f"still down after '{fault.name}': {self._layout.missing()}")
        waited = ", ".join(missing) and f", waiting for {', '.join(missing)}"
        print(f"  {fault.name}: {time.monotonic() - began:.1f} s{waited}", flush=True)

    # --- Which there are --------------------------------------------------------------------------

    def _faults(self) -> Iterator[Fault]:
        layout = self._layout
        yield from self._of_processes()
        yield from self._of_networks()
        yield Fault("fill redis to maxmemory", self._fill_memory)
        if layout.redis.can_fill_disks:
            yield Fault("fill the disk of the redis primary", self._fill_disk, True)
        for what, clock in (("servers", layout.server_clock), ("redis", layout.redis_clock)):
            step = self._random.choice([-1, 1]) * CLOCK_STEP_SECONDS
            if FAKETIME or clock is layout.server_clock:
                name = f"step the clock of {what} by {step:+d} s"
                yield Fault(name, lambda c=clock, s=step: _stepped(c, s))
        for part in (
            layout.servers[1],
            layout.nginx,
            layout.sidecar,
            layout.postgresql,
            layout.model,
        ):
            yield Fault(f"restart {part.name}", part.restart)
        yield Fault("fail redis over as planned", self._fail_over)
        yield Fault("upgrade all", self._upgrade)

    def _of_processes(self) -> Iterator[Fault]:
        layout = self._layout
        for part in (
            *layout.servers,
            layout.nginx,
            layout.sidecar,
            layout.model,
            *layout.redis.sentinels[1:2],
        ):
            yield Fault(f"kill {part.name}", lambda p=part: p.signal(signal.SIGKILL))
        yield Fault("kill the redis primary", lambda: self._primary.signal(signal.SIGKILL), True)
        yield Fault("kill the redis replica", lambda: self._replica.signal(signal.SIGKILL))
        yield Fault("kill a worker of server 0", lambda: self._kill_child(layout.servers[0]))
        yield Fault("kill a backend of postgresql", lambda: self._kill_child(layout.postgresql))
        yield Fault(
            "kill postgresql",
            lambda: layout.postgresql.signal(signal.SIGQUIT, [layout.postgresql.pid]),
        )
        for part in (layout.servers[0], layout.sidecar, layout.postgresql, layout.model):
            yield Fault(f"freeze {part.name}", lambda p=part: _frozen(p))
        yield Fault("freeze the redis primary", lambda: _frozen(self._primary), True)
        yield Fault("freeze the redis replica", lambda: _frozen(self._replica))

    def _of_networks(self) -> Iterator[Fault]:
        layout = self._layout
        proxies = {
            "postgresql": layout.postgresql_proxy,
            "the sidecar": layout.sidecar_proxy,
            "the model": layout.model_proxy,
        }
        for name, proxy in proxies.items():
            yield Fault(f"cut off {name}", lambda p=proxy: _cut(p))
            yield Fault(f"drop packets of {name}", lambda p=proxy: _held(p))
        for name, harm in (("cut off", _cut), ("drop packets of", _held)):
            yield Fault(f"{name} the redis primary", lambda h=harm: h(self._proxy(True)), True)
            yield Fault(f"{name} the redis replica", lambda h=harm: h(self._proxy(False)), True)

    @property
    def _primary(self) -> Part:
        return self._redis.servers[self._redis.primary()]

    @property
    def _replica(self) -> Part:
        return self._redis.servers[1 - self._redis.primary()]

    def _proxy(self, of_primary: bool) -> Proxy:
        primary = self._redis.primary()
        return self._redis.proxies[primary if of_primary else 1 - primary]

    # --- What they do -----------------------------------------------------------------------------

    def _kill_child(self, part: Part) -> None:
        part.signal(signal.SIGKILL, [self._random.choice(part.pids()[1:])])

    def _fill_memory(self) -> Callable[[], None]:
        clients = [Redis(port=port, socket_timeout=5) for port in self._redis.ports]
        full = clients[self._redis.primary()]
        self._journal.was_full = True
        full.config_set("maxmemory", full.info("memory")["used_memory"])

        def undo() -> None:
            for client in clients:
                client.config_set("maxmemory", 0)

        return undo

    def _fill_disk(self) -> Callable[[], None]:
        balloon = self._redis.disks[self._redis.primary()] / "balloon"
        with balloon.open("wb", buffering=0) as file:
            try:
                while file.tell() < BALLOON_BYTES:
                    file.write(bytes(65_536))
            except OSError:
                pass  # it is full
        return balloon.unlink

    def _fail_over(self) -> None:
        for _ in range(FAIL_OVERS_MAX):
            told = self._layout.manage("failover_redis", check=False)
            if told.returncode == 0:
                return
            if "Nothing was changed" not in told.stderr:  # else the replica was too far behind
                break
            self._journal.count("planned fail-overs that changed nothing")
        self._journal.found(f"a planned fail-over failed: {told.stderr[-300:]}")

    def _upgrade(self) -> None:
        """What docs/production.md says of an upgrade: migrate, then one server after the other."""
        layout = self._layout
        layout.manage("migrate", "-v", "0")
        for part in (*layout.servers, layout.sidecar):
            part.restart()
        self._replica.restart()
        wait_while(lambda: not self._redis.has_replica(), UP_SECONDS)
        self._fail_over()
        self._replica.restart()
        layout.nginx.restart()


def _frozen(part: Part) -> Callable[[], None]:
    pids = part.pids()
    part.signal(signal.SIGSTOP, pids)
    return lambda: part.signal(signal.SIGCONT, pids)


def _cut(proxy: Proxy) -> Callable[[], None]:
    proxy.cut()
    return proxy.restore


def _held(proxy: Proxy) -> Callable[[], None]:
    proxy.hold()
    return proxy.restore


def _stepped(clock, seconds: int) -> Callable[[], None]:
    clock.step(seconds)
    return lambda: clock.step(0)
