"""Run a command that must end when the parent process does.

Usage: `python -m config.local.tether PARENT_PID COMMAND…`

The kernel ends the command with the tether where it can: see config.local.death.

The tether leads its own process group, so Ctrl-C in a terminal reaches only the parent, which stops
its commands in the right order. The tether stops its command on SIGTERM, or when the parent has
ended, and then kills all processes that are left in the group.
"""

import os
import signal
import subprocess
import sys
import threading

from config.local import death

POLL_SECONDS = 0.2
STOP_SECONDS = 15


def main() -> None:
    """Run the command in sys.argv until it ends, or until the parent ends."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    death.follow(parent, signal.SIGTERM)
    own_pid = os.getpid()
    child = subprocess.Popen(
        command,
        # Pass on open files: the lock on DATA_DIR is held for as long as the command runs.
        close_fds=False,
        preexec_fn=lambda: death.follow(own_pid),  # noqa: PLW1509 - there is one thread
    )
    while not stopping.is_set() and os.getppid() == parent and not _ended(child, POLL_SECONDS):
        pass
    child.terminate()
    _ended(child, STOP_SECONDS)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _ended(child: subprocess.Popen[bytes], within_seconds: float) -> bool:
    try:
        child.wait(within_seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


if __name__ == "__main__":
    main()
