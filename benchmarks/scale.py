"""What calls, pages and the purge take with a lot in the stores. `python -m benchmarks.scale`

A Valkey with a connector of a million keys, as in benchmarks.pages, and a PostgreSQL with a million
conversations of 10,000 users and ten times as many turns (--conversations, --turns), a thousandth
of them due for the purge. One granian worker. The aim is that no call, no page (in the median) and
no conversation of the purge takes longer than 2 s; the exit status says whether it is met. Disk: 1
GB for a million turns, and as much again while they are written.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from urllib.parse import urlencode

import psycopg

from benchmarks.pages import NAMESPACE, fill_connectors, log_in, measure, stores
from tests.servers import granian
from tests.sidecar.stores import PostgreSQLStore

USERS, DAYS = 10_000, 60
AIM_MS = 2000.0
CALLS = 200
FILLED_AT_ONCE = 500_000

# The newest is of now, the oldest of 60 days ago, and conversations last as long: one in a thousand
# has expired.
CONVERSATIONS = """
INSERT INTO chat_conversation (user_id, conversation_id, id_is_integer, title, title_renamed,
  message_count, created_at, updated_at, expires_at, active, deletion_pending, corrupt,
  awaiting_confirmation, lease_token)
SELECT 'user-' || n %% %(users)s, n, true, 'Conversation about ' || n, false, 20, at, at,
  at + CASE WHEN n %% 1000 = 0 THEN interval '1 s' ELSE make_interval(days => %(days)s + 1) END,
  true, false, false, '[]', ''
FROM (SELECT n, now() - n * (make_interval(days => %(days)s) / %(number)s) AS at
      FROM generate_series(%(first)s, %(last)s) AS n) AS all_of_them
"""
TURNS = """
INSERT INTO chat_turn (id, user_id, conversation_id, id_is_integer, accepted_at, message,
  confirmed_deletes, tool_calls, reply, stopped, answered_at, stored_at, state, failure, degraded,
  refusal, lease_token, idempotency_key, body_digest)
SELECT lpad(n::text, 32, '0'), 'user-' || c %% %(users)s, c, true, at,
  repeat('What is due this week? ', 6), '[]', '[]', repeat('Nothing at all is due. ', 12), false,
  at, at, 'stored', '', false, '', '', n, md5(n::text) || md5(n::text)
FROM (SELECT n, 1 + n %% %(conversations)s AS c,
             now() - n * (make_interval(days => %(days)s) / %(number)s) AS at
      FROM generate_series(%(first)s, %(last)s) AS n) AS all_of_them
"""
CHAT_USERS = """
INSERT INTO chat_chatuser (user_id, last_task_id, last_conversation_id)
SELECT 'user-' || n, 0, %(conversations)s FROM generate_series(%(first)s, %(last)s) AS n
"""


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--conversations", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=10_000_000)
    options = parser.parse_args()
    postgresql = PostgreSQLStore()
    try:
        postgresql.start()
        with stores(postgresql.url) as (folder, environ, client):
            began = time.perf_counter()
            uuid = fill_connectors(client)
            print(f"{client.dbsize():,} keys of Redis after {time.perf_counter() - began:.0f} s")
            print(f"  {client.info('memory')['used_memory'] / 1e6:.0f} MB", flush=True)
            _fill(postgresql.url, options.conversations, options.turns)
            missed = _measure_calls(uuid)
            missed += _measure_purge()
            session, server = log_in(), granian(environ, folder / "log", workers=1)
            try:
                missed += measure(server.port, session, _pages(uuid), AIM_MS)
            finally:
                server.stop()
    finally:
        postgresql.remove()
    raise SystemExit(f"over {AIM_MS:.0f} ms: {', '.join(missed)}" if missed else 0)


def _fill(url: str, conversations: int, turns: int) -> None:
    with psycopg.connect(url, autocommit=True) as database:
        for setting in ("full_page_writes TO off", "max_wal_size TO '8GB'"):  # to fill in less time
            database.execute(f"ALTER SYSTEM SET {setting}")
        database.execute("SELECT pg_reload_conf()")
        for table, statement, number in (
            ("chat_chatuser", CHAT_USERS, USERS),
            ("chat_conversation", CONVERSATIONS, conversations),
            ("chat_turn", TURNS, turns),
        ):
            began = time.perf_counter()
            facts = {"users": USERS, "days": DAYS, "conversations": conversations}
            for first in range(0, number, FILLED_AT_ONCE):
                last = min(first + FILLED_AT_ONCE, number) - 1
                parameters = facts | {"number": number, "first": first, "last": last}
                cursor = psycopg.ClientCursor(
                    database
                )  # psycopg.Cursor lets the server guess types
                cursor.execute(statement, parameters)
            database.execute(f"VACUUM ANALYZE {table}")
            size = "SELECT pg_table_size(%s), pg_indexes_size(%s)"
            rows, indexes = database.execute(size, [table, table]).fetchone() or (0, 0)
            took = f"{time.perf_counter() - began:.0f} s"
            sizes = f"{rows / 1e6:.0f} MB and {indexes / 1e6:.0f} MB of indexes"
            print(f"{number:,} rows of {table} after {took}: {sizes}", flush=True)


def _measure_calls(uuid: str) -> list[str]:
    """Print what calls take in this process, with their stores; return those that miss the aim."""
    from chat.models import Conversation, Turn
    from connector_state.store import index
    from connector_state.store.calls import Caller
    from connector_state.store.keys import Address
    from connector_state.store.values import StateStore

    def store() -> StateStore:
        return StateStore(uuid, Caller.operator("benchmark"))

    numbers = iter(range(10**9))
    of_user = Conversation.objects.filter(user_id="user-77", active=True)
    calls: dict[str, Callable[[], object]] = {
        "GET": lambda: store().get(Address(NAMESPACE, "delta:0500000")),
        "PUT": lambda: store().put(Address(NAMESPACE, f"delta:{next(numbers):07}"), b"y" * 200),
        "PUT and DELETE": lambda: (
            store().put(Address(NAMESPACE, "new"), b"y"),
            store().delete(Address(NAMESPACE, "new")),
        ),
        "list 100 keys": lambda: index.list_keys(
            uuid, Caller.operator("benchmark"), NAMESPACE, after="delta:0500000"
        ),
        "list namespaces": lambda: index.list_namespaces(uuid, Caller.operator("benchmark")),
        "a user's 100 newest conversations": lambda: list(of_user[:100]),
        "a conversation's turns": lambda: list(
            Turn.objects.filter(user_id="user-77", conversation_id="77").newest(50)
        ),
    }
    print(f"{'milliseconds a call':<36} {'median':>8} {'worst':>8}")
    return [name for name, call in calls.items() if _worst_ms(name, call, CALLS) > AIM_MS]


def _worst_ms(name: str, call: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - began))
    print(f"{name:<36} {statistics.median(taken):>8.1f} {max(taken):>8.1f}", flush=True)
    return max(taken)


def _measure_purge() -> list[str]:
    """Print what the purge takes; return its name if a conversation takes longer than the aim."""
    from chat.retention.purge import PurgeOptions, purge

    moments = [time.perf_counter()]
    options = PurgeOptions(batch_size=1)
    report = purge(options, lambda so_far: moments.append(time.perf_counter()))
    moments.append(time.perf_counter())
    taken = [1000 * (after - before) for before, after in pairwise(moments)]
    longest = max(taken)
    print(f"{'purge, a conversation':<36} {statistics.median(taken):>8.1f} {longest:>8.1f}")
    print(f"  {report.purged:,} conversations in {moments[-1] - moments[0]:.0f} s", flush=True)
    nothing = _worst_ms("purge, with nothing due", lambda: purge(PurgeOptions()), 3)
    return ["purge"] if max(longest, nothing) > AIM_MS else []


def _pages(uuid: str) -> Iterator[tuple[str, str, bool]]:
    """Yield each page: its name, its path, and that the aim is about it."""
    from django.urls import reverse

    def at(name: str, *arguments: str, **query: str) -> str:
        return f"{reverse(f'admin:{name}', args=arguments)}?{urlencode(query)}"

    conversations = "chat_conversation_changelist"
    yield "the start page", at("index"), True
    keys = {"namespace": NAMESPACE, "after": "delta:0500000"}
    yield "keys: from the middle", at("connector_state_keys", uuid, **keys), True
    yield "unindexed keys: a step", at("connector_state_unindexed", uuid), True
    yield "connectors", at("connector_state_connector_changelist"), True
    yield "conversations", at(conversations), True
    yield "conversations: the last page", at(conversations, p="200"), True
    yield "conversations: the oldest", at(conversations, o="5"), True
    yield "conversations: by user", at(conversations, q="user-500"), True
    yield "conversations: a rare word", at(conversations, q="about 500000"), True
    yield "conversations: sorted by messages", at(conversations, o="4"), True
    yield "conversations: waiting turns", at(conversations, turns="pending"), True
    yield "conversations: have expired", at(conversations, expires="past"), True
    yield "conversations: a day's", at(conversations, updated="day"), True
    yield "dead letters", at("chat_deadletter_changelist"), True
    yield "quarantine", at("chat_quarantine_changelist"), True


if __name__ == "__main__":
    main()
