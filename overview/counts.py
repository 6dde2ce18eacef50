"""What there is now, in numbers."""

from dataclasses import dataclass

from django.db.models import Count, Q, Sum
from django.utils import timezone

from chat.models import ChatUser, Conversation, Quarantine, Turn
from chat.turns.waiting import to_be_stored
from connector_state.models import Connector
from connector_state.store.usage import total_usage


@dataclass(frozen=True, slots=True)
class ConnectorCounts:
    """Connectors. One that is offline said so at its own shutdown; it may be enabled as well."""

    total: int
    disabled: int
    offline: int

    @property
    def enabled(self) -> int:
        """Those that are served."""
        return self.total - self.disabled


@dataclass(frozen=True, slots=True)
class ConversationCounts:
    """Conversations as the index knows them."""

    conversations: int
    messages: int


@dataclass(frozen=True, slots=True)
class ChatWork:
    """What waits in the chat for the store, or for an operator."""

    pending_turns: int
    pending_deletions: int
    dead_letters: int
    quarantined: int


def count_connectors() -> ConnectorCounts:
    """Count them in the database."""
    return ConnectorCounts(
        **Connector.objects.aggregate(
            total=Count("pk"),
            disabled=Count("pk", filter=Q(enabled=False)),
            offline=Count("pk", filter=Q(offline_at__isnull=False)),
        )
    )


def count_usage() -> tuple[int, int]:
    """Return the keys and bytes of all connectors.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    uuids = Connector.objects.order_by().values_list("pk", flat=True).iterator(chunk_size=1000)
    return total_usage(str(uuid) for uuid in uuids)


def count_conversations() -> ConversationCounts:
    """Count those that are not deleted."""
    found = Conversation.objects.filter(active=True).aggregate(
        conversations=Count("pk"), messages=Sum("message_count", default=0)
    )
    return ConversationCounts(**found)


def count_users() -> int:
    """Count who ever chatted."""
    return ChatUser.objects.count()


def count_chat_work() -> ChatWork:
    """Count what waits."""
    return ChatWork(
        pending_turns=Turn.objects.filter(to_be_stored(timezone.now())).count(),
        pending_deletions=Conversation.objects.filter(deletion_pending=True).count(),
        dead_letters=Turn.objects.filter(state=Turn.State.DEAD_LETTER).count(),
        quarantined=Quarantine.objects.filter(resolved_at=None).count(),
    )
