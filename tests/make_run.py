"""`make run` as a process, for tests."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import requests

from tests.connectors import SigningConnector
from tests.environment import ENVIRONMENT
from tests.servers import ROOT, free_port, wait_until


def clean_environ(**more: str) -> dict[str, str]:
    ours = {"REDIS_URL", "DATABASE_URL", *ENVIRONMENT}
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    return {**environ, **more}


class Run:
    """One `make run` in a DATA_DIR and on a port of its own."""

    def __init__(self, data_dir: Path, **environ: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = data_dir.parent / f"output-{self.port}"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                ["make", "run"],
                cwd=ROOT,
                env=clean_environ(DATA_DIR=str(data_dir), PORT=str(self.port), **environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._is_up_or_ended, 60, "`make run`")

    def _is_up_or_ended(self) -> bool:
        return "Ctrl-C" in self.text or self.process.poll() is not None

    @property
    def text(self) -> str:
        return self.output.read_text()

    def processes(self) -> dict[int, str]:
        """All processes of this run: they are found by their environment, whoever's child."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                environ = (entry / "environ").read_bytes().split(b"\0")
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                # Valkey writes its title over its environment; it names its socket.
                if command and (  # a zombie has none
                    f"DATA_DIR={self.data_dir}".encode() in environ or str(self.data_dir) in command
                ):
                    found[int(entry.name)] = command
            except (OSError, ValueError):
                continue
        return found

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(30)
        try:
            wait_until(lambda: not self.processes(), 20, f"the end of {self.processes()}")
        finally:
            for pid in self.processes():
                os.kill(pid, signal.SIGKILL)

    def connector(self) -> SigningConnector:
        demo = json.loads((self.data_dir / "demo.json").read_text())
        return SigningConnector(demo["connector_uuid"], demo["hmac_key_id"], demo["hmac_secret"])

    def call(self, method: str, body: bytes = b"") -> requests.Response:
        connector = self.connector()
        authorization = connector.authorization(method, connector.path(), body)
        return requests.request(
            method,
            self.url + connector.path(),
            data=body,
            headers={"Authorization": authorization},
            timeout=10,
        )

    def answers(self) -> bool:
        try:
            return self.call("GET").status_code == 200
        except requests.ConnectionError:
            return False


def make_run(tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-s", "run"],
        cwd=ROOT,
        env=clean_environ(DATA_DIR=str(tmp_path / "other"), **environ),
        capture_output=True,
        text=True,
        timeout=60,
    )


def statekeep_lines(answer: subprocess.CompletedProcess[str]) -> list[str]:
    assert answer.returncode != 0
    assert "Traceback" not in answer.stderr
    return [line for line in answer.stderr.splitlines() if line.startswith("statekeep:")]


def find(run: Run, victim: str) -> int:
    if victim == "make":
        return run.process.pid
    processes = run.processes()
    if victim == "master":
        granians = [pid for pid, command in processes.items() if "local.server" in command]
        granians = [pid for pid in granians if "tether" not in processes[pid]]
        parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().split()[3]) for pid in granians}
        return next(pid for pid in granians if parents[pid] not in granians)
    if victim == "valkey-server":
        return next(p for p, command in processes.items() if command.split()[0].endswith(victim))
    return next(p for p, command in processes.items() if re.search(victim, command))
