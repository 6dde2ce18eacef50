"""`make run` where its disk is full, or what it has written is damaged."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from django.contrib.auth import get_user_model
from django.db import connection

from config.local import data_dir, demo, generated
from tests.make_run import Run, make_run, statekeep_lines
from tests.servers import free_port, wait_until

MIB = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, free_bytes: int) -> None:
    """Leave that much on the disk."""
    (folder / "filler").unlink(missing_ok=True)
    status = os.statvfs(folder)
    size = status.f_bavail * status.f_frsize - free_bytes
    with (folder / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, size)


def test_full_disk__values_are_refused_until_it_has_room(small_disk, runs):
    run: Run = runs("disk/data")
    assert run.call("PUT", b"kept").status_code == 204
    fill(small_disk, data_dir.RESERVE_BYTES // 2)
    wait_until(lambda: "is full" in run.text, 30, "the line")
    refused = run.call("PUT", b"more")
    assert (refused.status_code, refused.json()["code"]) == (503, "store_full")
    assert run.call("GET").json() == {"value": "kept"}

    fill(small_disk, 0)
    wait_until(lambda: run.call("GET").status_code == 503, 30, "the end of Valkey")
    assert run.process.poll() is None
    (line,) = statekeep_lines(make_run(run.data_dir.parent, PORT=str(free_port())))
    assert "No space left on device" in line

    (small_disk / "filler").unlink()
    wait_until(lambda: "has room" in run.text, 60, "the other line")
    assert run.call("GET").json() == {"value": "kept"}
    assert run.call("PUT", b"more").status_code == 204
    assert requests.get(f"{run.url}/readyz", timeout=10).status_code == 200


def test_start__a_damaged_database_is_one_line(tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "db.sqlite3").write_bytes(b"no database" * 1000)
    generated.write(folder / "settings.env", generated.complete({}, embedded=True))
    (line,) = statekeep_lines(make_run(tmp_path, PORT=str(free_port())))
    assert "the database can't be used (file is not a database)" in line


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"operator": 1}', b"\xff", b"null"])
def test_start__a_damaged_demo_file_is_one_line(tmp_path, content):
    path = tmp_path / "demo.json"
    path.write_bytes(content)
    with pytest.raises(SystemExit, match=r"demo.json is damaged: remove it"):
        demo._read(path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b'SECRET_KEY="abc', b"A=1\n!?\n"])
def test_start__damaged_settings_are_one_line(tmp_path, content):
    path = tmp_path / "settings.env"
    path.write_bytes(content)
    with pytest.raises(SystemExit, match=r"settings.env .*restore it from a backup"):
        generated.read(path)


@pytest.mark.django_db(transaction=True)
def test_demo__is_written_after_the_commit(tmp_path, monkeypatch):
    def write(path: Path, text: str) -> None:
        assert not connection.in_atomic_block
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(demo, "write_private", write)
        with pytest.raises(KeyboardInterrupt):
            demo._create_accounts(tmp_path / "demo.json")
    assert get_user_model().objects.filter(username=demo.OPERATOR).exists()
    demo._create_accounts(tmp_path / "demo.json")  # the next run makes up for it
    operator = get_user_model().objects.get(username=demo.OPERATOR)
    assert operator.check_password(demo._read(tmp_path / "demo.json")["password"])
