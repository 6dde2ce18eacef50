"""Outages as check_stores finds them, also that of the database itself.

The processes that chat note outages of the conversation store by themselves, at once.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

from django_redis import get_redis_connection
from redis.exceptions import RedisError

from common.events import outages
from overview.health.probes import Health

# While the database is down, Redis remembers since when.
_SINCE = "statekeep:database_is_down_since"


def note_outages(found: Iterable[Health]) -> None:
    """Record which stores don't answer, and which do again."""
    by_name = {health.name: health for health in found}
    database, redis = by_name.pop("database"), by_name["redis"]
    if not database.answers:
        if redis.answers:  # else nobody can remember
            _remember()
        return
    if redis.answers and (since := _since()):
        outages.noticed(database.title, since)
        outages.over(database.title)
    for health in by_name.values():
        if health.answers:
            outages.over(health.title)
        else:
            outages.noticed(health.title)


def _remember() -> None:
    with suppress(RedisError):
        get_redis_connection().set(_SINCE, datetime.now(UTC).isoformat(), nx=True)


def _since() -> datetime | None:
    try:
        since = get_redis_connection().getdel(_SINCE)
    except RedisError:
        return None
    return datetime.fromisoformat(since.decode()) if since else None
