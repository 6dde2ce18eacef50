"""The time that is left for a call, on the monotonic clock."""

import time

from chat.errors import StoreUnavailable

# With less time than this a call is not begun: it would only be cut off.
MIN_SECONDS = 0.005
# A call that had less time than this proves no outage.
FAIR_SECONDS = 0.5


def seconds_left(deadline: float, at_most: float) -> float:
    """Return the seconds that a call may take.

    Args:
        deadline: a time of time.monotonic(), in seconds.
        at_most: the longest time for a call, whatever the deadline.

    Raises:
        StoreUnavailable: the deadline has passed, or is too close.
    """
    left = min(deadline - time.monotonic(), at_most)
    if left < MIN_SECONDS:
        raise StoreUnavailable(
            "There was no time left to ask the conversation store.", is_outage=False
        )
    return left
