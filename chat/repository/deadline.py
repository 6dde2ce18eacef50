"""Time that is left, on the monotonic clock."""

import time

from chat.errors import StoreUnavailable

# Less is not worth beginning with: the call would only be cut off.
MIN_SECONDS = 0.005
# A store that did not answer within less has not been given a fair chance.
FAIR_SECONDS = 0.5


def seconds_left(deadline: float, at_most: float) -> float:
    """Return how long a call may take.

    Args:
        deadline: on time.monotonic(), in seconds.
        at_most: the longest that a call may take, whatever the deadline.

    Raises:
        StoreUnavailable: the deadline has come.
    """
    left = min(deadline - time.monotonic(), at_most)
    if left < MIN_SECONDS:
        raise StoreUnavailable(
            "There was no time left to ask the conversation store.", is_outage=False
        )
    return left
