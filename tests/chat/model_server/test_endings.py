"""How streams end: what is waited for, for how long, and what is an answer without its end."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from chat.errors import ModelFailed
from chat.live.waiting import wait_for
from chat.live.words import Words
from chat.model_server import streaming
from chat.model_server.stream import endings
from chat.model_server.stream.endings import DOUBT_SECONDS, END_SECONDS
from chat.model_server.stream.pieces import Pieces
from chat.models import Turn
from tests.chat.model_server.dialogue import ADD, Tools, answered
from tests.chat.model_server.events import STOP, delta, part, streamed
from tests.chat.model_server.imitation import MILK, Raw, said


@pytest.fixture
def followed(monkeypatch) -> None:
    monkeypatch.setattr(Tools, "is_followed", True)


THOUGHT = delta(None, "stop", reasoning_content="hm")
CALL = delta(None, "stop", [part(MILK, index=0, id="a", name="add_task")])
ELSEWHERE = {"choices": [{"index": 1, "delta": {"content": "more"}}]}
USAGE = {"choices": [], "usage": {"total_tokens": 1}}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([delta("Done.")], None),
        ([delta("Done."), STOP], END_SECONDS),
        ([delta("Done."), STOP, USAGE], END_SECONDS),
        ([delta("Done.", "stop")], DOUBT_SECONDS),
        ([delta("Done.", "stop"), USAGE], DOUBT_SECONDS),
        ([delta("Done.", "stop"), STOP], END_SECONDS),
        ([THOUGHT], DOUBT_SECONDS),
        ([CALL], DOUBT_SECONDS),
        # in every event, also in those before and between the words
        ([STOP], None),
        ([delta("Do", "stop"), delta("ne.", "stop")], None),
        ([delta("Sure.", "stop"), CALL], None),
        ([THOUGHT, delta("Done.", "stop")], None),
        ([delta("Do", "stop"), delta("ne.", "stop"), STOP], DOUBT_SECONDS),
        # too early
        ([delta("Done."), STOP, ELSEWHERE], None),
        ([delta("Done."), STOP, ELSEWHERE, STOP], DOUBT_SECONDS),
        ([{"choices": STOP["choices"] + ELSEWHERE["choices"]}], DOUBT_SECONDS),
        # all of it once more
        (
            [delta("Done."), {"choices": [said()["choices"][0] | {"finish_reason": "stop"}]}],
            END_SECONDS,
        ),
    ],
)
def test_ending__more_is_waited_for_as_long_as_it_is_likely(events, expected):
    pieces = Pieces()
    for event in events:
        pieces.add(event)
    assert pieces.patience_seconds == expected


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "events",
    [
        [delta("Hello ", "stop"), delta("there.", "stop")],
        [THOUGHT, delta("Hello ", "stop"), delta("there.", "stop")],
    ],
)
@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b""])
def test_ending__in_every_event_is_none(server, monkeypatch, events, end):
    monkeypatch.setattr(endings, "END_SECONDS", 0)
    late = {"comment": "x" * 100_000}  # more than is read at once
    server.give(streamed(events[0], late, *events[1:], end=end))
    assert answered() == "Hello there."


@pytest.mark.usefixtures("both_ways")
def test_ending__beside_words_before_a_call_is_none(server, monkeypatch):
    monkeypatch.setattr(endings, "END_SECONDS", 0)
    server.give(streamed(delta("Sure.", "stop"), {"comment": "x" * 100_000}, CALL), said())
    tools = Tools()
    assert answered(tools) == "Done."
    assert tools.calls == [ADD]


@pytest.mark.usefixtures("both_ways")
def test_ending__beside_words_does_not_hide_an_error(server, caplog):
    server.give(streamed(delta("Not", "stop"), {"error": {"message": "busy", "code": 400}}))
    with pytest.raises(ModelFailed):
        answered()
    assert "HTTP 400 (400: busy)" in caplog.text


HANGS = {"Content-Length": "1000000"}
BREAKS = {**HANGS, "Connection": "close"}
CLOSES = {"Content-Length": "", "Connection": "close"}


@pytest.mark.usefixtures("followed")
@pytest.mark.parametrize("headers", [HANGS, BREAKS, CLOSES])
@pytest.mark.parametrize("events", [[delta("Done.", "stop")], [delta("Done."), STOP]])
def test_ending__is_enough_for_an_answer(server, monkeypatch, events, headers):
    monkeypatch.setattr(endings, "END_SECONDS", 0.01)
    monkeypatch.setattr(endings, "DOUBT_SECONDS", 0.01)
    server.give(Raw(streamed(*events, end=b"").body, headers=headers))
    assert answered() == "Done."


async def commented(body: bytes) -> AsyncIterator[bytes]:
    yield body
    while True:
        await asyncio.sleep(0)
        yield b": still here\n"


def test_ending__comments_after_it_are_not_waited_for(monkeypatch):
    monkeypatch.setattr(endings, "END_SECONDS", 0.3)
    received = commented(streamed(delta("Done."), STOP, end=b"").body)
    answer = streaming.read_events(b": hello\n", received, Words(Turn()))
    assert b"Done." in wait_for(asyncio.wait_for(answer, 20))


@pytest.mark.usefixtures("followed")
def test_ending__in_every_event_is_not_enough_where_the_connection_breaks(server):
    server.give(Raw(streamed(delta("Do", "stop"), delta("n", "stop"), end=b"").body, 200, BREAKS))
    with pytest.raises(ModelFailed):
        answered()


@pytest.mark.usefixtures("followed")
@pytest.mark.parametrize("headers", [BREAKS, CLOSES])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b": hello\n\n",
        b'data: {"choices": [{"delta": {"content": "a sec',
        b'data: {"error": {"message": "a sec',
        b'data: {"choices": [{"delta": {"content": "a secret"}}]}\n\ndata: [DON',
    ],
)
def test_ending__is_missing_where_a_stream_is_cut_off(server, caplog, body, headers):
    server.give(Raw(body, headers={**headers, "Content-Type": "text/event-stream"}))
    with pytest.raises(ModelFailed):
        answered()
    assert "its stream breaks off" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.usefixtures("followed")
def test_stream__that_is_fast_is_read_as_fast(server, monkeypatch):
    monkeypatch.setattr(streaming, "TOGETHER_SECONDS", 0.5)
    thought = delta(None, reasoning_content="hm ")
    server.give(streamed(*[thought] * (1_000_000 // len(json.dumps(thought))), delta("Done.")))
    assert answered() == "Done."  # with a pause after each chunk it takes longer than a turn may
