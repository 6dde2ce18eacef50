"""Count the calls of each connector by day and outcome, and note from where its credentials call.

A call adds to a dictionary; a timer writes what some seconds brought, in one pipeline, so no call
waits for it. A process that is killed loses the counts of its last seconds. Only calls with a good
signature are counted, so strangers can't fill Redis; refusals counts the others.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

from django_redis import get_redis_connection

from connector_state.credentials.counters.failures import Tally, run_later

DAYS_SHOWN = 7
DAYS_KEPT = 8
ADDRESS_DAYS_KEPT = 90
FLUSH_SECONDS = 5.0
PENDING_MAX = 10_000  # pairs of a connector and an outcome between two flushes of a process
UNREADABLE_FROM = 200  # fields of a connector's day, beyond which no unreadable key is added

OK = "ok"
UNREADABLE = "@"  # what begins the field of a key that can't be read; no outcome begins so


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is recorded of one connector's calls.

    `daily` has the last DAYS_SHOWN days (UTC), the newest first, each with the number of its calls
    by outcome: OK, or status and code, such as "412 precondition_failed". `unreadable` are the
    members (namespace:key) whose values a call found to be no text in these days. `addresses` are
    where credentials were last used from, by key id.
    """

    daily: dict[date, dict[str, int]]
    unreadable: list[str]
    addresses: dict[str, str]


def count(connector_uuid: str, key_id: str, address: str, outcome: str = OK) -> None:
    """Count a call whose signature was good.

    Args:
        connector_uuid: of the connector that made it.
        key_id: of the credential that signed it.
        address: of the client.
        outcome: as in Recorded.
    """
    if len(_tally) < PENDING_MAX:
        _addresses[key_id] = (connector_uuid, address)
        _tally.add(f"{connector_uuid} {outcome}", is_logged=False)


def note_unreadable(connector_uuid: str, member: str) -> None:
    """Note that the value of a member (namespace:key) is no text."""
    if len(_tally) < PENDING_MAX:
        _tally.add(f"{connector_uuid} {UNREADABLE}{member}", is_logged=False)


def recorded_of(connector_uuid: str) -> Recorded:
    """Return what is recorded of a connector, but for the last seconds.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=back) for back in range(DAYS_SHOWN)]
    pipeline = get_redis_connection().pipeline(transaction=False)
    for day in days:
        pipeline.hgetall(_key(connector_uuid, day))
    pipeline.hgetall(_key(connector_uuid, "addresses"))
    *found, addresses = (
        {field.decode(): value.decode() for field, value in reply.items()}
        for reply in pipeline.execute()
    )
    daily = {
        day: {field: int(n) for field, n in fields.items() if not field.startswith(UNREADABLE)}
        for day, fields in zip(days, found, strict=True)
    }
    members = {field[1:] for fields in found for field in fields if field.startswith(UNREADABLE)}
    return Recorded(daily, sorted(members), addresses)


def flush() -> None:
    """Write what this process has counted; if Redis does not answer, it is written later."""
    _tally.flush()


def _write(counts: Counter[str]) -> None:
    global _addresses
    seen, _addresses = _addresses, {}
    try:
        _write_all(counts, list(seen.items()))
    except Exception:
        _addresses = seen | _addresses
        raise


def _write_all(counts: Counter[str], addresses: list[tuple[str, tuple[str, str]]]) -> None:
    today = datetime.now(UTC).date()
    pipeline = get_redis_connection().pipeline(transaction=False)
    days_kept: dict[str, int] = {}  # by key: each has many fields, and one expiry
    for uuid, field, number in _with_room(counts, today):
        pipeline.hincrby(key := _key(uuid, today), field, number)
        days_kept[key] = DAYS_KEPT
    for key_id, (uuid, address) in addresses:
        pipeline.hset(key := _key(uuid, "addresses"), key_id, address)
        days_kept[key] = ADDRESS_DAYS_KEPT
    for key, days in days_kept.items():
        pipeline.expire(key, timedelta(days=days))
    pipeline.execute()


def _with_room(counts: Counter[str], today: date) -> Iterator[tuple[str, str, int]]:
    """Yield the connector, field and number of each count, without keys that have no room left."""
    for pair, number in counts.items():
        uuid, _, field = pair.partition(" ")
        is_key = field.startswith(UNREADABLE)
        if is_key and get_redis_connection().hlen(_key(uuid, today)) >= UNREADABLE_FROM:
            continue
        yield uuid, field, number


def _key(connector_uuid: str, what: date | str) -> str:
    """Return the key of the counts of a day, or of the addresses."""
    name = what if isinstance(what, str) else f"calls:{what}"
    return f"statekeep:{{{connector_uuid}}}:{name}"


def _reset() -> None:
    _addresses.clear()
    _tally.reset()


_addresses: dict[str, tuple[str, str]] = {}
_tally = Tally(_write, partial(run_later, seconds=FLUSH_SECONDS))
os.register_at_fork(after_in_child=_reset)
