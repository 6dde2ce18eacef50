"""DATA_DIR is used by one run at a time; the next one waits while the last one stops."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from config.local import data_dir, tether
from config.local.data_dir import Locks


def test_locks__a_run_that_goes_on_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(data_dir, "RUNNING_SECONDS", 0.1)
    first = Locks(tmp_path)
    with pytest.raises(SystemExit, match="another `make run` is using"):
        Locks(tmp_path)
    first.note_stop()
    os.close(first.inherited)


def test_locks__a_run_that_stops_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(data_dir, "RUNNING_SECONDS", 0.1)
    first = Locks(tmp_path)
    first.note_stop()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(Locks, tmp_path)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        os.close(first.inherited)
        second = waiting.result(30)
    second.note_stop()
    os.close(second.inherited)


def test_locks__the_wait_is_longer_than_the_slowest_stop():
    assert data_dir.STOP_SECONDS > 2 * tether.STOP_SECONDS  # of Valkey, and of the server
