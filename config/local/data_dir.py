"""DATA_DIR: private, used by one `make run` at a time, and with room left on its disk."""

import fcntl
import os
import stat
import time
from pathlib import Path

from config.local.exits import fail

RUNNING_SECONDS = 5  # a run that was just told to stop needs a moment to hear it
STOP_SECONDS = 45  # the slowest stop: two tethers, each with its patience (tether.STOP_SECONDS)
# Of the disk's reserve Valkey can store nonces and deletions for a while (100,000 calls) when
# values are refused.
RESERVE_BYTES = 16_777_216
RESERVE = "16 MiB"


def make_private(directory: Path) -> None:
    """Create a folder that only its owner can read; refuse a link, and another user's folder."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fail(f"{directory} can't be made: {error.strerror}")
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        fail(f"{directory} is not a folder of your own")
    directory.chmod(0o700)


def disk_is_full(folder: Path, *, was_full: bool = False) -> bool:
    """Tell whether less than the reserve is free; if it was, it takes twice as much to be not."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize < RESERVE_BYTES * (1 + was_full)


class Locks:
    """Keeps DATA_DIR for one run.

    Two Valkeys on one append-only file would corrupt it, so `inherited` is held by all processes
    of a run, until the last of them has ended. `running` is held by the runner alone, until it
    begins to stop: so a second run knows whether waiting for the first makes sense.
    """

    def __init__(self, folder: Path) -> None:
        self._running = _lock(folder / "running", RUNNING_SECONDS)
        self.inherited = _lock(folder / "lock", STOP_SECONDS)

    def note_stop(self) -> None:
        """Let the next run wait for the end of this one."""
        os.close(self._running)


def _lock(file: Path, patience_seconds: float) -> int:
    """Lock a file; return its descriptor, which holds the lock until its last copy is closed."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                fail(
                    f"another `make run` is using {file.parent}: stop it, or set DATA_DIR and PORT"
                )
            time.sleep(0.1)
