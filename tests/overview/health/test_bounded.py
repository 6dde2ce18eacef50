"""Questions to stores that may never answer."""

import threading
import time
from collections.abc import Iterator

import pytest

from overview.health import bounded
from overview.health.bounded import ASKING_MAX, NoAnswer, Question


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Set at the end of the test, so that no thread outlives it."""
    event = threading.Event()
    yield event
    event.set()


def outcome_of(question: Question[str], seconds: float = 0.0) -> bounded.Outcome[str]:
    return question.begin()(time.monotonic() + seconds)


def test_question__asked_at_once_by_many_is_asked_once(never):
    asked = []
    question = Question(lambda: asked.append(1) or str(never.wait()))
    for _ in range(5):
        assert isinstance(outcome_of(question).error, NoAnswer)
    assert len(asked) == 1


def test_question__one_that_hangs_hides_no_later_answer(never, monkeypatch):
    monkeypatch.setattr(bounded, "OLD_SECONDS", 0)
    answers = iter([lambda: str(never.wait()), lambda: "it is back"])
    question = Question(lambda: next(answers)())
    assert isinstance(outcome_of(question).error, NoAnswer)
    assert outcome_of(question, seconds=20).value == "it is back"


def test_question__that_always_hangs_holds_a_few_threads(never, monkeypatch):
    monkeypatch.setattr(bounded, "OLD_SECONDS", 0)
    asked = []
    question = Question(lambda: asked.append(1) or str(never.wait()))
    for _ in range(10):
        assert isinstance(outcome_of(question, seconds=0.01).error, NoAnswer)
    assert len(asked) == ASKING_MAX
