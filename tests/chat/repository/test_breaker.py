"""The circuit breaker before a conversation store."""

import threading
import time
from collections.abc import Callable

import pytest

from chat.errors import (
    StoreConflict,
    StoreCorrupt,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
)
from chat.repository.breaker import FAILURES_TO_OPEN, Breaker

PAUSE_SECONDS = 2.0


class Clock:
    """A monotonic clock that stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(pause_seconds=PAUSE_SECONDS, clock=clock)


def _raising(error: Exception) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


def _fail(breaker: Breaker, error: Exception, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(type(error)):
            breaker.call(_raising(error))


def _is_open(breaker: Breaker) -> bool:
    """Whether a call fails at once; one that gets in proves nothing."""
    try:
        breaker.call(_raising(_InsideError()))
    except _InsideError:
        return False
    except StoreUnavailable:
        return True


class _InsideError(Exception):
    """The call was let in."""


def _open(breaker: Breaker) -> None:
    _fail(breaker, StoreUnavailable(), FAILURES_TO_OPEN)
    assert _is_open(breaker)


def test_breaker__opens_after_some_outages_in_a_row(breaker: Breaker) -> None:
    _fail(breaker, StoreUnavailable(), FAILURES_TO_OPEN - 1)
    assert not _is_open(breaker)
    _fail(breaker, StoreUnavailable())
    assert _is_open(breaker)


def test_breaker__a_success_between_outages_keeps_it_closed(breaker: Breaker) -> None:
    for _ in range(5):
        _fail(breaker, StoreUnavailable(), FAILURES_TO_OPEN - 1)
        assert breaker.call(lambda: 42) == 42
    assert not _is_open(breaker)


@pytest.mark.parametrize(
    "error",
    [
        StoreConflict(),
        StoreMissing(),
        StoreCorrupt(b"", "1", "no JSON"),
        StoreRefused(),
        StoreUnavailable(is_outage=False),
    ],
)
def test_breaker__what_is_no_outage_never_opens_it(breaker: Breaker, error: Exception) -> None:
    _fail(breaker, error, 50)
    assert not _is_open(breaker)


def test_breaker__missing_and_corrupt_are_answers(breaker: Breaker) -> None:
    for answer in (StoreMissing(), StoreCorrupt(b"", "1", "no JSON")):
        _fail(breaker, StoreUnavailable(), FAILURES_TO_OPEN - 1)
        _fail(breaker, answer)
        _fail(breaker, StoreUnavailable(), FAILURES_TO_OPEN - 1)
        _fail(breaker, answer)
    assert not _is_open(breaker)


def test_breaker__a_conflict_between_outages_proves_nothing(breaker: Breaker) -> None:
    # A dead Redis behind a sidecar: GET says 500, each save says 409.
    for _ in range(FAILURES_TO_OPEN - 1):
        _fail(breaker, StoreUnavailable())
        _fail(breaker, StoreConflict())
    _fail(breaker, StoreUnavailable())
    assert _is_open(breaker)


def test_open__fails_at_once_without_a_call(breaker: Breaker, clock: Clock) -> None:
    _open(breaker)
    calls: list[int] = []
    clock.now += PAUSE_SECONDS - 0.01
    with pytest.raises(StoreUnavailable):
        breaker.call(lambda: calls.append(1))
    assert calls == []


def test_probe__a_success_closes_it(breaker: Breaker, clock: Clock) -> None:
    _open(breaker)
    clock.now += PAUSE_SECONDS
    assert breaker.call(lambda: 42) == 42
    assert not _is_open(breaker)
    _fail(breaker, StoreUnavailable(), FAILURES_TO_OPEN - 1)
    assert not _is_open(breaker)  # it counts from 0 again


def test_probe__an_outage_opens_it_for_another_pause(breaker: Breaker, clock: Clock) -> None:
    _open(breaker)
    for _ in range(3):
        clock.now += PAUSE_SECONDS
        _fail(breaker, StoreUnavailable())
        with pytest.raises(StoreUnavailable):
            breaker.call(lambda: pytest.fail("it was let through"))


def test_probe__that_proves_nothing_lets_the_next_one_try(breaker: Breaker, clock: Clock) -> None:
    _open(breaker)
    clock.now += PAUSE_SECONDS
    _fail(breaker, StoreConflict())
    _fail(breaker, KeyError("a bug of ours"))
    _fail(breaker, StoreUnavailable())  # one opens it for another pause: it was not closed
    assert _is_open(breaker)
    clock.now += PAUSE_SECONDS
    assert breaker.call(lambda: 42) == 42
    assert not _is_open(breaker)


def test_probe__only_one_goes_through(breaker: Breaker, clock: Clock) -> None:
    _open(breaker)
    clock.now += PAUSE_SECONDS
    inside, release = threading.Event(), threading.Event()

    def probe() -> None:
        inside.set()
        assert release.wait(10)

    thread = threading.Thread(target=breaker.call, args=(probe,))
    thread.start()
    assert inside.wait(10)
    with pytest.raises(StoreUnavailable):
        breaker.call(lambda: pytest.fail("a second one was let through"))
    release.set()
    thread.join(10)
    assert not _is_open(breaker)


def test_late_outcomes__of_calls_from_before_it_opened_change_nothing(breaker: Breaker) -> None:
    release = threading.Event()
    outcomes: list[object] = []

    def late(result: Callable[[], object]) -> None:
        def function() -> object:
            assert release.wait(10)
            return result()

        try:
            outcomes.append(breaker.call(function))
        except StoreUnavailable as error:
            outcomes.append(type(error))

    entered = [
        threading.Thread(target=late, args=(result,))
        for result in (lambda: 42, _raising(StoreUnavailable()))
    ]
    for thread in entered:
        thread.start()
    _open(breaker)
    release.set()
    for thread in entered:
        thread.join(10)
    assert _is_open(breaker)


def test_calls__do_not_wait_for_each_other(breaker: Breaker) -> None:
    everybody = threading.Barrier(20)
    # Each call ends only when all are inside at once.
    threads = [
        threading.Thread(target=breaker.call, args=(lambda: everybody.wait(10),)) for _ in range(20)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not everybody.broken
    assert time.monotonic() - began < 5
