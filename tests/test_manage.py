"""manage.py: how a command ends whose output nobody reads, or that is interrupted."""

import json
import os
import signal
import subprocess
import sys

import pytest

import manage
from tests.outages import AWAY
from tests.servers import ROOT


def with_closed_pipe(*arguments: str, errors_too: bool) -> "subprocess.CompletedProcess[bytes]":
    """Run a command whose output goes to a reader that has gone, as after `| head`."""
    read, write = os.pipe()
    os.close(read)
    try:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            stdout=write,
            stderr=write if errors_too else subprocess.PIPE,
            timeout=60,
        )
    finally:
        os.close(write)


@pytest.mark.parametrize("errors_too", [False, True])
def test_manage__ends_quietly_when_nobody_reads_on(tmp_path, errors_too):
    file = tmp_path / "f"
    file.write_text(json.dumps({"hmac_key_id": "kid", "hmac_secret": "secret"}))
    arguments = ("sign", "GET", "http://x/y", "--credentials", str(file))
    done = with_closed_pipe(*arguments, errors_too=errors_too)
    assert done.returncode == 128 + signal.SIGPIPE
    assert not done.stderr


def test_manage__an_error_that_nobody_reads():
    done = with_closed_pipe("sign", "GET", "x", "--credentials", "/none", errors_too=True)
    assert done.returncode == 128 + signal.SIGPIPE


def test_manage__on_a_full_disk_says_so_in_one_line(tmp_path):
    file = tmp_path / "f"
    file.write_text(json.dumps({"hmac_key_id": "kid", "hmac_secret": "secret"}))
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "manage.py", "sign", "GET", "http://x/y", "--credentials", str(file)],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "statekeep: the output can't be written: No space left on device.\n"


def test_sign__needs_no_settings_and_no_start_of_django(tmp_path):
    file = tmp_path / "f"
    file.write_text(json.dumps({"hmac_key_id": "kid", "hmac_secret": "secret"}))
    sign = ("manage.py", "sign", "GET", "http://x/y", "--credentials", str(file))
    signed = subprocess.run(
        [sys.executable, "-X", "importtime", *sign],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "none", "SECRET_KEY": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert signed.stdout.startswith("Authorization: DSX-HMAC key_id=kid, "), signed.stderr
    imported = {line.rpartition("|")[2].strip() for line in signed.stderr.splitlines()}
    assert "django.core.management.base" in imported
    # Each of these takes longer than all that it needs.
    assert not imported & {"pydantic", "rest_framework", "django.contrib.admin", "config.settings"}


@pytest.fixture(params=["away", "damaged"])
def no_database(request, tmp_path) -> str:
    """The URL of a database that can't be used."""
    (tmp_path / "damaged").write_bytes(b"no database" * 1000)
    away = f"postgres://user:secret@127.0.0.1:{AWAY}/name"
    return away if request.param == "away" else f"sqlite:///{tmp_path}/damaged"


def test_manage__without_the_database_says_so_in_one_line(no_database):
    done = subprocess.run(
        [sys.executable, "manage.py", "list_connectors"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": no_database},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("statekeep: the database can't be used ")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_manage__interrupted(monkeypatch):
    def interrupted(argv: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("django.core.management.execute_from_command_line", interrupted)
    with pytest.raises(SystemExit) as ended:
        manage.main()
    assert ended.value.code == 128 + signal.SIGINT
