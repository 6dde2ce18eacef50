"""Django's own commands, on a fresh clone: no `make run` has been here, and no Redis runs."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from config.env import Environment
from tests.servers import ROOT, Server, free_port


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment that says nothing but where a new DATA_DIR is."""
    settings = {name.upper() for name in Environment.model_fields}
    kept = {name: value for name, value in os.environ.items() if name not in settings}
    return {**kept, "DATA_DIR": str(tmp_path / "data")}


def manage(environ: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120
    )


def test_fresh_clone__check_and_collectstatic(environ, tmp_path):
    assert manage(environ, "check").returncode == 0
    assert not (tmp_path / "data").exists()  # nothing is recorded for nothing
    done = manage(environ, "collectstatic", "--noinput")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "static" / "admin" / "css" / "base.css").exists()


def test_fresh_clone__migrate_and_runserver_say_what_they_lack(environ, tmp_path):
    done = manage(environ, "migrate", "-v", "0")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("\n") == 1
    assert "Redis is lacking" in done.stderr
    assert (tmp_path / "data" / "db.sqlite3").exists()
    assert (tmp_path / "data" / "settings.env").stat().st_mode & 0o077 == 0
    port = free_port()
    command = [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    # Server starts it with the tests' environment; what it must not know is empty.
    hidden = dict.fromkeys(set(os.environ) - set(environ), "")
    server = Server(command, port, {**hidden, **environ}, tmp_path / "log")
    try:
        for path in ("/admin/login/", "/static/admin/css/base.css"):
            with urllib.request.urlopen(server.url + path, timeout=30) as answer:
                assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{server.url}/readyz", timeout=30)
    finally:
        server.stop()
    assert server.log.read_text().count("Redis does not answer yet") == 1


def test_fresh_clone__own_commands_do_not_begin_an_empty_database(environ, tmp_path):
    done = manage(environ, "list_connectors")
    assert done.returncode == 1
    assert "`make run` generates it" in done.stderr
    assert not (tmp_path / "data").exists()


def test_fresh_clone__test_runs_the_suite_and_counts(environ):
    environ["PYTEST_ADDOPTS"] = "-n 0 -p no:cacheprovider"
    done = manage(environ, "test", "tests/common/test_errors.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().splitlines()[-1].strip("= ").startswith("1 passed in")
    assert manage(environ, "test", "tests/common/none.py").returncode != 0
