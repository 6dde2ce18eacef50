"""docs/backup.md, step by step, on real stores."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
import requests

from tests.connectors import SigningConnector
from tests.environment import ENVIRONMENT
from tests.make_run import Run
from tests.servers import ROOT, granian, start_valkey, wait_until
from tests.sidecar import stores
from tests.sidecar.binary import NoSidecar


def chat(run: Run, message: str) -> requests.Response:
    return requests.post(
        f"{run.url}/api/demo/chat", json={"message": message}, headers=bearer(run), timeout=20
    )


def bearer(run: Run) -> dict[str, str]:
    demo = json.loads((run.data_dir / "demo.json").read_text())
    login = {"username": "demo", "password": demo["chat_password"]}
    answer = requests.post(f"{run.url}/api/token/", json=login, timeout=20)
    return {"Authorization": f"Bearer {answer.json()['access']}"}


def said(run: Run) -> list[str]:
    url = f"{run.url}/api/demo/conversations/1/messages"
    messages = requests.get(url, headers=bearer(run), timeout=20).json()["messages"]
    assert {message["status"] for message in messages} == {"stored"}
    return [message["content"] for message in messages if message["role"] == "user"]


def fill(run: Run) -> None:
    assert run.call("PUT", b"kept").status_code == 204
    answer = chat(run, "Add task: Back everything up")
    assert (answer.status_code, "X-Chat-Degraded" in answer.headers) == (200, False)


def assert_is_all_there(run: Run) -> None:
    assert run.call("GET").json() == {"value": "kept"}
    assert said(run) == ["Add task: Back everything up"]


def test_embedded__a_copy_of_the_stopped_folder_runs_elsewhere(runs, tmp_path):
    run = runs("first")
    fill(run)
    run.stop()
    shutil.copytree(run.data_dir, tmp_path / "copy", symlinks=True)
    shutil.rmtree(run.data_dir)
    assert_is_all_there(runs("copy"))


def test_embedded__a_copy_of_the_running_one_runs_elsewhere(runs, tmp_path):
    run = runs("first")
    fill(run)
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o700)
    (copy / "valkey").mkdir(mode=0o700)
    with sqlite3.connect(run.data_dir / "db.sqlite3") as database:
        database.execute("VACUUM INTO ?", (str(copy / "db.sqlite3"),))
    database.close()
    with redis.Redis(unix_socket_path=str(run.data_dir / "valkey.sock")) as valkey:
        valkey.config_set("auto-aof-rewrite-percentage", 0)
        wait_until(lambda: not valkey.info("persistence")["aof_rewrite_in_progress"])
        files = run.data_dir / "valkey" / "appendonlydir"
        shutil.copytree(files, copy / "valkey" / "appendonlydir")
        valkey.config_set("auto-aof-rewrite-percentage", 100)
    for name in ("settings.env", "demo.json"):
        shutil.copy(run.data_dir / name, copy / name)
    assert run.call("PUT", b"later").status_code == 204  # it goes on meanwhile
    assert_is_all_there(runs("copy"))


class Stores:
    """A PostgreSQL and a Valkey, with Statekeep's environment for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.database = stores.PostgreSQLStore()
        self.database.start()
        self.environ = {
            "DATA_DIR": str(folder),
            "REDIS_URL": f"unix://{self.socket}",
            "DATABASE_URL": self.database.url,
        }
        self.valkey: subprocess.Popen[bytes] | None = None

    def start_valkey(self, appendonly: str) -> redis.Redis:
        arguments = ("--port", "0", "--unixsocket", str(self.socket), "--appendonly", appendonly)
        self.valkey = start_valkey(self.folder / "valkey", *arguments)
        return redis.Redis(unix_socket_path=str(self.socket))

    def stop_valkey(self) -> None:
        if self.valkey is not None:
            self.valkey.terminate()
            self.valkey.wait(20)
            self.valkey = None

    def manage(self, *arguments: str) -> str:
        answer = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT, **self.environ},
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    def remove(self) -> None:
        self.stop_valkey()
        self.database.remove()


@pytest.fixture
def two_places(tmp_path):
    """Where Statekeep is, and where it is restored."""
    made = []
    try:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            made.append(Stores(tmp_path / name))
    except NoSidecar as reason:
        pytest.skip(str(reason))
    yield made
    for place in made:
        place.remove()


def test_production__pg_dump_and_bgsave_restore_elsewhere(two_places, tmp_path):
    first, second = two_places
    client = first.start_valkey("yes")
    first.manage("migrate", "-v", "0")
    created = json.loads(first.manage("create_connector", "kept", "--json"))
    connector = SigningConnector(*created.values())
    server = granian(first.environ, tmp_path / "log", workers=1)
    assert call(server, connector, "PUT", b"kept").status_code == 204

    programs = stores._postgresql_folder()
    dump = tmp_path / "db.dump"
    command = [programs / "pg_dump", "--format=custom", f"--file={dump}", first.database.url]
    subprocess.run(command, check=True)
    before = client.lastsave()
    time.sleep(1.1 - time.time() % 1)  # LASTSAVE counts seconds
    client.bgsave()
    wait_until(lambda: client.lastsave() > before, what="the snapshot")
    server.stop()
    client.close()

    restore = [programs / "pg_restore", "--clean", "--if-exists", "--no-owner"]
    subprocess.run([*restore, f"--dbname={second.database.url}", dump], check=True)
    (second.folder / "valkey").mkdir()
    shutil.copy(first.folder / "valkey" / "dump.rdb", second.folder / "valkey" / "dump.rdb")
    client = second.start_valkey("no")  # with "yes" it would not look at the snapshot
    client.config_set("appendonly", "yes")
    wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
    client.close()
    second.stop_valkey()
    second.start_valkey("yes").close()
    assert "all 1 can be decrypted" in second.manage("check_stores")
    server = granian(second.environ, tmp_path / "log2", workers=1)
    try:
        assert call(server, connector, "GET").json() == {"value": "kept"}
    finally:
        server.stop()


def call(server, connector: SigningConnector, method: str, body: bytes = b"") -> requests.Response:
    headers = {"Authorization": connector.authorization(method, connector.path(), body)}
    url = server.url + connector.path()
    return requests.request(method, url, data=body, headers=headers, timeout=10)
