"""`make run`, as a newcomer and a power cut meet it."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
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


@pytest.fixture
def runs(tmp_path):
    started = []

    def start(name: str = "data", **environ: str) -> Run:
        started.append(Run(tmp_path / name, **environ))
        return started[-1]

    yield start
    for run in reversed(started):
        run.stop()


def test_run__prints_lines_that_store_and_read_a_value(runs):
    run = runs()
    assert requests.get(f"{run.url}/readyz", timeout=5).json()["status"] == "ready"
    store, read = re.findall(r"^  (curl .*)$", run.text, re.M)
    for line, wanted in ((store, "204"), (read, '{"value": "my-delta-token"}')):
        answer = subprocess.run(
            ["sh", "-c", line], cwd=ROOT, env=clean_environ(), capture_output=True, text=True
        )
        assert wanted in answer.stdout, answer.stderr
    assert run.call("GET").json() == {"value": "my-delta-token"}


def test_run__the_operator_can_log_in(runs):
    run = runs()
    demo = json.loads((run.data_dir / "demo.json").read_text())
    assert demo["password"] in run.text
    with requests.Session() as session:
        page = session.get(f"{run.url}/admin/login/", timeout=10)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)[1]
        form = {"username": demo["operator"], "password": demo["password"]}
        form |= {"csrfmiddlewaretoken": token, "next": "/admin/"}
        index = session.post(f"{run.url}/admin/login/", data=form, timeout=10)
        assert index.status_code == 200
        assert "Log out" in index.text
        assert session.get(f"{run.url}/static/admin/css/base.css", timeout=5).status_code == 200


def test_run__keeps_its_files_private_and_in_data_dir(runs, tmp_path):
    (tmp_path / "data").mkdir(mode=0o755)
    run = runs()
    assert stat.S_IMODE(run.data_dir.stat().st_mode) == 0o700
    for path in run.data_dir.rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_run__a_second_one_finds_the_data_of_the_first(runs):
    first = runs()
    assert first.call("PUT", b"kept").status_code == 204
    first.stop()
    second = runs()
    assert second.call("GET").json() == {"value": "kept"}
    assert second.connector().secret in second.text  # the demo's lines work again


def test_run__two_stand_side_by_side_and_manage_finds_each(runs, tmp_path):
    one, two = runs("one"), runs("two")
    assert one.call("PUT", b"1").status_code == two.call("PUT", b"2").status_code == 204
    assert (one.call("GET").json(), two.call("GET").json()) == ({"value": "1"}, {"value": "2"})
    answer = subprocess.run(
        [sys.executable, "manage.py", "create_connector", "by hand", "--json"],
        cwd=ROOT,
        env=clean_environ(DATA_DIR=str(two.data_dir)),
        capture_output=True,
        check=True,
    )
    created = json.loads(answer.stdout)
    connector = SigningConnector(*created.values())
    target = connector.path()
    for run, status in ((one, 401), (two, 200)):
        headers = {"Authorization": connector.authorization("GET", target)}
        assert requests.get(run.url + target, headers=headers, timeout=5).status_code == status


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


def test_run__a_port_in_use_is_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (line,) = statekeep_lines(make_run(tmp_path, PORT=str(taken.getsockname()[1])))
    assert "can't be used" in line


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PORT": "http"}, "PORT must be a number"),
        ({"HMAC_SKEW_SECONDS": "a minute"}, "HMAC_SKEW_SECONDS: "),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "SECRET_KEY is not set"),
        ({"DATABASE_URL": "sqlite:///x", "SECRET_KEY": "s" * 40}, "CONNECTOR_SECRET_KEYS is not"),
        ({"DATABASE_URL": "foo://bar", **ENVIRONMENT}, "DATABASE_URL: must be"),
        ({"REDIS_URL": "localhost:6379", **ENVIRONMENT}, "REDIS_URL: must be"),
        ({"CHAT_STATE_STORE": "mongo"}, "CHAT_STATE_STORE: "),
    ],
)
def test_run__a_bad_setting_is_one_line_and_leaves_nothing(tmp_path, environ, words):
    (line,) = statekeep_lines(make_run(tmp_path, **{"PORT": str(free_port()), **environ}))
    assert words in line
    assert not (tmp_path / "other" / "settings.env").exists()


def test_run__a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "other").symlink_to(tmp_path / "elsewhere")
    # DATA_DIR itself is resolved; what stands in it may be no link
    (tmp_path / "elsewhere" / "valkey").symlink_to(tmp_path)
    (line,) = statekeep_lines(make_run(tmp_path, PORT=str(free_port())))
    assert "is not a folder of your own" in line


def test_run__a_second_one_in_the_same_folder_is_refused(runs, tmp_path):
    run = runs("other")
    (line,) = statekeep_lines(make_run(tmp_path, PORT=str(free_port())))
    assert "another `make run` is using" in line
    assert run.call("GET").status_code == 200


def test_run__with_stores_of_its_own_generates_no_secrets_and_no_accounts(runs, tmp_path):
    database = f"sqlite:///{tmp_path / 'own.sqlite3'}"
    run = runs(**{**ENVIRONMENT, "REDIS_URL": os.environ["REDIS_URL"], "DATABASE_URL": database})
    assert requests.get(f"{run.url}/readyz", timeout=5).status_code == 200
    assert not (run.data_dir / "demo.json").exists()
    assert not (run.data_dir / "valkey").exists()
    assert "SECRET" not in (run.data_dir / "settings.env").read_text()
    answer = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=clean_environ(DATA_DIR=str(run.data_dir)),
        capture_output=True,
        text=True,
    )
    assert "used REDIS_URL or DATABASE_URL" in answer.stderr


@pytest.mark.parametrize(
    "victim",
    ["make", "config.local.run", "tether.*valkey", "valkey-server", "tether.*granian", "master"],
)
def test_run__sigkill_of_any_process_leaves_no_orphan(runs, victim):
    run = runs()
    assert run.call("PUT", b"kept").status_code == 204
    pid = find(run, victim)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not run.processes(), 30, f"the end of all after {victim}")
    again = runs()
    assert again.call("GET").json() == {"value": "kept"}


def test_run__a_killed_worker_is_replaced(runs):
    run = runs()
    workers = [pid for pid, command in run.processes().items() if " -m granian" in command]
    worker = max(pid for pid in workers if "tether" not in run.processes()[pid])
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: worker not in run.processes(), 10, "the worker's end")
    wait_until(run.answers, 20, "an answer")


def find(run: Run, victim: str) -> int:
    if victim == "make":
        return run.process.pid
    processes = run.processes()
    if victim == "master":
        granians = [pid for pid, command in processes.items() if " -m granian" in command]
        granians = [pid for pid in granians if "tether" not in processes[pid]]
        parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().split()[3]) for pid in granians}
        return next(pid for pid in granians if parents[pid] not in granians)
    if victim == "valkey-server":
        return next(p for p, command in processes.items() if command.split()[0].endswith(victim))
    return next(p for p, command in processes.items() if re.search(victim, command))


def test_run__ctrl_c_stops_all_of_it_with_a_client_connected(runs):
    run = runs()
    with requests.Session() as session:
        session.get(f"{run.url}/livez", timeout=5)
        began = time.monotonic()
        run.stop()
        assert time.monotonic() - began < 15
    assert not run.processes()
