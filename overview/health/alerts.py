"""Tell a webhook what changed in the health of the stores, once across all servers.

A row in the database has what the webhook was told last. Whoever finds another state claims the row
by compare-and-swap, posts the difference, and notes it once it is taken; what is not taken, or was
claimed by a process that died, is posted by a later run.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.utils import timezone
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from chat import outgoing
from overview.health.probes import Health
from overview.models import AlertState

logger = logging.getLogger(__name__)

CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 5.0
CLAIM_SECONDS = 60  # longer than a post takes
OK = "ok"

# While the database is down there is no row. Redis remembers that this was told, and reminds.
_DATABASE_TOLD = "statekeep:alert:database"
_REMIND_SECONDS = 3600

States = dict[str, str]  # of the checks that are not ok, by name


def notify(found: Iterable[Health]) -> bool:
    """Post what changed since the webhook was last told; return False if that was not taken."""
    found = list(found)
    titles = {health.name: health.title for health in found}
    now: States = {health.name: health.state for health in found if health.state != OK}
    if now.get("database") == "failed":
        return _notify_without_database(now, titles)
    row, _ = AlertState.objects.get_or_create(pk=1)
    told: States = dict(row.told)
    was_down = _forget_database()
    if was_down:
        told["database"] = "failed"
    if now == told or not row.claim(timezone.now() + timedelta(seconds=CLAIM_SECONDS)):
        return True
    is_taken = _post(_changes(told, now), titles)
    row.release(now if is_taken else told)
    return is_taken


def _notify_without_database(now: States, titles: dict[str, str]) -> bool:
    try:
        redis = get_redis_connection()
        is_first = redis.set(_DATABASE_TOLD, "1", nx=True, ex=_REMIND_SECONDS)
    except RedisError:
        is_first = True  # nobody can remember: better told twice than not
    if not is_first:
        return True
    is_taken = _post(_changes({}, now), titles)
    if not is_taken:
        _forget_database()
    return is_taken


def _forget_database() -> bool:
    """Forget that the database was down; return whether that had been told."""
    try:
        return bool(get_redis_connection().delete(_DATABASE_TOLD))
    except RedisError:
        return False


def _changes(before: States, now: States) -> list[tuple[str, str, str]]:
    """Return the name, the earlier and the present state of each check that changed."""
    names = sorted({*before, *now})
    changes = [(name, before.get(name, OK), now.get(name, OK)) for name in names]
    return [change for change in changes if change[1] != change[2]]


def _post(changes: list[tuple[str, str, str]], titles: dict[str, str]) -> bool:
    """Post states alone: what a probe says may name connectors or hosts."""
    words = [f"{titles.get(name, name)}: {now} (was {was})" for name, was, now in changes]
    body = {
        "text": f"Statekeep: {'; '.join(words)}",
        "changes": [{"check": name, "was": was, "now": now} for name, was, now in changes],
    }
    url = settings.ALERT_WEBHOOK_URL
    try:
        with outgoing.session(url) as session:
            answer = session.post(
                url,
                json=body,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,
                stream=True,  # its body is of no interest, however long
            )
            outcome, is_taken = str(answer.status_code), 200 <= answer.status_code < 300
    except (requests.RequestException, ValueError, OSError) as error:
        outcome, is_taken = type(error).__name__, False
    if not is_taken:  # the rest of the URL may be a secret
        logger.warning("%s did not take an alert: %s", urlsplit(url).hostname, outcome)
    return is_taken
