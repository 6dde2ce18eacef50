"""What models' servers send, as they are: text and calls are read whatever else there is."""

import gzip
import json
from functools import reduce

import pytest

from chat.errors import ModelFailed
from chat.model_server.pieces import Pieces
from chat.tools.toolbox import Call
from tests.chat.model_server.dialogue import ADD, Tools, answered
from tests.chat.model_server.imitation import (
    MILK,
    Raw,
    call,
    called,
    said,
)


def with_fields(choice: dict | None = None, message: dict | None = None, **top) -> dict:
    answer = said(**message or {})
    answer["choices"][0].update(choice or {})
    return {**answer, **top}


@pytest.mark.parametrize(
    "answer",
    [
        with_fields(service_tier="on_demand"),
        with_fields(id=None, created=1.5, object="", model=None, system_fingerprint=3),
        with_fields(usage={"total_tokens": None}, prompt_filter_results=[{"prompt_index": 0}]),
        with_fields(usage=None, error=None, citations=["a"], x_groq={"id": 1}),
        *(with_fields({"finish_reason": reason}) for reason in (None, "", "eos", "STOP", 3)),
        with_fields({"index": None, "logprobs": {"content": 1}, "content_filter_results": {}}),
        with_fields({"finish_reason": "content_filter"}),
        with_fields(message={"role": None, "function_call": {}, "tool_calls": None}),
        with_fields(message={"function_call": None, "tool_calls": [], "refusal": None}),
        with_fields(message={"annotations": [{"type": "other"}], "audio": 1, "tool_calls": {}}),
        with_fields(message={"reasoning_content": "hm", "reasoning": "hm", "tool_calls": ""}),
        said([{"type": "text", "text": "Do"}, {"type": "text", "text": "ne."}]),
        said([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, "Done."]),
        said([{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "Done."}]),
        said([{"type": "image_url", "image_url": {"url": "x"}}, {"text": {"value": "Done."}}]),
        said({"type": "text", "text": "Done."}),
        said([{"type": "output_text", "text": "Done.", "annotations": []}]),
        said("<think>\nhm\n</think>\n\nDone.\n"),
        said(None, refusal="Done."),
        said(None, refusal="Done.", tool_calls=[None, 3, {}, {"function": {"name": None}}]),
        {"choices": [*said("")["choices"], *said()["choices"]]},
        {"choices": [*said()["choices"], *called(call())["choices"]]},
        {"choices": [{"delta": {"content": "Done."}}]},
        {"choices": [{"message": {"content": "Done."}}]},
    ],
)
def test_reads__text_whatever_else_there_is(server, answer):
    server.give(answer)
    tools = Tools()
    assert answered(tools) == "Done."
    assert not tools.calls


DONE = json.dumps(said()).encode()


@pytest.mark.parametrize(
    "raw",
    [
        Raw(b"\n\n" + DONE + b" \r\n\n"),
        Raw(b"\xef\xbb\xbf" + DONE),
        Raw(gzip.compress(DONE), headers={"Content-Encoding": "gzip"}),
        Raw(DONE, headers={"Content-Type": "text/html"}),
        Raw(DONE[:-1] + b', "usage": {"cost": NaN}, "usage": {}}'),
    ],
)
def test_reads__json_however_it_comes(server, raw):
    server.give(raw)
    assert answered() == "Done."


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"choices": []}, "choices is empty"),
        ({}, "choices is missing"),
        ({"choices": "a secret"}, "choices is text"),
        ({"choices": ["a secret"]}, "a choice is text"),
        ({"choices": [{"message": ["a secret"]}]}, "message is a list"),
        (said(5), "content is a number"),
        (said({"secret": "a secret"}), "content is an object"),
        (said(reduce(lambda inner, _: [inner], range(700), "a secret")), "nested too deeply"),
        (said(""), "its answer is empty"),
        (said(None, reasoning_content="a secret"), "its answer is empty"),
        (with_fields({"finish_reason": "content_filter"}, {"content": None}), "content_filter"),
        (Raw(b"<html>a secret</html>"), "not JSON"),
        (Raw(b'{"choices": [{"message": {"content": "a secret'), "not JSON"),
        (Raw(b"  \n"), "its answer is empty"),
        (Raw(b"[1]"), "its answer is a number"),
        (Raw(b"[" * 100_000), "not JSON"),
        (Raw(b" " * 2_000_000), "the model failed: its answer"),
    ],
)
def test_reads__what_cannot_be_used_names_the_field(server, caplog, answer, reason):
    server.give(answer)
    with pytest.raises(ModelFailed):
        answered()
    assert reason in caplog.text
    assert "secret" not in caplog.text


TWICE = json.dumps(json.dumps(MILK))


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([{"function": {"name": "add_task", "arguments": MILK}}], [ADD]),
        ([call(id=None, type="")], [ADD]),
        ([call(id=3, type=None)], [ADD]),
        ([call(arguments=MILK)], [ADD]),
        ([call(arguments=TWICE)], [ADD]),
        ([call(arguments=f" {json.dumps(MILK)}\n")], [ADD]),
        ([{"name": "add_task", "arguments": MILK}], [ADD]),
        ([call(id=""), call(id="")], [ADD]),
        ([call(), call()], [ADD]),
        ([call(), call(id="call_def")], [ADD, ADD]),
        ([call(id=""), call(id="", arguments="{}")], [ADD, Call("add_task", {})]),
        *(
            ([call("list_tasks", given)], [Call("list_tasks", {})])
            for given in ("", None, "null", "{}", {}, " ")
        ),
        ([{"id": "1", "function": {"name": "list_tasks"}}], [Call("list_tasks", {})]),
        ([call("list_tasks", "[1]")], [Call("list_tasks", [1])]),
        ([call("list_tasks", '{"filter":')], [Call("list_tasks", '{"filter":')]),
        ([call("drop table!\x00", "{}")], [Call("drop table!\ufffd", {})]),
    ],
)
def test_reads__tool_calls_as_they_come(server, calls, expected):
    server.give(called(*calls), said(), strict=True)
    tools = Tools()
    assert answered(tools) == "Done."
    assert tools.calls == expected
    assert server.roles == "sua" + "t" * len(expected)


def test_reads__a_function_call_of_the_old_protocol(server):
    server.give(said(None, function_call={"name": "add_task", "arguments": '{"title": "milk"}'}))
    tools = Tools()
    server.answers.append(said())
    assert answered(tools) == "Done."
    assert tools.calls == [ADD]


def delta(content=None, ending=None, calls=(), **more) -> dict:
    parts = {"content": content, "tool_calls": list(calls) or None, **more}
    return {"choices": [{"index": 0, "delta": parts, "finish_reason": ending}]}


def part(arguments, **more) -> dict:
    return {**more, "function": {"arguments": arguments, "name": more.pop("name", None)}}


def streamed(*events: dict, end: bytes = b"data: [DONE]\n\n") -> Raw:
    """A stream that nobody asked for."""
    lines = b"".join(b"data: %b\r\n\r\n" % json.dumps(event).encode() for event in events)
    return Raw(b": hello\n\n" + lines + end, headers={"Content-Type": "text/event-stream"})


TITLE = ('{"title":', ' "milk"}')
EGGS = Call("add_task", {"title": "eggs"})


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
        ([delta(function_call={"name": "add_task", "arguments": '{"title": "milk"}'})], [ADD]),
    ],
)
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
        [{"choices": [{"index": 0, "message": {"content": "Done."}}]}],
        [delta("Done."), {"choices": [{"index": 1, "delta": {"content": "No."}}]}],
    ],
)
def test_reads__text_of_a_stream(server, events):
    server.give(streamed(*events))
    assert answered() == "Done."
    pieces = Pieces()
    assert "".join(map(pieces.add, events)) == "Done."


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (streamed(delta("a secret"), end=b""), "its stream breaks off"),
        (streamed(delta("a secret"), {"error": {"message": "a secret"}}), "ends with an error"),
        (streamed(delta("a secret"), end=b"data: a secret\n\n"), "not JSON"),
        (streamed(delta("a secret"), end=b"data: 3\n\n"), "not an object"),
    ],
)
def test_reads__streams_that_break(server, caplog, raw, reason):
    server.give(raw)
    with pytest.raises(ModelFailed):
        answered()
    assert reason in caplog.text
    assert "secret" not in caplog.text
