"""granian for `make run`: on a socket that is open already, with workers that hear every signal.

Usage: `python -m config.local.server DESCRIPTOR OPTIONS…`, with granian's own options.
"""

import os
import signal
import socket
import sys
import time
from typing import Any

from granian import cli, net
from granian.server import MPServer

from config.local import death

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PAUSE_SECONDS_MAX = 30  # before a worker that died is replaced
STEADY_SECONDS = 60  # without a death, and the next pause is none again


class Server(MPServer):
    """A granian that never gives up on its workers, and is given its socket."""

    descriptor: int
    _pause_seconds = 0
    _last_death = float("-inf")

    def _init_shared_socket(self) -> None:
        # By itself granian opens one socket for each worker, with SO_REUSEPORT, which another
        # server of the same user can share without either of them noticing.
        # granian's types don't tell of these two. (False: it is no Unix socket.)
        holder = net.SocketHolder(self.descriptor, False, self.backlog)  # type: ignore[attr-defined,call-arg]
        self._shd, self._sfd = holder, self.descriptor  # type: ignore[assignment]
        self._sso = socket.socket(fileno=self.descriptor)

    def _respawn_workers(
        self, workers: list[int], spawn_target: Any, target_loader: Any, delay: float = 0
    ) -> None:
        self._wait()
        if self.interrupt_signal:
            return
        super()._respawn_workers(workers, spawn_target, target_loader, delay)
        # By this granian would notice a worker that dies twice within 5.5 s, and end.
        self.respawned_wrks.clear()

    def _wait(self) -> None:
        """Wait if workers keep dying, each time for twice as long; a stop ends it early."""
        now = time.monotonic()
        if now - self._last_death > self._pause_seconds + STEADY_SECONDS:
            self._pause_seconds = 0
        else:
            self._pause_seconds = min(max(1, 2 * self._pause_seconds), PAUSE_SECONDS_MAX)
        self._last_death = now
        while not self.interrupt_signal and time.monotonic() < now + self._pause_seconds:
            time.sleep(0.1)


def _prepare_forks() -> None:
    """Have each worker end by a signal, and with this process, from its first instruction on."""
    parent = os.getpid()

    def before() -> None:
        nonlocal parent
        parent = os.getpid()
        # A signal between the fork and `begin` has to wait.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def begin() -> None:
        # Not this process's handlers, which would swallow a stop until granian sets the worker's
        # own, after all imports.
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_DFL)
        death.follow(parent)
        release()

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    os.register_at_fork(before=before, after_in_parent=release, after_in_child=begin)


def main() -> None:
    """Serve as granian does with the options in sys.argv."""
    Server.descriptor = int(sys.argv.pop(1))
    _prepare_forks()
    cli.Server = Server  # type: ignore[attr-defined]
    cli.entrypoint()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
