"""Counting over processes: numbers, damaged files, a full disk, forks."""

import errno
import subprocess
import sys

import pytest

from config.metrics import slots
from config.metrics.slots import FILE_BYTES, Slot
from tests.servers import ROOT

# Each process counts one, in the parent's and the child's file; the last line is their sum.
FORKS = """
import os, sys
from pathlib import Path
from config.metrics import shared
shared.begin(Path(sys.argv[1]))
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
counter = Counter("forks", "Forks")
counter.inc()
if child := os.fork():
    os.waitpid(child, 0)
    shared.flush()
    registry = CollectorRegistry()
    MultiProcessCollector(registry, sys.argv[1])
    print(generate_latest(registry).decode().splitlines()[-1])
else:
    counter.inc(2)
    shared.flush()
    os._exit(0)
"""


def test_slot__is_the_first_that_nobody_has(tmp_path):
    first, second = Slot(tmp_path), Slot(tmp_path)
    assert (first.number, second.number) == (0, 1)
    first.leave()
    assert Slot(tmp_path).number == 0


def test_slot__begins_again_with_a_damaged_file(tmp_path):
    file = tmp_path / "counter_0.db"
    file.write_bytes(b"\xff\xff\x00\x00" + b"damaged" * 10)
    Slot(tmp_path).leave()
    assert file.read_bytes() == bytes(FILE_BYTES)


def test_slot__forgets_the_gauges_of_the_dead_and_not_what_they_counted(tmp_path):
    dead, alive = Slot(tmp_path), Slot(tmp_path)
    dead.leave()
    slots.forget_dead(tmp_path)
    assert {file.name for file in tmp_path.glob("*.db")} == {
        *("counter_0.db", "histogram_0.db"),
        *("counter_1.db", "histogram_1.db", "gauge_livesum_1.db"),
    }
    assert alive.number == 1


def test_slot__on_a_full_disk_is_an_error_at_the_start(tmp_path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(slots, "_make_usable", full)
    with pytest.raises(OSError, match="No space left"):
        Slot(tmp_path)


def test_counts__of_a_process_and_its_fork_add_up(tmp_path):
    command = [sys.executable, "-c", FORKS, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("forks_total 3.0\n", "")
