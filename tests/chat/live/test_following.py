"""Following a turn in this process: heartbeats, a Redis that is away, a process that died."""

import json
import re
from datetime import timedelta

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from chat.api import streams
from chat.errors import ModelFailed, TurnConflict
from chat.live import published, remote
from chat.live.remote import RemoteWords
from chat.live.words import REPLY_MAX_CHARACTERS, Said, Words
from chat.models import Turn
from chat.turns.accept import ChatRequest, accept
from tests.chat.calls import Api
from tests.chat.drive import ALICE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh_redis(monkeypatch):
    published.forget_redis()
    monkeypatch.setattr(remote, "POLL_SECONDS", 0.01)
    # The threads of turns outlive the tests; their connections may not, or no database is dropped.
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    yield
    published.forget_redis()


@pytest.fixture
def turn() -> Turn:
    return accept(ChatRequest(ALICE, "hello", "c1", idempotency_key="k")).turn


def events(followed) -> list[bytes]:
    stream = streams.EventStream(followed, lambda error: {"code": error.code}, lambda: None)
    return [event for event in stream if event]


def data(event: bytes) -> dict:
    return json.loads(event.partition(b"data: ")[2])


def name(event: bytes) -> str:
    return event.split(b"\n")[0].removeprefix(b"event: ").decode()


def test_events__words_that_came_together_are_handed_over_together(turn):
    words = Words(turn)
    turn.reply = "one two three"
    words.say(turn.reply)
    words.end()
    deltas = [piece for piece in events(words) if b"event: delta" in piece]
    assert [piece.count(b"event: delta") for piece in deltas] == [3]


def test_builtin_assistant__streams_its_words():
    answer = Api().chat("hello", "c1", Accept="text/event-stream")
    content = b"".join(answer.streaming_content).decode()
    assert content.startswith("event: accepted\n")
    assert content.count("event: delta\n") > 10
    assert content.count("event: done\n") == 1


def test_builtin_assistant__a_repeat_gets_the_answer_as_events():
    first = Api().chat("add milk", "c1", **{"Idempotency-Key": "k"}).json()
    again = Api().chat("add milk", "c1", Accept="text/event-stream", **{"Idempotency-Key": "k"})
    names = re.findall("event: (.*)", b"".join(again.streaming_content).decode())
    assert names == ["accepted", "tool_call", "delta", "done"]
    assert Turn.objects.get().reply == first["reply"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html", "application/json"),
        ("text/event-stream", "text/event-stream; charset=utf-8"),
        ("text/event-stream, application/json;q=0.5", "text/event-stream; charset=utf-8"),
    ],
)
def test_accept__decides_between_json_and_events(accept, kind):
    answer = Api().chat("hello", "c1", Accept=accept)
    assert answer.headers["Content-Type"] == kind
    b"".join(answer)  # to its end


def test_heartbeats__stand_where_nothing_is_said(turn, monkeypatch):
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.01)
    stream = iter(streams.EventStream(Words(turn), dict, lambda: None))
    assert next(stream).startswith(b"event: accepted\n")
    assert next(filter(None, stream)).startswith(b": ")
    assert next(filter(None, stream)).startswith(b": ")


def test_words__have_a_limit(turn):
    words = Words(turn)
    for _ in range(3):
        words.add("x" * 9_000)
    assert len(words.reply) == REPLY_MAX_CHARACTERS
    assert len(words.said.pieces) == 3


def test_remote__without_redis_tells_the_reply_when_it_is_whole(turn, redis_away):
    published.publish({turn.lease_token: Said(0, ["One "])})
    followed = RemoteWords(turn)
    assert (followed.said.text, followed.is_over) == ("", False)
    Turn.objects.update(state=Turn.State.STORED, reply="One two.", answered_at=timezone.now())
    followed.wait(0, 1)
    said = events(followed)
    assert [name(event) for event in said] == ["accepted", "delta", "done"]
    assert data(said[-1])["degraded"] is False


def test_remote__hears_what_is_published(turn):
    published.publish({turn.lease_token: Said(0, ["One ", "two"])})
    followed = RemoteWords(turn)
    published.publish({turn.lease_token: Said(0, ["One ", "two", " three."])})
    followed.wait(0, 1)
    assert followed.said.pieces == ["One two", " three."]
    Turn.objects.update(lease_token="of a later attempt")
    assert RemoteWords(turn).said.text == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"lease_until": timezone.now() - timedelta(seconds=1)}, "interrupted"),
        ({"state": Turn.State.FAILED, "failure": "interrupted"}, "interrupted"),
        ({"state": Turn.State.FAILED, "failure": "model_failed"}, "model_failed"),
        ({"state": Turn.State.FAILED, "failure": "model_timeout"}, "model_timeout"),
    ],
)
def test_remote__tells_why_there_is_no_reply(turn, changes, code):
    Turn.objects.update(**changes)
    assert data(events(RemoteWords(turn))[-1]) == {"code": code}


def test_remote__a_conversation_that_was_deleted_is_a_conflict(turn):
    followed = RemoteWords(turn)
    Turn.objects.all().delete()
    followed.wait(0, 1)
    assert isinstance(followed.failure, TurnConflict)


def test_remote__a_database_that_fails_ends_the_stream_with_an_error(turn, monkeypatch):
    followed = RemoteWords(turn)

    def refuse(**lookup) -> None:
        raise OperationalError("refused")

    monkeypatch.setattr(Turn.objects, "filter", refuse)
    stream = streams.EventStream(
        followed, lambda error: {"code": type(error).__name__}, lambda: None
    )
    assert [name(event) for event in filter(None, stream)] == ["accepted", "error"]
    assert isinstance(followed.failure, OperationalError)


def test_failure__of_a_turn_says_that_it_is_degraded(turn):
    Turn.objects.update(state=Turn.State.FAILED, failure="model_failed", degraded=True)
    failure = RemoteWords(turn).failure
    assert isinstance(failure, ModelFailed)
    assert failure.degraded
