"""Run a command that must not outlive its parent.

Usage: `python -m config.local.tether PARENT_PID COMMAND…`

The tether leads a process group of its own, so Ctrl-C in a terminal does not reach the command
before the parent has decided in which order things stop. The command is stopped when the tether
gets SIGTERM or its parent is gone, and at its end whatever is left of the group is killed.
"""

import os
import signal
import subprocess
import sys
from types import FrameType

POLL_SECONDS = 0.2
STOP_SECONDS = 15


def main() -> None:
    """Run the command of sys.argv to its end, or to the parent's."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    stopping = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Open files (the lock on DATA_DIR) are handed on, and so held for as long as the command runs.
    child = subprocess.Popen(command, close_fds=False)
    while not stopping and os.getppid() == parent and not _ended(child, POLL_SECONDS):
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
