"""Count refused calls by connector, reason and hour in Redis, and record them as events later.

No call waits for it, and its size is bounded: a stranger can name any UUID in a path. Of UUIDs that
no connector has, and of more than FIELDS_MAX pairs an hour, only the reasons are recorded.
"""

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django_redis import get_redis_connection

from common.events.models import Event
from connector_state.credentials.counters.failures import Tally, run_later
from connector_state.models import Connector

HOURS_KEPT = 72
PENDING_MAX = 1000  # pairs between two flushes of a process
FIELDS_MAX = 1000  # pairs of an hour


def count(reason: str, connector_uuid: str) -> None:
    """Count a refused call of a connector."""
    is_full = len(_tally) >= PENDING_MAX
    _tally.add(f"{reason} " if is_full else f"{reason} {connector_uuid}", is_logged=False)


def of_connector(connector_uuid: str, hours: int) -> Counter[str]:
    """Return how often calls of a connector were refused in the last hours, by reason.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    found: Counter[str] = Counter()
    for _, counts in _counts(hours):
        for field, number in counts.items():
            reason, _, uuid = field.rpartition(" ")
            if uuid == connector_uuid:
                found[reason] += number
    return found


def record_as_events(hours: int = HOURS_KEPT) -> None:
    """Bring the events of the last hours up to date: one for each hour, reason and connector.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    events: list[Event] = []
    for hour, counts in _counts(hours):
        events += _events(hour, counts)
    if not events:
        return  # most hours: a page that shows them need not wait to write
    Event.objects.bulk_create(
        events,
        update_conflicts=True,
        unique_fields=["aggregate"],
        update_fields=["number"],
        batch_size=100,
    )


def _counts(hours: int) -> list[tuple[datetime, dict[str, int]]]:
    """Return the last hours, the newest first, each with its counts by field."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    wanted = [now - timedelta(hours=back) for back in range(hours)]
    pipeline = get_redis_connection().pipeline(transaction=False)
    for hour in wanted:
        pipeline.hgetall(_key(hour))
    return [
        (hour, {field.decode(): int(n) for field, n in counts.items()})
        for hour, counts in zip(wanted, pipeline.execute(), strict=True)
    ]


def _events(hour: datetime, counts: dict[str, int]) -> list[Event]:
    pairs = {field: field.rpartition(" ")[::2] for field in counts}
    known = Connector.objects.filter(pk__in={uuid for _, uuid in pairs.values() if uuid})
    uuids = {str(pk) for pk in known.values_list("pk", flat=True)}
    totals: Counter[tuple[str, str]] = Counter()
    for field, (reason, uuid) in pairs.items():
        totals[reason, uuid if uuid in uuids else ""] += counts[field]
    return [
        Event(
            at=hour,
            kind=Event.Kind.REFUSAL,
            area=Event.Area.STATE,
            message=f"Refused calls: {reason}.",
            number=number,
            connector_uuid=UUID(uuid) if uuid else None,
            aggregate=f"refusal {hour:%Y-%m-%dT%H} {reason} {uuid}",
        )
        for (reason, uuid), number in totals.items()
    ]


def _write(counts: dict[str, int]) -> None:
    key = _key(datetime.now(UTC))
    redis = get_redis_connection()
    is_full = redis.hlen(key) >= FIELDS_MAX
    pipeline = redis.pipeline()
    for field, number in counts.items():
        reason, _, _ = field.partition(" ")
        pipeline.hincrby(key, f"{reason} " if is_full else field, number)
    pipeline.expire(key, timedelta(hours=HOURS_KEPT))
    pipeline.execute()


def _key(moment: datetime) -> str:
    return f"statekeep:refusals:{moment:%Y-%m-%dT%H}"


_tally = Tally(_write, run_later)
os.register_at_fork(after_in_child=_tally.reset)
