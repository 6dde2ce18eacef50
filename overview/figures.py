"""Record the figures of each day, and read them back."""

import logging
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from redis.exceptions import RedisError

from chat.models import Turn
from overview import counts
from overview.counts import ConnectorCounts, ConversationCounts
from overview.models import DailyFigures

logger = logging.getLogger(__name__)

DAYS_KEPT = 400


def today() -> date:
    """Return the current day in UTC."""
    return datetime.now(UTC).date()


def figures_now(
    connectors: ConnectorCounts, chat: ConversationCounts, usage: tuple[int, int] | None
) -> DailyFigures:
    """Return today's figures, not saved, from what was counted.

    Args:
        usage: keys and bytes; None while Redis does not answer.
    """
    day, (keys, size) = today(), usage or (None, None)
    midnight = datetime.combine(day, time(), UTC)
    return DailyFigures(
        date=day,
        connectors=connectors.total,
        keys=keys,
        bytes=size,
        conversations=chat.conversations,
        messages=chat.messages,
        # The states are all that there are: they let the database use its index on state and time.
        turns=Turn.objects.filter(state__in=Turn.State.values, accepted_at__gte=midnight).count(),
    )


def record(days_kept: int = DAYS_KEPT) -> tuple[DailyFigures, bool]:
    """Record today's figures, and delete those that are too old.

    They replace what an earlier run recorded today.

    Returns:
        The figures, and whether Redis said how many keys there are.
    """
    try:
        usage = counts.count_usage()
    except RedisError as error:
        logger.warning("keys and bytes were not recorded: %s", error)
        usage = None
    figures = figures_now(counts.count_connectors(), counts.count_conversations(), usage)
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
    """Return the figures of the last days, oldest first, with those of `now` at the end."""
    first = now.date - timedelta(days=days - 1)
    recorded = list(DailyFigures.objects.filter(date__gte=first, date__lte=now.date))
    if recorded and recorded[-1].date == now.date:
        now = _over(recorded.pop(), now)
    return [*recorded, now]


def _over(earlier: DailyFigures, now: DailyFigures) -> DailyFigures:
    """Complete today's figures with what was recorded earlier today."""
    if now.keys is None:
        now.keys, now.bytes = earlier.keys, earlier.bytes
    now.turns = max(now.turns, earlier.turns)  # turns are dropped some time after they are stored
    return now
