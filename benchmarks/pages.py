"""What the pages of admin take with a lot in them. `python -m benchmarks.pages`

One connector with a million keys of 200 bytes (all in one namespace, written past the API straight
into Redis, as its scripts leave them) and 10,000 entries of audit, 999 more connectors with a few
keys each, and 200,000 conversations in the database (SQLite) with a turn to every tenth. One
granian worker with four threads; a superuser's session; each page is fetched ROUNDS times over one
connection, after a first time that does not count. Milliseconds from sending the request to the end
of the answer; the median and the worst. The aim is that no page of keys takes more than 200 ms in
the median; the exit status says whether it is met.
"""

import http.client
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID

import django
import redis

from config.env import Environment
from tests.environment import ENVIRONMENT
from tests.servers import ROOT, granian, start_valkey

KEYS, CONNECTORS, CONVERSATIONS = 1_000_000, 1000, 200_000
NAMESPACE, VALUE = "m365", b"x" * 200
AUDIT_ENTRIES = 10_000
ROUNDS = 20
AIM_MS = 200.0
BATCH = 10_000


def main() -> None:
    """Fill, serve, measure, print."""
    with stores() as (folder, environ, client):
        began = time.perf_counter()
        uuid = fill_connectors(client)
        _fill_conversations()
        print(f"filled in {time.perf_counter() - began:.0f} s")
        session = log_in()
        server = granian(environ, folder / "log", workers=1)
        try:
            missed = measure(server.port, session, _pages(uuid))
        finally:
            server.stop()
    raise SystemExit(f"over {AIM_MS:.0f} ms: {', '.join(missed)}" if missed else 0)


@contextmanager
def stores(database_url: str = "") -> Iterator[tuple[Path, dict[str, str], "redis.Redis"]]:
    """A Valkey, a migrated database (SQLite without a URL), and Django in this process on both."""
    folder = Path(tempfile.mkdtemp(prefix="statekeep-bench-"))
    socket = folder / "s"
    valkey = start_valkey(folder / "valkey", "--port", "0", "--unixsocket", str(socket))
    environ = {
        **ENVIRONMENT,
        "DATA_DIR": str(folder),
        "REDIS_URL": f"unix://{socket}",
        "DATABASE_URL": database_url or f"sqlite:///{folder / 'db.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    try:
        for name in Environment.model_fields:  # the developer's own must not take part
            os.environ.pop(name.upper(), None)
        os.environ.update(environ)
        subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, check=True)
        django.setup()
        yield folder, environ, redis.Redis(unix_socket_path=str(socket))
    finally:
        valkey.terminate()
        valkey.wait(20)
        shutil.rmtree(folder)


def fill_connectors(client: "redis.Redis") -> str:
    """Make the connectors with their keys; return the UUID of the one that has a million."""
    from connector_state.models import Connector

    connectors = [
        Connector(uuid=UUID(int=number + 1), name=f"connector {number:04}")
        for number in range(CONNECTORS)
    ]
    Connector.objects.bulk_create(connectors)
    big, *small = (str(connector.uuid) for connector in connectors)
    _fill_keys(client, big, KEYS)
    _fill_audit(client, big)
    for uuid in small:
        _fill_keys(client, uuid, 10)
    return big


def _fill_keys(client: "redis.Redis", uuid: str, number: int) -> None:
    from connector_state.store.keys import connector_keys

    keys = connector_keys(uuid)
    index, sizes = keys.named("index"), keys.named("sizes")
    for start in range(0, number, BATCH):
        members = [f"{NAMESPACE}:delta:{n:07}" for n in range(start, min(start + BATCH, number))]
        pipeline = client.pipeline(transaction=False)
        pipeline.mset({keys.value_prefix + member: VALUE for member in members})
        pipeline.zadd(index, dict.fromkeys(members, 0))
        pipeline.hset(sizes, mapping=dict.fromkeys(members, len(VALUE)))
        pipeline.hincrby(sizes, "total", len(VALUE) * len(members))
        pipeline.execute()


def _fill_audit(client: "redis.Redis", uuid: str) -> None:
    """None of them is of the key whose page is measured, so it looks at as many as it ever does."""
    from connector_state.store.keys import connector_keys

    stream = connector_keys(uuid).named("audit")
    pipeline = client.pipeline(transaction=False)
    for n in range(AUDIT_ENTRIES):
        entry = {"op": "put", "by": "key", "member": f"{NAMESPACE}:delta:{n:07}", "size": 200}
        pipeline.xadd(stream, {**entry, "etag": "0123456789abcdef"})
    pipeline.execute()


def _fill_conversations() -> None:
    from chat.models import ChatUser, Conversation, Turn

    now = datetime.now(UTC)
    ChatUser.objects.bulk_create(ChatUser(user_id=f"user-{n:04}") for n in range(1000))
    for start in range(0, CONVERSATIONS, BATCH):
        rows = range(start, start + BATCH)
        Conversation.objects.bulk_create(
            Conversation(
                user_id=f"user-{n % 1000:04}",
                conversation_id=str(n),
                id_is_integer=True,
                title=f"Conversation about {n}",
                message_count=n % 50,
                updated_at=now - timedelta(seconds=n),
                expires_at=now + timedelta(days=30),
            )
            for n in rows
        )
        Turn.objects.bulk_create(
            Turn(
                id=f"{n:032}",
                user_id=f"user-{n % 1000:04}",
                conversation_id=str(n),
                id_is_integer=True,
                accepted_at=now,
                message="hello",
                state=Turn.State.STORED,
            )
            for n in rows
            if n % 10 == 0
        )


def log_in() -> str:
    """Return the session of a superuser."""
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.create_superuser("bench"))
    return client.cookies["sessionid"].value


def _pages(uuid: str) -> Iterator[tuple[str, str, bool]]:
    """Yield what is measured: its name, its path, and whether the aim is about it."""
    from django.urls import NoReverseMatch, reverse

    def at(name: str, *arguments: str, **query: str) -> str:
        try:
            return f"{reverse(f'admin:{name}', args=arguments)}?{urlencode(query)}"
        except NoReverseMatch:
            return ""

    namespace = {"namespace": NAMESPACE}
    middle = {**namespace, "after": "delta:0500000"}
    keys = "connector_state_keys"
    yield "the start page", at("index"), False
    yield "keys: the namespaces", at(keys, uuid), True
    yield "keys: the first page", at(keys, uuid, **namespace), True
    yield "keys: from the middle", at(keys, uuid, **middle), True
    yield "keys: by a prefix", at(keys, uuid, **namespace, prefix="delta:09999"), True
    yield "a key", at("connector_state_key", uuid, **namespace, key="delta:0500000"), True
    yield "unindexed keys: a step", at("connector_state_unindexed", uuid), True
    yield "connectors", at("connector_state_connector_changelist"), False
    yield "connectors: a search", at("connector_state_connector_changelist", q="0500"), False
    yield "a connector", at("connector_state_connector_change", uuid), False
    yield "conversations", at("chat_conversation_changelist"), False
    yield "conversations: the last page", at("chat_conversation_changelist", p="200"), False
    yield "conversations: a search", at("chat_conversation_changelist", q="user-0500"), False


def measure(
    port: int, session: str, pages: Iterable[tuple[str, str, bool]], aim_ms: float = AIM_MS
) -> list[str]:
    """Print what each page takes; return those that miss the aim."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    missed = []
    print(f"{'milliseconds a page':<32} {'median':>8} {'worst':>8}")
    for name, path, has_aim in pages:
        if not path:
            print(f"{name:<32}  there is no such page")
            continue
        _fetch_ms(connection, path, session)
        times = [_fetch_ms(connection, path, session) for _ in range(ROUNDS)]
        median = statistics.median(times)
        print(f"{name:<32} {median:>8.1f} {max(times):>8.1f}", flush=True)
        if has_aim and median > aim_ms:
            missed.append(name)
    return missed


def _fetch_ms(connection: http.client.HTTPConnection, path: str, session: str) -> float:
    began = time.perf_counter()
    connection.request("GET", path, headers={"Cookie": f"sessionid={session}"})
    answer = connection.getresponse()
    answer.read()
    if answer.status not in {200, 302}:  # admin lists redirect from a page that is not there
        raise SystemExit(f"{path} answered {answer.status}")
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
