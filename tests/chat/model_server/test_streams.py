"""Answers that come as streams, whether that was asked for or not."""

import json

import pytest

from chat.errors import ModelFailed
from chat.model_server.pieces import Pieces
from chat.tools.toolbox import Call
from tests.chat.model_server.dialogue import ADD, ASSISTANT, Tools, answered, entry
from tests.chat.model_server.imitation import MILK, Raw, said


def delta(content=None, ending=None, calls=(), **more) -> dict:
    parts = {"content": content, "tool_calls": calls or None, **more}
    return {"choices": [{"index": 0, "delta": parts, "finish_reason": ending}]}


def part(arguments, **more) -> dict:
    return {**more, "function": {"arguments": arguments, "name": more.pop("name", None)}}


def streamed(*events: dict, end: bytes = b"data: [DONE]\n\n") -> Raw:
    """A stream that nobody asked for."""
    lines = b"".join(b"data: %b\r\n\r\n" % json.dumps(event).encode() for event in events)
    return Raw(b": hello\n\n" + lines + end, headers={"Content-Type": "text/event-stream"})


def whole_call(arguments, **more) -> dict:
    return delta(calls=[part(json.dumps(arguments), name="add_task", **more)])


TITLE = ('{"title":', ' "milk"}')
FUNCTION = {"name": "add_task", "arguments": '{"title": "milk"}'}
EGG = {"title": "eggs"}
EGGS, LIST = Call("add_task", EGG), Call("list_tasks", {})


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [
                delta(calls=[part(TITLE[0], index=0, id="a", name="add_task")]),
                delta(calls=[part(TITLE[1], index=0)]),
            ],
            [ADD],
        ),
        (
            [
                delta(calls=[part(TITLE[0], id="a", name="add_task")]),
                delta(calls=[part(TITLE[1], id="a", name="add_task")]),
            ],
            [ADD],
        ),
        (
            [
                delta(calls=[part(MILK, index=0, id="a", name="add_task")]),
                delta(calls=[part({"title": "eggs"}, index=0, id="b", name="add_task")]),
            ],
            [ADD, EGGS],
        ),
        (
            [
                delta(calls=[part(MILK, name="add_task"), part("", name="list_tasks")]),
                delta("", "tool_calls"),
            ],
            [ADD, Call("list_tasks", {})],
        ),
        (
            [
                delta(calls=[part("", index=0, name="add_task"), part(MILK, index=0)]),
                delta(calls=[part("", index=1, name="add_task")]),
                delta(calls=[part('{"title": "eggs"}', index=1)]),
            ],
            [ADD, EGGS],
        ),
        ([delta(function_call=FUNCTION)], [ADD]),
        *(  # one index for all, with ids or without
            ([whole_call(MILK, index=0, **more), whole_call(EGG, index=0, **more)], [ADD, EGGS])
            for more in ({}, {"id": ""}, {"id": "same"})
        ),
        ([whole_call(MILK, index=0, id="a"), whole_call(MILK, index=0, id="a")], [ADD]),
        ([whole_call(MILK, index="0"), whole_call(EGG, index="1")], [ADD, EGGS]),
        (  # ids alone, and the parts of two calls by turns
            [
                delta(calls=[part(TITLE[0], id="a", name="add_task")]),
                delta(calls=[part(TITLE[0], id="b", name="add_task")]),
                delta(calls=[part(TITLE[1], id="a")]),
                delta(calls=[part(' "eggs"}', id="b")]),
            ],
            [ADD, EGGS],
        ),
        (  # a new id for each part
            [
                delta(calls=[part(TITLE[0], index=0, id="a", name="add_task")]),
                delta(calls=[part(TITLE[1], index=0, id="b", name="add_task")]),
            ],
            [ADD],
        ),
        ([delta(calls=[part("", index=0, id=n, name="list_tasks")]) for n in "ab"], [LIST, LIST]),
        ([delta(calls=[{"index": 0, "name": "add_task", "arguments": MILK}])], [ADD]),
        ([delta(calls=part(MILK, name="add_task"))], [ADD]),
        (
            [delta(calls=[part(MILK, index=0, name="add_task")], function_call=FUNCTION)],
            [ADD],
        ),
        (
            [delta(""), {"choices": [{"message": {"tool_calls": [part(MILK, name="add_task")]}}]}],
            [ADD],
        ),
    ],
)
@pytest.mark.usefixtures("both_ways")
def test_reads__calls_of_a_stream(server, events, expected):
    server.give(streamed(*events), said(), strict=True)
    tools = Tools()
    assert answered(tools) == "Done."
    assert tools.calls == expected


@pytest.mark.parametrize(
    "events",
    [
        [delta("Do"), delta("ne."), delta(None, "stop")],
        [{"choices": [], "prompt_filter_results": []}, delta("Done.", reasoning_content="h")],
        [delta("<th"), delta("ink>hm</think>\n"), delta("Done."), {"choices": []}],
        [delta([{"type": "text", "text": "Done."}]), {"usage": {"total_tokens": 1}}],
        [delta("Done."), {"choices": [{"index": 0, "message": {"content": "Done."}}]}],
        [{"choices": [{"index": "0", "message": {"content": "Done."}}]}],
        [delta("Done."), {"choices": [{"index": 1, "delta": {"content": "No."}}]}],
        # each with all so far; each with some more; the last with all, put a little differently
        [{"choices": [{"message": {"content": text}}]} for text in ("Do", "Done", "Done.")],
        [{"choices": [{"message": {"content": text}}]} for text in ("Do", "ne", ".")],
        [delta("Do"), delta("ne."), {"choices": [{"message": {"content": " Done. "}}]}],
        [delta(""), {"choices": [{"message": {"content": "Done."}}]}],
        [delta("<think>hm</think> <think>so</think>"), delta("Done.")],
        [delta("[TH"), delta("INK]hm[/THINK]Done.")],
        [
            delta("<|channel|>analysis<|message|>hm<|end|>"),
            delta("<|channel|>final<|message|>Done."),
        ],
    ],
)
def test_reads__text_of_a_stream(server, events):
    server.give(streamed(*events))
    assert answered() == "Done."
    pieces = Pieces()
    assert "".join(map(pieces.add, events)) == "Done."


STOP = delta(None, "stop")


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "body",
    [
        b"id: 1\n%b",
        b"retry: 5\nid: 1\nevent: message\n%b",
        b"\xef\xbb\xbf%b",
        b"\n\n%b",
        b"data: ping\n\n%b",
        b"data: {\ndata: }\n\n%b",
    ],
)
def test_stream__may_begin_so(server, body):
    server.give(Raw(body % streamed(delta("Done."), STOP).body.removeprefix(b": hello\n\n")))
    assert answered() == "Done."


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "end",
    [
        b"data: [DONE]",
        b"",
        b'data: {"error": {"message": "too late"}}\n\n',
        b"data: {\n\n",
        b"event: error\ndata: no more\n\n",
    ],
)
def test_stream__may_end_so_after_the_answer(server, end):
    server.give(streamed(delta("Done."), STOP, end=end))
    assert answered() == "Done."
    server.give(Raw(streamed(delta("Done."), STOP, end=b"").body.rstrip()))
    assert answered() == "Done."


@pytest.mark.usefixtures("both_ways")
def test_stream__text_may_hold_any_separator_of_lines(server):
    text = "a\u2028b\u0085c\x1cd"
    raw = json.dumps(delta(text), ensure_ascii=False).encode()
    server.give(Raw(b"data: %b\n\ndata: [DONE]\n\n" % raw))
    assert answered() == text.replace("\x1c", "\ufffd")


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([{"error": {"message": "busy", "code": 400}}], "HTTP 400 (400: busy)"),
        ([{"error": "busy"}], "HTTP 200 (busy)"),
        ([{"object": "error", "message": "busy", "code": 400}], "HTTP 400 (400: busy)"),
        ([{"type": "error", "message": "busy"}], "HTTP 200 (error: busy)"),
        ([{"message": "busy", "code": 504}], "HTTP 504 (504: busy)"),
        ([{"choices": [{"error": {"message": "busy"}}]}], "HTTP 200 (busy)"),
        ([delta(None, "error")], "HTTP 200 (finish_reason: error)"),
        ([delta(None, "null")], "its stream breaks off"),
        ([3], "not an object"),
        ([], "its stream breaks off"),
    ],
)
def test_stream__that_breaks_off_or_tells_of_an_error_is_no_answer(server, caplog, events, reason):
    server.give(streamed(delta("Not a secret"), *events, end=b""))
    with pytest.raises(ModelFailed):
        answered()
    assert reason in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.usefixtures("both_ways")
def test_stream__an_error_event_needs_no_form(server, caplog):
    server.give(streamed(delta("Not"), end=b'event: error\ndata: {"message": "busy"}\n\n'))
    with pytest.raises(ModelFailed):
        answered()
    server.give(streamed(delta("Not"), end=b"event: error\ndata: busy\n\ndata: [DONE]\n\n"))
    with pytest.raises(ModelFailed):
        answered()
    assert caplog.text.count("failed: HTTP 200 (busy)") == 2


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "error",
    [
        {"message": "maximum context length is 100", "code": 400},
        {"message": "Slow down", "code": 429},
        {"type": "overloaded_error", "message": "Overloaded"},
    ],
)
def test_stream__an_error_before_the_first_word_is_read_as_a_refusal(server, error):
    server.give(streamed({"error": error}), said())
    assert answered(window=[entry("user", "x" * 20_000), ASSISTANT]) == "Done."


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (streamed(delta("a secret"), end=b'data: {"a secret\n\n'), "not JSON"),
        (streamed(delta("a secret"), end=b"data: a secret\n\n"), "its stream breaks off"),
    ],
)
def test_stream__that_breaks_is_logged_without_its_words(server, caplog, raw, reason):
    server.give(raw)
    with pytest.raises(ModelFailed):
        answered()
    assert reason in caplog.text
    assert "secret" not in caplog.text
