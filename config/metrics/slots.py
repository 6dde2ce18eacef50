"""A number for each worker, under which its counts are kept in files.

By its pid, as prometheus-client has it, the files of dead workers would pile up, and removing them
would let counters fall. Here a worker that takes a dead one's place takes its number too, and goes
on counting from where that was. A lock, which ends with its process, tells who is alive.
"""

import fcntl
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import multiprocess
from prometheus_client.mmap_dict import MmapedDict

# More than a worker fills. On a full disk, growing a file that is mapped into memory would end the
# process by SIGBUS, so it gets its room at the start, where an error can be handled.
FILE_BYTES = 1_048_576
KINDS = ("counter", "histogram", "gauge_livesum")


class Slot:
    """This process's number in a folder, until the process ends.

    Raises (by its constructor):
        OSError: the folder can't be written to.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.number, self._lock = next(_free(folder, itertools.count()))
        multiprocess.mark_process_dead(self.number, str(folder))  # type: ignore[no-untyped-call]
        for kind in KINDS:
            _make_usable(folder / f"{kind}_{self.number}.db")

    def leave(self) -> None:
        """Give up a number that this process was forked with: it is the parent's."""
        os.close(self._lock)


def forget_dead(folder: Path) -> None:
    """Remove what dead workers said of themselves (gauges); what they counted remains."""
    numbers = [int(file.stem) for file in folder.glob("*.lock")]
    for number, lock in _free(folder, numbers):
        multiprocess.mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]
        os.close(lock)


def _free(folder: Path, numbers: "itertools.count[int] | list[int]") -> Iterator[tuple[int, int]]:
    """Yield the numbers that nobody has, each with a descriptor that holds it."""
    for number in numbers:
        lock = os.open(folder / f"{number}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            yield number, lock


def _make_usable(file: Path) -> None:
    """Give a file its room; begin again with one that a crash of the machine has damaged."""
    if file.exists() and not _is_whole(file):
        file.unlink()
    with file.open("ab") as opened:
        opened.write(bytes(max(0, FILE_BYTES - opened.tell())))


def _is_whole(file: Path) -> bool:
    try:
        for _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
            pass
    except Exception:  # whatever a damaged file leads to
        return False
    return True
