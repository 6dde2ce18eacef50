"""What a turn of the chat costs, and 200 of them at once. `python -m benchmarks.chat`

Turns: one client, keep-alive, one granian worker with four threads, a message of 300 characters
that the built-in assistant does not understand (so no tool runs), in a conversation of 50 messages
of 300 characters, on Redis and on a real sidecar with an SQLite store. Before each sample the
conversation is put back to its 50 messages, outside the clock. A sample is the bare GET, the bare
POST of the same document, and the turn, one after the other; medians of all samples are compared.
Bare is, on Redis, the repository's own get and save in this process (they parse and write the
document); on Dapr, HTTP calls by `requests` that do not look at the document.

All of it is done twice: with the files (SQLite syncs its log at each commit) in the temporary
folder, and in /dev/shm, where a sync costs nothing: what is left is the program's own cost. What a
sync costs in each is printed. Valkey writes no file, as in run.py.

Sessions: 200 users with a connection each send one message at the same moment to a model that
takes a second, after a warm-up message each. The settings are those of docs/production.md for chat
workers; all workers have started before. A turn that was answered must be in the stored document
afterwards, or wait in its row: else it is lost, and the exit status is 1. No time fails the run.
"""

import argparse
import http.client
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import jwt
import requests

from benchmarks.load import cpu_seconds
from config.env import Environment
from tests.environment import ENVIRONMENT
from tests.servers import ROOT, Server, granian, start_valkey, wait_until
from tests.servers import free_port as any_port

if TYPE_CHECKING:
    from chat.conversations.state import ConversationKey, ConversationState

MESSAGES, CHARACTERS = 50, 300
TEXT = ("Nobody knows what this says. " * 20)[:CHARACTERS]
CONVERSATION = "bench"
TTL_SECONDS = 3600
MEMORY = Path("/dev/shm")
WARM_UP_SAMPLES = 20
AIM_OVER_BARE_MS = 3.0

SESSIONS, MODEL_SECONDS = 200, 1.0
WORKERS, THREADS, TURNS_PER_PROCESS = 4, 16, 300
AIM_P99_SECONDS = 2.5
START_SECONDS, IDLE_CPU_SECONDS = 60, 0.05


def main() -> None:
    """Run all of it in each place and print it."""
    options = _options()
    if options.folder is not None:
        raise SystemExit(_measure(options.folder, options.samples))
    command = [sys.executable, "-m", "benchmarks.chat", "--samples", str(options.samples)]
    places = [Path(tempfile.gettempdir()), *([MEMORY] if MEMORY.is_dir() else [])]
    statuses = [  # Django is set up once per process
        subprocess.run([*command, "--folder", str(place)], cwd=ROOT, check=False).returncode
        for place in places
    ]
    raise SystemExit(max(map(abs, statuses)))


def _measure(place: Path, samples: int) -> int:
    """Measure with the files there; return 1 if a turn was lost."""
    print(f"\n=== Files in {place}; load at the start: {load()}")
    with services(place) as (folder, environ):
        _print_fsync(folder)
        _print_turns("Redis", _turns_on_redis(folder, environ, samples))
        try:
            _print_turns("Dapr, SQLite", _turns_on_dapr(folder, environ, samples))
        except _no_sidecar() as reason:
            print(f"\nA turn on Dapr: skipped, {reason}")
        lost = _sessions(folder, environ)
    print(f"\nload at the end: {load()}", flush=True)
    return int(lost > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure turns of the chat.")
    parser.add_argument("--samples", type=int, default=200, help="of a turn, on each store")
    parser.add_argument("--folder", type=Path, help="measure with the files here alone")
    return parser.parse_args()


def load() -> str:
    """Return the machine's load averages, and how many processors they are for."""
    return " ".join(f"{load:.2f}" for load in os.getloadavg()) + f" on {os.cpu_count()} CPUs"


@contextmanager
def services(place: Path, database_url: str | None = None) -> Iterator[tuple[Path, dict[str, str]]]:
    """Start a Valkey, migrate a database, and set up Django in this process on both.

    Yield the folder of their files and the environment of a server on them. The database is an
    SQLite file in that folder where none is given.
    """
    folder = Path(tempfile.mkdtemp(prefix="statekeep-bench-", dir=place))
    socket = folder / "s"
    valkey = start_valkey(folder / "valkey", "--port", "0", "--unixsocket", str(socket))
    environ = {
        **ENVIRONMENT,
        "DATA_DIR": str(folder),
        "REDIS_URL": f"unix://{socket}",
        "DATABASE_URL": database_url or f"sqlite:///{folder / 'db.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "CHAT_RATE_PER_MINUTE": "0",
    }
    try:
        for name in Environment.model_fields:  # the developer's own must not take part
            os.environ.pop(name.upper(), None)
        os.environ.update(environ)
        command = [sys.executable, "manage.py", "migrate", "-v", "0"]
        subprocess.run(command, cwd=ROOT, check=True)
        django.setup()
        yield folder, environ
    finally:
        valkey.terminate()
        valkey.wait(10)
        shutil.rmtree(folder)


def _print_fsync(folder: Path) -> None:
    seconds = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(30):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    print(f"one fsync in {folder.parent}: {1000 * statistics.median(seconds):.2f} ms")


# --- The client -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and after how long."""

    status: int
    degraded: bool
    seconds: float


class Session:
    """A user with a token and a connection."""

    def __init__(self, port: int, user: str, conversation: str = CONVERSATION) -> None:
        self.user, self.conversation = user, conversation
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        claims = {"sub": user, "exp": int(time.time()) + 3600}
        token = jwt.encode(claims, ENVIRONMENT["JWT_SIGNING_KEY"], "HS256")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def send(self, message: str) -> Answer:
        """Send a message; status 0 stands for a connection that broke."""
        body = json.dumps({"message": message, "conversation_id": self.conversation}).encode()
        began = time.perf_counter()
        try:
            self._connection.request("POST", f"/api/{self.user}/chat", body, self._headers)
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return Answer(0, True, time.perf_counter() - began)
        degraded = response.headers.get("X-Chat-Degraded") == "true"
        return Answer(response.status, degraded, time.perf_counter() - began)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


# --- A turn over the bare calls -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """Milliseconds."""

    get: float
    post: float
    turn: float


@dataclass(frozen=True, slots=True)
class Bare:
    """The store's own calls: get returns an ETag (None: nothing stands there), which post takes."""

    get: Callable[[], str | None]
    post: Callable[[str | None], None]


def _turns_on_redis(folder: Path, environ: dict[str, str], samples: int) -> list[Sample]:
    from chat.errors import StoreMissing
    from chat.repository import conversation_repository

    key, state = _conversation("redis-user")
    repository = conversation_repository()

    def get() -> str | None:
        try:
            return repository.get(key, time.monotonic() + 10).etag
        except StoreMissing:
            return None

    def post(etag: str | None) -> None:
        repository.save(state, etag, TTL_SECONDS, time.monotonic() + 10)

    return _turns(folder / "redis.log", environ, key, Bare(get, post), samples)


def _turns_on_dapr(folder: Path, environ: dict[str, str], samples: int) -> list[Sample]:
    from chat.conversations.state import encode
    from tests.sidecar import binary, stores
    from tests.sidecar.daprd import Sidecar

    program = binary.daprd()
    key, state = _conversation("dapr-user")
    component = stores.make_store("sqlite", folder).component
    value = encode(state)
    with ExitStack() as stack:
        sidecar = Sidecar(program, folder / "sidecar", component)
        stack.callback(sidecar.stop)
        sidecar.start()
        http_session = stack.enter_context(requests.Session())
        http_session.trust_env = False
        address = f"{sidecar.url}/v1.0/state/statestore"

        def get() -> str | None:
            answer = http_session.get(f"{address}/{key}", timeout=10)
            assert answer.status_code in {200, 204}, answer.text
            return answer.headers.get("ETag")

        def post(etag: str | None) -> None:
            item: dict[str, Any] = {
                "key": str(key),
                "metadata": {"ttlInSeconds": str(TTL_SECONDS)},
                "options": {"concurrency": "first-write"},
                **({"etag": etag} if etag else {}),
            }
            body = b"[" + json.dumps(item).encode()[:-1] + b',"value":' + value + b"}]"
            headers = {"Content-Type": "application/json"}
            answer = http_session.post(address, data=body, headers=headers, timeout=10)
            assert answer.status_code == 204, answer.text

        on_dapr = {**environ, "CHAT_STATE_STORE": "dapr", "DAPR_HTTP_PORT": str(sidecar.port)}
        return _turns(folder / "dapr.log", on_dapr, key, Bare(get, post), samples)


def _conversation(user: str) -> "tuple[ConversationKey, ConversationState]":
    from chat.conversations.history import put_turn
    from chat.conversations.state import ConversationKey, MessageEntry, new_conversation

    key = ConversationKey(user, CONVERSATION)
    began = datetime.now(UTC) - timedelta(hours=1)
    state = new_conversation(key, began)
    for number in range(MESSAGES // 2):
        entries = [
            MessageEntry(role="user", content=TEXT, timestamp=began),
            MessageEntry(role="assistant", content=TEXT, timestamp=began),
        ]
        state = put_turn(state, f"{number:024x}", entries, began)
    assert len(state.messages) == MESSAGES
    return key, state


def _turns(
    log: Path, environ: dict[str, str], key: "ConversationKey", bare: Bare, samples: int
) -> list[Sample]:
    server = granian(environ, log, workers=1, threads=4)
    try:
        session = Session(server.port, key.user_id)
        taken = [_sample(bare, session) for _ in range(WARM_UP_SAMPLES + samples)]
        session.close()
    finally:
        server.stop()
    return taken[WARM_UP_SAMPLES:]


def _sample(bare: Bare, session: Session) -> Sample:
    bare.post(bare.get())  # back to 50 messages
    began = time.perf_counter()
    etag = bare.get()
    got = time.perf_counter()
    bare.post(etag)
    posted = time.perf_counter()
    answer = session.send(TEXT)
    assert answer.status == 200 and not answer.degraded, answer
    return Sample(1000 * (got - began), 1000 * (posted - got), 1000 * answer.seconds)


def _print_turns(store: str, samples: list[Sample]) -> None:
    rows = {
        "bare GET": [sample.get for sample in samples],
        "bare POST": [sample.post for sample in samples],
        "a turn": [sample.turn for sample in samples],
    }
    print(f"\n{store}: ms, {len(samples)} samples; {MESSAGES} messages of {CHARACTERS} characters")
    for name, values in rows.items():
        tenth, ninetieth = percentile(values, 10), percentile(values, 90)
        median = statistics.median(values)
        print(f"  {name:24} p50 {median:6.2f}  (p10 {tenth:.2f}, p90 {ninetieth:.2f})")
    get, post, turn = (statistics.median(values) for values in rows.values())
    over = turn - get - post
    print(f"  a turn over GET + POST   {over:+10.2f}  (aim: {AIM_OVER_BARE_MS:.0f})", flush=True)


def percentile(values: list[float], percent: float) -> float:
    """Return a percentile by nearest rank."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def _no_sidecar() -> type[Exception]:
    from tests.sidecar.binary import NoSidecar

    return NoSidecar


# --- Sessions at once -----------------------------------------------------------------------------


def _sessions(folder: Path, environ: dict[str, str]) -> int:
    """Run and print it; return how many turns were lost."""
    with slow_model() as url:
        environ = {
            **environ,
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": url,
            "CHAT_MAX_TURNS_PER_PROCESS": str(TURNS_PER_PROCESS),
        }
        server = granian(environ, folder / "sessions.log", workers=WORKERS, threads=THREADS)
        try:
            wait_until_idle(server)
            sessions = [Session(server.port, f"user-{number}") for number in range(SESSIONS)]
            warm_up = _all_at_once(sessions, "warm-up")
            answers = _all_at_once(sessions, TEXT)
            for session in sessions:
                session.close()
        finally:
            server.stop()
    print(
        f"\n{SESSIONS} sessions at once, a model of {MODEL_SECONDS:.0f} s; "
        f"{WORKERS} workers, {THREADS} threads each, at most {TURNS_PER_PROCESS} turns each"
    )
    lost = _print_answers("warm-up", sessions, "warm-up", warm_up)
    return lost + _print_answers("measured", sessions, TEXT, answers)


def wait_until_idle(server: Server) -> None:
    """Wait for the other workers: /livez answers with the first, which would get all connections.

    They are ready once the server's processes have used next to no CPU for a second.
    """
    deadline = time.monotonic() + START_SECONDS
    before = cpu_seconds(server.process.pid)
    while time.monotonic() < deadline:
        time.sleep(1)
        now = cpu_seconds(server.process.pid)
        if now - before < IDLE_CPU_SECONDS:
            return
        before = now
    raise SystemExit(f"the workers were not ready within {START_SECONDS} s")


@contextmanager
def slow_model() -> Iterator[str]:
    """Run a model that takes MODEL_SECONDS; yield its address."""
    port = any_port()
    command = [sys.executable, "-m", "benchmarks.slow_model", str(port), str(MODEL_SECONDS)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_until(lambda: _listens(port), what="the model's start")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def _all_at_once(sessions: list[Session], message: str) -> list[Answer]:
    answers: list[Answer] = [Answer(0, True, 0.0)] * len(sessions)
    barrier = threading.Barrier(len(sessions))

    def run(number: int) -> None:
        barrier.wait()
        answers[number] = sessions[number].send(message)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def _print_answers(name: str, sessions: list[Session], message: str, answers: list[Answer]) -> int:
    """Print what became of the turns; return how many were answered and are nowhere."""
    answered = [answer.status == 200 for answer in answers]
    stored = [_is_stored(session, message) for session in sessions]
    kept = [_is_waiting(session, message) for session in sessions]
    lost = sum(a and not s and not k for a, s, k in zip(answered, stored, kept, strict=True))
    degraded = sum(answer.status == 200 and answer.degraded for answer in answers)
    others = dict(Counter(answer.status for answer in answers if answer.status != 200))
    # A refusal is quick, and would flatter the times.
    times = [answer.seconds for answer in answers if answer.status == 200] or [math.inf]
    print(
        f"  {name:9} answered 200: {sum(answered)}, of them degraded: {degraded}"
        f"{f', other statuses: {others}' if others else ''}; stored: {sum(stored)}, lost: {lost}"
    )
    aim = f" (aim: {AIM_P99_SECONDS} s)" if name == "measured" else ""
    print(
        f"  {'':9} p50 {statistics.median(times):.2f} s, p99 {percentile(times, 99):.2f} s{aim}, "
        f"longest {max(times):.2f} s"
    )
    return lost


def _is_stored(session: Session, message: str) -> bool:
    """Whether the document has the message, and an answer after it."""
    from chat.conversations.state import ConversationKey
    from chat.errors import StoreMissing
    from chat.repository import conversation_repository

    key = ConversationKey(session.user, session.conversation)
    try:
        messages = conversation_repository().get(key, time.monotonic() + 10).state.messages
    except StoreMissing:
        return False
    turns = {entry.turn_id for entry in messages if entry.content == message}
    return any(entry.role == "assistant" and entry.turn_id in turns for entry in messages)


def _is_waiting(session: Session, message: str) -> bool:
    from chat.models import Turn

    turns = Turn.objects.filter(user_id=session.user, message=message, reply__isnull=False)
    return turns.exclude(state__in=[Turn.State.STORED, Turn.State.DEAD_LETTER]).exists()


if __name__ == "__main__":
    main()
