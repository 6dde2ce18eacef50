"""Real processes: killed at each step of a turn, sixteen writers, a store that goes away."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chat.calls import User
from tests.chat.chat_store import ChatStore
from tests.chat.halted import MESSAGE, STEPS, steps_of
from tests.redis_cluster import FailingCluster
from tests.servers import ROOT, granian, wait_until
from tests.sidecar.daprd import Sidecar
from tests.sidecar.stores import RedisStore

REPLY = "I've added 'milk' to your task list, as number 1."
SECONDS = 120


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


@pytest.fixture(params=["redis", "sidecar"])
def store_environ(request: Any) -> dict[str, str]:
    """The settings of a process for each kind of store, which is empty."""
    if request.param == "redis":
        return {}
    store: ChatStore = request.getfixturevalue("store_behind_sidecar")
    store.forget_everything()
    return store.environ


# --- A process that halts at each step of a turn, and others after it -----------------------------

WHOLE = [["user", MESSAGE], ["assistant", REPLY]]


@pytest.fixture
def left_after(
    environ: dict[str, str], store_environ: dict[str, str]
) -> Callable[[str, str], dict[str, Any]]:
    """Run tests.chat.halted; return what is left, by the step."""

    def left_after(fate: str, then: str) -> dict[str, Any]:
        result = subprocess.run(
            [sys.executable, "-m", "tests.chat.halted", fate, then],
            cwd=ROOT,
            env={**os.environ, **environ, **store_environ},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        left: dict[str, Any] = json.loads(result.stdout)
        assert tuple(left) == steps_of(fate)
        return left

    return left_after


def had_come_to(step: str, milestone: str) -> bool:
    return STEPS.index(step) >= STEPS.index(milestone)


def without_repeat(step: str) -> list[list[str]]:
    """The messages of a turn that halted there, and that nobody asked for again."""
    if had_come_to(step, "answered"):
        return WHOLE
    return (
        [["user", MESSAGE], ["assistant", ""]] if had_come_to(step, "after a tool") else WHOLE[:1]
    )


def check_turn_without_repeat(step: str, left: dict[str, Any]) -> None:
    effect = had_come_to(step, "after a tool")
    assert left["turns"][0] == ["stored", REPLY if had_come_to(step, "answered") else None], step
    assert left["tasks"][:1] == ([[1, "milk"]] if effect else []), step
    assert left["tool calls"][: 1 + effect] == [0, 1][: 1 + effect], step


@pytest.mark.parametrize("fate", ["killed", "frozen"])
def test_halted__then_the_same_request_again(fate, left_after):
    for step, left in left_after(fate, "repeat").items():
        assert left["then"] == "answered", step
        assert left["messages"] == WHOLE, step
        assert left["tool calls"] == [0, 1], step
        assert left["turns"] == [["stored", REPLY]], step
        assert left["tasks"] == [[1, "milk"]], step
        if fate == "frozen":  # and woke up late, when the other one had answered
            has_reply = had_come_to(step, "answered")
            assert left["late"] == ("answered" if has_reply else "turn_in_progress"), step


@pytest.mark.parametrize("fate", ["killed", "frozen"])
def test_halted__then_a_flush(fate, left_after):
    for step, left in left_after(fate, "flush").items():
        assert left["messages"] == without_repeat(step), step
        assert len(left["turns"]) == 1, step
        check_turn_without_repeat(step, left)


def test_halted__then_the_next_message(left_after):
    for step, left in left_after("killed", "next").items():
        assert left["then"] == "answered", step
        before = without_repeat(step)
        assert left["messages"][: len(before)] == before, step
        (role, message), (_, reply) = left["messages"][len(before) :]
        assert (role, message) == ("user", "add bread"), step
        assert "added 'bread'" in reply, step
        assert [state for state, _ in left["turns"]] == ["stored", "stored"], step
        assert [title for _, title in left["tasks"]].count("bread") == 1, step
        check_turn_without_repeat(step, {**left, "tasks": left["tasks"][:-1]})


def test_halted__then_a_deletion(left_after):
    """A deletion against a turn in flight: nothing of the turn comes back."""
    for step, left in left_after("frozen", "delete").items():
        assert left["then"] == "True", step
        assert left["late"] == ("answered" if step == "stored" else "conversation_deleted"), step
        assert (left["messages"], left["turns"]) == ([], []), step
        assert left["row"] == [False, 0, False], step


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


@dataclass(frozen=True)
class OwnStore:
    """A Redis of a test's own, and the settings of a server that keeps its chats there."""

    redis: RedisStore | FailingCluster
    environ: dict[str, str]


@pytest.fixture(params=["redis", "sidecar"])
def own_store(request: Any, tmp_path: Path) -> Iterator[OwnStore]:
    """It may be killed, frozen and started again; the server asks it, or a sidecar before it."""
    settings = {"CHAT_STORE_TIMEOUT_SECONDS": "1", "CHAT_STORE_PAUSE_SECONDS": "0.2"}
    store: RedisStore | FailingCluster
    if request.param == "redis" and "REDIS_CLUSTER" in os.environ:
        store = FailingCluster(tmp_path)
        store.start()
        yield OwnStore(store, store.environ | settings)
    elif request.param == "redis":
        store = RedisStore(tmp_path, durable=True)
        store.start()
        yield OwnStore(store, {"REDIS_URL": f"redis://127.0.0.1:{store.port}", **settings})
    else:
        store = RedisStore(tmp_path, durable=True)
        program = request.getfixturevalue("daprd")
        store.start()
        sidecar = Sidecar(program, tmp_path / "sidecar", store.component).start()
        settings |= {"CHAT_STATE_STORE": "dapr", "DAPR_HTTP_ENDPOINT": sidecar.url}
        yield OwnStore(store, settings)
        sidecar.kill()
    store.kill()


def test_store_away_then_back__nothing_lost_nothing_doubled(environ, tmp_path, own_store):
    environ |= own_store.environ
    server = granian(environ, tmp_path / "log", workers=1, threads=4)
    try:
        alice = User(server)
        assert "X-Chat-Degraded" not in alice.chat("one").headers
        own_store.redis.kill()
        for message in ("two", "three", "four"):
            began = time.monotonic()
            answer = alice.chat(message)
            assert (answer.status_code, answer.headers["X-Chat-Degraded"]) == (200, "true")
            assert time.monotonic() - began < 10
        asked = [m for m in alice.messages() if m["role"] == "user"]
        assert [m["content"] for m in asked] == ["one", "two", "three", "four"]
        own_store.redis.start()
        wait_until(lambda: "X-Chat-Degraded" not in alice.chat("more").headers)
        messages = alice.messages()
        assert {m["status"] for m in messages} == {"stored"}
        asked = [m["content"] for m in messages if m["role"] == "user"]
        assert asked[:4] == ["one", "two", "three", "four"]
        assert set(asked[4:]) == {"more"}
    finally:
        server.stop()


def test_store_frozen__answers_in_time_and_stores_later(environ, tmp_path, own_store):
    environ |= own_store.environ
    server = granian(environ, tmp_path / "log", workers=1, threads=4)
    try:
        alice = User(server)
        assert "X-Chat-Degraded" not in alice.chat("one").headers
        own_store.redis.freeze()
        began = time.monotonic()
        answer = alice.chat("two")
        own_store.redis.thaw()
        assert (answer.status_code, answer.headers["X-Chat-Degraded"]) == (200, "true")
        assert (
            time.monotonic() - began < 15
        )  # half of the turn's own deadline; a machine under load is slow
        wait_until(lambda: "X-Chat-Degraded" not in alice.chat("three").headers)
        asked = [m["content"] for m in alice.messages() if m["role"] == "user"]
    finally:
        server.stop()
    assert asked[:3] == ["one", "two", "three"]


def test_two_flushers__at_once(environ, tmp_path, own_store):
    environ |= own_store.environ
    server = granian(environ, tmp_path / "log", workers=1, threads=8)
    try:
        own_store.redis.kill()
        for number in range(12):
            assert User(server).chat(f"m{number}", f"c{number % 3}").status_code == 200
        own_store.redis.start()
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


def test_rate__is_shared_by_processes(environ, tmp_path):
    environ["CHAT_RATE_PER_MINUTE"] = "5"
    with ExitStack() as stack:
        servers = []
        for number in range(2):
            servers.append(granian(environ, tmp_path / f"log{number}", workers=1, threads=4))
            stack.callback(servers[-1].stop)
        with ThreadPoolExecutor(8) as pool:
            users = [User(servers[number % 2]) for number in range(14)]
            answers = list(pool.map(lambda user: user.chat("hello"), users))
        assert User(servers[0], "bob").chat("hello").status_code == 200
        asked = [m["content"] for m in User(servers[1]).messages() if m["role"] == "user"]
    assert Counter(answer.status_code for answer in answers) == {200: 5, 429: 9}
    for answer in answers:
        if answer.status_code == 429:
            assert answer.json()["code"] == "rate_limited"
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert asked == ["hello"] * 5
