"""Real processes: killed at each step of a turn, sixteen writers, a store that goes away."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.chat.api import token
from tests.chat.dying import MESSAGE, STEPS
from tests.servers import ROOT, Server, granian, start_valkey, wait_until

REPLY = "I've added 'milk' to your task list, as number 1."
SECONDS = 60


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with all tables, to be copied."""
    folder = tmp_path_factory.mktemp("migrated")
    environ = {**os.environ, "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}"}
    command = [sys.executable, "manage.py", "migrate", "-v", "0"]
    subprocess.run(command, cwd=ROOT, env=environ, check=True, timeout=SECONDS)
    return folder / "db.sqlite3"


@pytest.fixture
def environ(migrated: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a process with a database of this test's own."""
    shutil.copy(migrated, tmp_path / "db.sqlite3")
    return {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "CHAT_MAX_TURNS_PER_PROCESS": "32",
        "CHAT_MAX_TURNS_PER_USER": "64",
    }


def run(step: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.chat.dying", step],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def left_after(step: str, then: str, environ: dict[str, str]) -> dict:
    killed = run(step, environ)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    result = run(then, environ)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("step", STEPS)
def test_killed__then_the_same_request_again(step, environ):
    left = left_after(step, "repeat", environ)
    assert left["messages"] == [["user", MESSAGE], ["assistant", REPLY]]
    assert left["tool calls"] == [0, 1]
    assert left["turns"] == [["stored", REPLY]]
    assert left["tasks"] == [[1, "milk"]]


@pytest.mark.parametrize("step", STEPS)
def test_killed__then_a_flush(step, environ):
    left = left_after(step, "flush", environ)
    assert left["messages"][0] == ["user", MESSAGE]
    assert [state for state, _ in left["turns"]] == ["stored"]
    effect_was_kept = STEPS.index(step) >= STEPS.index("after a tool")
    reply_was_kept = STEPS.index(step) >= STEPS.index("answered")
    assert left["tasks"] == ([[1, "milk"]] if effect_was_kept else [])
    assert left["tool calls"] == ([0, 1] if effect_was_kept else [0])
    if effect_was_kept:
        assert left["messages"][1:] == [["assistant", REPLY if reply_was_kept else ""]]


class User:
    """A client of a real server."""

    def __init__(self, server: Server, user: str = "alice") -> None:
        self.url = f"{server.url}/api/{user}"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token(sub=user)}"

    def chat(self, message: str, conversation: str = "c1", **headers: str) -> requests.Response:
        body = {"message": message, "conversation_id": conversation}
        return self.session.post(f"{self.url}/chat", json=body, headers=headers, timeout=SECONDS)

    def messages(self, conversation: str = "c1") -> list[dict]:
        url = f"{self.url}/conversations/{conversation}/messages?limit=200"
        return self.session.get(url, timeout=SECONDS).json()["messages"]


def test_sixteen_writers__keep_every_turn_whole_and_in_order(environ, tmp_path):
    server = granian(environ, tmp_path / "log", workers=2, threads=16)
    try:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n: User(server).chat(f"add {n}"), range(16)))
        assert [answer.status_code for answer in answers] == [200] * 16
        assert not [answer for answer in answers if "X-Chat-Degraded" in answer.headers]
        messages = User(server).messages()
    finally:
        server.stop()
    asked = [message for message in messages if message["role"] == "user"]
    assert sorted(message["content"] for message in asked) == sorted(f"add {n}" for n in range(16))
    assert [m["turn_id"] for m in asked] == sorted(m["turn_id"] for m in asked)
    # Each reply stands right after its own message.
    for message, reply in zip(messages[::2], messages[1::2], strict=True):
        assert message["turn_id"] == reply["turn_id"]
        assert f"'{message['content'].removeprefix('add ')}'" in reply["content"]
    assert sorted(m["tool_calls"][0]["result"]["task_id"] for m in messages[1::2]) == [
        *range(1, 17)
    ]


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator["OwnValkey"]:
    valkey = OwnValkey(tmp_path)
    yield valkey
    valkey.kill()


class OwnValkey:
    """A Valkey that may be killed and started again."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "valkey"
        self.socket = tmp_path / "v.sock"
        self.start()

    def start(self) -> None:
        options = ("--port", "0", "--unixsocket", str(self.socket), "--appendonly", "yes")
        self.process = start_valkey(self.folder, *options, "--appendfsync", "always")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


def test_store_away_then_back__nothing_lost_nothing_doubled(environ, tmp_path, own_valkey):
    environ |= {
        "REDIS_URL": f"unix://{own_valkey.socket}",
        "CHAT_STORE_PAUSE_SECONDS": "0.2",
        "CHAT_RATE_PER_MINUTE": "1000",
    }
    server = granian(environ, tmp_path / "log", workers=1, threads=4)
    try:
        alice = User(server)
        assert "X-Chat-Degraded" not in alice.chat("one").headers
        own_valkey.kill()
        for message in ("two", "three", "four"):
            began = time.monotonic()
            answer = alice.chat(message)
            assert (answer.status_code, answer.headers["X-Chat-Degraded"]) == (200, "true")
            assert time.monotonic() - began < 10
        asked = [m for m in alice.messages() if m["role"] == "user"]
        assert [m["content"] for m in asked] == ["one", "two", "three", "four"]
        own_valkey.start()
        wait_until(lambda: "X-Chat-Degraded" not in alice.chat("more").headers)
        messages = alice.messages()
        assert {m["status"] for m in messages} == {"stored"}
        asked = [m["content"] for m in messages if m["role"] == "user"]
        assert asked[:4] == ["one", "two", "three", "four"]
        assert set(asked[4:]) == {"more"}
    finally:
        server.stop()


def test_store_frozen__answers_in_time_and_stores_later(environ, tmp_path, own_valkey):
    environ |= {"REDIS_URL": f"unix://{own_valkey.socket}", "CHAT_STORE_TIMEOUT_SECONDS": "1"}
    server = granian(
        {**environ, "CHAT_RATE_PER_MINUTE": "100"}, tmp_path / "log", workers=1, threads=4
    )
    try:
        alice = User(server)
        assert "X-Chat-Degraded" not in alice.chat("one").headers
        own_valkey.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        answer = alice.chat("two")
        own_valkey.process.send_signal(signal.SIGCONT)
        assert (answer.status_code, answer.headers["X-Chat-Degraded"]) == (200, "true")
        assert (
            time.monotonic() - began < 15
        )  # half of the turn's own deadline; a machine under load is slow
        wait_until(lambda: "X-Chat-Degraded" not in alice.chat("three").headers)
        asked = [m["content"] for m in alice.messages() if m["role"] == "user"]
    finally:
        server.stop()
    assert asked[:3] == ["one", "two", "three"]


def test_two_flushers__at_once(environ, tmp_path, own_valkey):
    environ |= {"REDIS_URL": f"unix://{own_valkey.socket}", "CHAT_STORE_PAUSE_SECONDS": "0.1"}
    server = granian(environ, tmp_path / "log", workers=1, threads=8)
    try:
        own_valkey.kill()
        for number in range(12):
            assert User(server).chat(f"m{number}", f"c{number % 3}").status_code == 200
        own_valkey.start()
        command = [sys.executable, "manage.py", "flush_pending_turns"]
        flushers = [
            subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environ}) for _ in range(2)
        ]
        wait_until(lambda: "X-Chat-Degraded" not in User(server).chat("new", "c0").headers)
        for flusher in flushers:
            flusher.wait(SECONDS)
        subprocess.run(command, cwd=ROOT, env={**os.environ, **environ}, check=True)
        found = {
            c: [m["content"] for m in User(server).messages(c) if m["role"] == "user"]
            for c in ("c0", "c1", "c2")
        }
    finally:
        server.stop()
    assert found["c0"][:4] == ["m0", "m3", "m6", "m9"]
    assert found["c0"].count("new") == len(found["c0"]) - 4
    assert found["c1"] == ["m1", "m4", "m7", "m10"]
    assert found["c2"] == ["m2", "m5", "m8", "m11"]
