"""A thousand people who chat. `python -m benchmarks.people`

Each of 1,000 sessions has a user and a conversation, and sends a message every ten seconds to a
model that takes a second: a hundred messages a second, which begin spread over the ten. Each comes
by a connection of its own, as the server ends those that idle for ten seconds. A session whose
answer takes longer than that sends its next message when it has come. Workers, threads and
turns are those of docs/production.md; the other limits are the defaults, but none holds for an
address, as all have the same.

Afterwards each message that was sent must be in the stored document of its conversation. Printed
are the statuses, what was stored, the times until an answer was whole, and what a turn cost the
server; the exit status is 1 if a message that was answered is nowhere. No time fails the run. A
machine that does other things, or has few processors for server, model, database and the sessions
themselves, is full before the server is: compare CPU and ratios.

PostgreSQL is one of the machine's own programs, without fsync.
"""

import argparse
import asyncio
import json
import random
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import uvloop

from benchmarks.chat import (
    AIM_P99_SECONDS,
    load,
    percentile,
    services,
    slow_model,
    wait_until_idle,
)
from benchmarks.load import cpu_seconds
from tests.environment import ENVIRONMENT
from tests.servers import granian

EVERY_SECONDS = 10.0
ANSWER_SECONDS_MAX = 60.0
AIM_STORED_PERCENT = 99.9
EVENT_STREAM = "text/event-stream"


def main() -> None:
    """Run it and print it."""
    options = _options()
    folder = Path(tempfile.gettempdir())
    with (
        _database(options) as url,
        services(folder, url) as (files, environ),
        slow_model() as model,
    ):
        environ |= {
            "CHAT_RATE_PER_MINUTE": "20",
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": model,
            "CHAT_MAX_TURNS_PER_PROCESS": str(options.turns),
            "MAX_REQUESTS_PER_ADDRESS": "0",  # all of them have one
        }
        log = files / "people.log"
        server = granian(environ, log, workers=options.workers, threads=options.threads)
        try:
            wait_until_idle(server)
            print(f"load before: {load()}", flush=True)
            sessions = [_Session(number, server.port, options) for number in range(options.people)]
            before, began = cpu_seconds(server.process.pid), time.perf_counter()
            uvloop.run(_all(sessions))
            took, cpu = time.perf_counter() - began, cpu_seconds(server.process.pid) - before
        finally:
            server.stop()
        print(
            f"{options.people} people for {options.seconds:.0f} s on {options.database}"
            f"{', streaming' if options.stream else ''}; {options.workers} workers, "
            f"{options.threads} threads and at most {options.turns} turns each"
        )
        lost = _report(sessions, took, cpu)
    print(f"load after: {load()}")
    raise SystemExit(int(lost > 0))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Let a thousand people chat.")
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--turns", type=int, default=300)
    return parser.parse_args()


@contextmanager
def _database(options: argparse.Namespace) -> Iterator[str | None]:
    """Yield the address of a PostgreSQL that takes a connection of each thread; None for SQLite."""
    if options.database == "sqlite":
        yield None
        return
    import psycopg

    from tests.sidecar.stores import PostgreSQLStore

    store = PostgreSQLStore()
    most = options.workers * (2 * options.threads + 2) + 20
    try:
        store.start()
        with psycopg.connect(store.url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET max_connections = {most}")
        store.stop()
        store.start()
        yield store.url
    finally:
        store.remove()


# --- The people -----------------------------------------------------------------------------------


async def _all(sessions: "list[_Session]") -> None:
    await asyncio.gather(*(session.run() for session in sessions))


@dataclass(slots=True)
class _Session:
    number: int
    port: int
    options: argparse.Namespace
    statuses: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    degraded: int = 0

    @property
    def user(self) -> str:
        return f"user-{self.number}"

    async def run(self) -> None:
        """Send messages to the end; status 0 stands for a connection that broke or a long wait."""
        clock = asyncio.get_running_loop().time
        starts_at = clock()
        ends_at = starts_at + self.options.seconds
        next_at = starts_at + random.random() * EVERY_SECONDS
        while next_at < ends_at:
            await asyncio.sleep(next_at - clock())
            began = clock()
            try:
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    status = await self._send()
            except (OSError, EOFError, TimeoutError):
                status = 0
            self.statuses.append(status)
            self.seconds.append(clock() - began)
            next_at = max(next_at + EVERY_SECONDS, clock())

    async def _send(self) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(self._request())
            return await self._answer(reader)
        finally:
            writer.close()

    def _request(self) -> bytes:
        message = f"message {len(self.statuses)} of {self.user}"
        body = json.dumps({"message": message, "conversation_id": "bench"}).encode()
        claims = {"sub": self.user, "exp": int(time.time()) + 600}
        token = jwt.encode(claims, ENVIRONMENT["JWT_SIGNING_KEY"], "HS256")
        accept = EVENT_STREAM if self.options.stream else "application/json"
        return (
            f"POST /api/{self.user}/chat HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    async def _answer(self, reader: asyncio.StreamReader) -> int:
        """Read an answer to its end; return its status, of a stream the one of its last event."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        status = int(head.split(" ", 2)[1])
        if length := re.search(r"content-length: (\d+)", head):
            await reader.readexactly(int(length[1]))
            self.degraded += "x-chat-degraded: true" in head
            return status
        events = await reader.readuntil(b"\r\n0\r\n\r\n")
        self.degraded += b'"degraded":true' in events
        if b"event: done" in events:
            return status
        failure = re.search(rb'"status": ?(\d+)', events)
        return int(failure[1]) if failure else 0


# --- What came of it ------------------------------------------------------------------------------


def _report(sessions: list[_Session], took: float, cpu: float) -> int:
    """Print it; return how many messages were answered and are nowhere."""
    statuses = Counter(status for session in sessions for status in session.statuses)
    sent, answered = statuses.total(), statuses[200]
    seconds = [
        seconds
        for session in sessions
        for status, seconds in zip(session.statuses, session.seconds, strict=True)
        if status == 200
    ]
    stored = waiting = lost = 0
    for session in sessions:
        in_document, in_rows = _stored(session), _waiting(session)
        for number, status in enumerate(session.statuses):
            message = f"message {number} of {session.user}"
            stored += message in in_document
            waiting += message in in_rows and message not in in_document
            lost += status == 200 and message not in in_document | in_rows
    degraded = sum(session.degraded for session in sessions)
    print(
        f"  {sent} messages, {answered / took:.1f} answers a second; statuses {dict(statuses)}\n"
        f"  stored {100 * stored / sent:.2f} % (aim: {AIM_STORED_PERCENT}), waiting {waiting}, "
        f"lost {lost}, degraded {degraded}"
    )
    if seconds:
        print(
            f"  p50 {statistics.median(seconds):.2f} s, p99 {percentile(seconds, 99):.2f} s "
            f"(aim: {AIM_P99_SECONDS}), longest {max(seconds):.2f} s; "
            f"{1000 * cpu / answered:.1f} ms of the server's CPU an answer"
        )
    return lost


def _stored(session: _Session) -> set[str]:
    from chat.conversations.state import ConversationKey
    from chat.errors import StoreMissing
    from chat.repository import conversation_repository

    key = ConversationKey(session.user, "bench")
    try:
        messages = conversation_repository().get(key, time.monotonic() + 10).state.messages
    except StoreMissing:
        return set()
    return {entry.content for entry in messages if entry.role == "user"}


def _waiting(session: _Session) -> set[str]:
    from chat.models import Turn

    turns = Turn.objects.filter(user_id=session.user).exclude(state=Turn.State.STORED)
    return set(turns.values_list("message", flat=True))


if __name__ == "__main__":
    main()
