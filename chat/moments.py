"""Points in time as whole numbers: ids and cursors hold the microseconds since 1970."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Return how many have passed since 1970. Take an aware time."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """Return the time at which so many had passed.

    Raises:
        OverflowError: there is no such time.
    """
    return EPOCH + microseconds * MICROSECOND
