"""The figures of each day: recording them, and reading them back."""

import logging
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from redis.exceptions import RedisError

from chat.models import Turn
from overview.counts import (
    ConnectorCounts,
    ConversationCounts,
    count_connectors,
    count_conversations,
    count_usage,
)
from overview.models import DailyFigures

logger = logging.getLogger(__name__)

DAYS_KEPT = 400


def today() -> date:
    """The day, in UTC."""
    return datetime.now(UTC).date()


def figures_now(
    connectors: ConnectorCounts, chat: ConversationCounts, usage: tuple[int, int] | None
) -> DailyFigures:
    """Return today's figures, not saved, from what was counted now.

    Args:
        usage: keys and bytes; None: not known, Redis does not answer.
    """
    day = today()
    midnight = datetime.combine(day, time(), UTC)
    keys, size = usage or (None, None)
    return DailyFigures(
        date=day,
        connectors=connectors.total,
        keys=keys,
        bytes=size,
        conversations=chat.conversations,
        messages=chat.messages,
        turns=Turn.objects.filter(accepted_at__gte=midnight).count(),
    )


def record(days_kept: int = DAYS_KEPT) -> tuple[DailyFigures, bool]:
    """Record today's figures over those that today has already, and drop what is too old.

    Returns:
        The figures, and whether Redis said how many keys there are.
    """
    try:
        usage = count_usage()
    except RedisError as error:
        logger.warning("keys and bytes were not recorded: %s", error)
        usage = None
    figures = figures_now(count_connectors(), count_conversations(), usage)
    with transaction.atomic():
        earlier = DailyFigures.objects.select_for_update().filter(pk=figures.date).first()
        if earlier is not None:
            figures = _over(earlier, figures)
        DailyFigures.objects.bulk_create(
            [figures],
            update_conflicts=True,
            unique_fields=["date"],
            update_fields=["connectors", "keys", "bytes", "conversations", "messages", "turns"],
        )
        DailyFigures.objects.filter(date__lte=figures.date - timedelta(days=days_kept)).delete()
    return figures, usage is not None


def recent(days: int, now: DailyFigures) -> list[DailyFigures]:
    """Return what was recorded in the last days, oldest first, today as it is now the last."""
    first = now.date - timedelta(days=days - 1)
    recorded = list(DailyFigures.objects.filter(date__gte=first, date__lte=now.date))
    if recorded and recorded[-1].date == now.date:
        now = _over(recorded.pop(), now)
    return [*recorded, now]


def _over(earlier: DailyFigures, now: DailyFigures) -> DailyFigures:
    """Keep what is not known now; and as stored turns are dropped in time, a day's never fall."""
    if now.keys is None:
        now.keys, now.bytes = earlier.keys, earlier.bytes
    now.turns = max(now.turns, earlier.turns)
    return now
