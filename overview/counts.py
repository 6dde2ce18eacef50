"""How much there is now."""

from dataclasses import dataclass

from django.db.models import Count, Q, Sum

from chat.models import Conversation
from connector_state.models import OFFLINE, Connector
from connector_state.store.usage import total_usage


@dataclass(frozen=True, slots=True)
class ConnectorCounts:
    """Numbers of connectors. One is offline once it said so at its shutdown, enabled or not."""

    total: int
    disabled: int
    offline: int


@dataclass(frozen=True, slots=True)
class ConversationCounts:
    """Numbers of conversations and messages, as the index knows them."""

    conversations: int
    messages: int


def count_connectors() -> ConnectorCounts:
    """Return how many connectors the database has."""
    return ConnectorCounts(
        **Connector.objects.aggregate(
            total=Count("pk"),
            disabled=Count("pk", filter=Q(enabled=False)),
            offline=Count("pk", filter=OFFLINE),
        )
    )


def count_usage() -> tuple[int, int]:
    """Return the number of keys, and of bytes, of all connectors together.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    uuids = Connector.objects.order_by().values_list("pk", flat=True).iterator(chunk_size=1000)
    return total_usage(str(uuid) for uuid in uuids)


def count_conversations() -> ConversationCounts:
    """Return how many conversations are not deleted, and their messages."""
    found = Conversation.objects.filter(active=True).aggregate(
        conversations=Count("pk"), messages=Sum("message_count", default=0)
    )
    return ConversationCounts(**found)
