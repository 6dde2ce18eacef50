"""Find connectors that register, but have never signed a call."""

from connector_state.models import Connector
from connector_state.store.usage import Usage, usage_of


def never_signed(connector: Connector, usage: Usage) -> bool:
    """Return whether a connector has sent heartbeats, and never used a live credential.

    Only of one that an operator made: an enrolled one gets its credential by registering, and may
    have no state to keep.
    """
    if connector.heartbeat_group is None or connector.last_seen_at is None:
        return False
    live = (credential for credential in connector.credentials.all() if credential.is_live)
    return not any(credential.key_id in usage.last_used for credential in live)


def unsigned_connectors() -> list[Connector]:
    """Return the enabled connectors of which never_signed holds.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    made = Connector.objects.filter(enabled=True).exclude(heartbeat_group=None)
    seen = list(made.exclude(last_seen_at=None).prefetch_related("credentials"))
    usage = usage_of(str(connector.pk) for connector in seen)
    return [connector for connector in seen if never_signed(connector, usage[str(connector.pk)])]
