"""Marks in Redis of what was revoked or disabled: the script of each call refuses it at once.

Redis and the database have no common commit. The database comes first: by it every worker refuses
within two seconds, whether or not the mark was made. By the mark they do so at once, and so does a
worker that is cut off from the database and still goes by what it knew.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID

from django.db import DatabaseError
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from connector_state.models import Connector
from connector_state.store.keys import connector_keys

logger = logging.getLogger(__name__)

# Longer than any worker goes by what it knew (CREDENTIAL_OUTAGE_SECONDS is at most an hour). A
# mark ends so that Redis isn't filled by what the database knows; each new one of the connector
# keeps the others for longer, which does no harm.
MARK_SECONDS = 86_400

ALL = "*"  # instead of a key id: all of the connector's

Tell = Callable[[str], object]


def mark_revoked(connector_uuid: UUID, key_ids: Sequence[str], tell: Tell) -> None:
    """Let Redis refuse credentials that were revoked, or ended; tell the operator if it can't."""
    if not key_ids:
        return
    try:
        _mark(connector_uuid, *key_ids)
    except RedisError:
        tell(
            "Redis did not answer, so this holds within 2 s on every worker that reaches the "
            "database, not at once. If there are others, repeat it with `revoke_credential`."
        )


def mark_enabled(connector_uuid: UUID, tell: Tell) -> None:
    """Let Redis refuse a connector, or no longer, by what the database says of it now.

    Tells the operator if Redis can't be reached.
    """
    marked = None
    try:
        # Of two operators at once the last one to write a mark still has to look whether the other
        # has changed the database since.
        while marked != (enabled := Connector.objects.get(pk=connector_uuid).enabled):
            if enabled:
                get_redis_connection().hdel(connector_keys(str(connector_uuid)).revoked, ALL)
            else:
                _mark(connector_uuid, ALL)
            marked = enabled
    except RedisError:
        tell(
            "Redis did not answer, so a connector that was disabled is refused within 2 s on every "
            "worker that reaches the database, not at once, and one that was enabled may be "
            "refused once more (`manage.py set_policy` with --enabled or --no-enabled repeats it)."
        )


def check(connector_uuid: str) -> None:
    """Remove the mark of a connector that is enabled: Redis did not answer when it was.

    To be called when a mark has refused a credential that is live.
    """
    with suppress(DatabaseError, Connector.DoesNotExist):  # they leave the mark as it is
        mark_enabled(UUID(connector_uuid), logger.warning)


def _mark(connector_uuid: UUID, *fields: str) -> None:
    key = connector_keys(str(connector_uuid)).revoked
    pipeline = get_redis_connection().pipeline(transaction=True)
    pipeline.hset(key, mapping=dict.fromkeys(fields, 1))
    pipeline.expire(key, MARK_SECONDS)
    pipeline.execute()
