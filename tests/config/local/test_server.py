"""granian under `make run`: workers that die, and workers that are stopped while they import."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.local import run, server
from tests.servers import ROOT, free_port, wait_until

Start = Callable[[str], "subprocess.Popen[bytes]"]

SLEEPS = """
import pathlib, time
pathlib.Path("importing").touch()
time.sleep(600)
"""
DIES_TWICE = """
import os, pathlib
deaths = pathlib.Path("deaths")
count = len(deaths.read_text()) if deaths.exists() else 0
deaths.write_text("x" * (count + 1))
if count < 2:
    os._exit(1)

async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Start]:
    """Start a server with one worker, which serves this source."""
    started = []
    listener = run._listen(port)

    def serve(source: str) -> "subprocess.Popen[bytes]":
        (tmp_path / "served.py").write_text(source)
        command = [sys.executable, "-m", "config.local.server", str(listener.fileno())]
        command += ["served:application", *run.GRANIAN_OPTIONS, "--port", str(port)]
        command += ["--workers-kill-timeout", "60", "--respawn-failed-workers"]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environ,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
        started.append(process)
        return process

    yield serve
    listener.close()
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def test_server__a_worker_that_is_importing_ends_at_once(start, tmp_path):
    process = start(SLEEPS)
    wait_until((tmp_path / "importing").exists, 60, "the import")
    process.terminate()
    process.wait(30)  # it would be killed after 60


def test_server__a_worker_that_dies_twice_is_replaced(start, tmp_path, port):
    process = start(DIES_TWICE)

    def answers() -> bool:
        assert process.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return answer.status == 204
        except OSError:
            return False

    wait_until(answers, 60, "an answer")
    assert (tmp_path / "deaths").read_text() == "xxx"


def test_server__the_pause_grows_and_ends(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(server, "time", clock)
    granian = server.Server("served:application")
    pauses = []
    for _ in range(8):
        began = clock.now
        granian._wait()
        pauses.append(round(clock.now - began))
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30]
    clock.now += 100
    began = clock.now
    granian._wait()
    assert clock.now == began
