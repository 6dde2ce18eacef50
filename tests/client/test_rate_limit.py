"""What the client makes of a 429."""

import pytest

from client.statekeep_client import RateLimited

ENVIRON = {"STATE_MAX_REQUESTS_PER_SECOND": "5"}


def test_limit__is_waited_for(state, ns):
    for number in range(8):
        state.put(ns, "k", str(number))
    assert state.get(ns, "k").value == "7"


def test_limit__beyond_the_deadline_is_an_error_and_no_unknown_outcome(connect, ns):
    client = connect(deadline_seconds=0.5)
    with pytest.raises(RateLimited) as caught:
        for _ in range(50):
            client.put(ns, "k", "v")
    assert (caught.value.status, caught.value.code) == (429, "rate_limited")
    assert caught.value.retry_after_seconds == 1
