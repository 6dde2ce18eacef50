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
from collections.abc import Iterator

import pytest
import requests

from tests.connectors import SigningConnector
from tests.environment import ENVIRONMENT
from tests.make_run import Run, clean_environ, find, make_run, statekeep_lines
from tests.servers import ROOT, free_port, wait_until


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Run]:
    """One for the tests that look at it, in a folder that stood there before, of an odd name."""
    data_dir = tmp_path_factory.mktemp("run") / " a#b?c=%41&$HOME ,;\"\\'\u00fc\u3000~"
    data_dir.mkdir(mode=0o755)
    run = Run(data_dir)
    yield run
    run.stop()


def test_run__prints_lines_that_store_and_read_a_value__in_any_folder(running):
    run = running
    assert requests.get(f"{run.url}/readyz", timeout=5).json()["status"] == "ready"
    assert {path.name for path in run.data_dir.parent.iterdir()} == {
        run.data_dir.name,
        run.output.name,
    }  # nothing is beside it, as where a path was cut at its "#"
    store, read = re.findall(r"^  (curl .*)$", run.text, re.M)
    for line, wanted in ((store, "204"), (read, '{"value":"my-delta-token"}\n')):
        answer = subprocess.run(
            ["sh", "-c", line], cwd=ROOT, env=clean_environ(), capture_output=True, text=True
        )
        assert wanted in answer.stdout, answer.stderr
    assert run.call("GET").json() == {"value": "my-delta-token"}


def test_run__the_operator_can_log_in(running):
    run = running
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


def test_run__keeps_its_files_private_and_in_data_dir(running):
    assert stat.S_IMODE(running.data_dir.stat().st_mode) == 0o700
    for path in running.data_dir.rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


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
        ({"DATABASE_URL": "sqlite:///x", "SECRET_KEY": "s3crt" * 10}, "CONNECTOR_SECRET_KEYS is"),
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


def test_run__a_second_one_in_the_same_folder_is_refused(running, tmp_path):
    (tmp_path / "other").symlink_to(running.data_dir)
    (line,) = statekeep_lines(make_run(tmp_path, PORT=str(free_port())))
    assert "another `make run` is using" in line
    assert requests.get(f"{running.url}/readyz", timeout=5).status_code == 200


def test_run__nobody_can_share_its_port(running, tmp_path):
    (line,) = statekeep_lines(make_run(tmp_path, PORT=str(running.port)))
    assert "can't be used" in line
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", running.port))


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


def kill_and_wait(run: Run, *victims: str) -> None:
    for pid in [find(run, victim) for victim in victims]:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not run.processes(), 30, f"the end of all after {victims}")


RUNNER, VALKEY, SERVER = "config.local.run", "tether.*valkey", "tether.*local.server"


def test_run__sigkill_of_any_process_leaves_no_orphan_and_loses_nothing(runs):
    """Each run finds what the one before it has acknowledged."""
    run = runs()
    for victim in ("make", RUNNER, VALKEY, "valkey-server", SERVER, "master"):
        assert run.call("PUT", victim.encode()).status_code == 204
        kill_and_wait(run, victim)
        run = runs()
        assert run.call("GET").json() == {"value": victim}


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel has no signal for it")
def test_run__sigkill_of_several_at_once_leaves_no_orphan(runs):
    kill_and_wait(runs(), RUNNER, VALKEY, SERVER)
    kill_and_wait(runs(), RUNNER, SERVER, "master")


def test_run__a_killed_worker_is_replaced(running):
    run = running
    workers = [pid for pid, command in run.processes().items() if "local.server" in command]
    worker = max(pid for pid in workers if "tether" not in run.processes()[pid])
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: worker not in run.processes(), 10, "the worker's end")
    wait_until(run.answers, 20, "an answer")


def test_run__ctrl_c_stops_all_of_it_with_a_client_connected__and_a_second_finds_its_data(runs):
    run = runs()
    assert run.call("PUT", b"kept").status_code == 204
    with requests.Session() as session:
        session.get(f"{run.url}/livez", timeout=5)
        began = time.monotonic()
        run.stop()
        assert time.monotonic() - began < 15
    assert not run.processes()
    second = runs()
    assert second.call("GET").json() == {"value": "kept"}
    assert second.connector().secret in second.text  # the demo's lines work again
