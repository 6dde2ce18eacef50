"""What models' servers send, as they are: text and calls are read whatever else there is."""

import gzip
import json
from functools import reduce

import pytest

from chat.errors import ModelFailed
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
        with_fields(object={"a": 1}, type=[]),
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
        {"choices": [*said()["choices"], *said("No.")["choices"]]},
        {"choices": [*said()["choices"], None, *said(5)["choices"]]},
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


BOTTLES = Call("add_task", {"title": "two\nbottles\t"})
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
        # LiteLLM of Anthropic's models; servers that repeat the whole
        ([call(arguments='{}{"title": "milk"}')], [ADD]),
        ([call(arguments='{} {"title": "milk"}{}')], [ADD]),
        ([call(arguments='{"title": "milk"}\n{"title": "milk"}')], [ADD]),
        ([call(arguments='{"title": "milk"}' + TWICE)], [ADD]),
        ([call("list_tasks", "{}{}")], [Call("list_tasks", {})]),
        *(
            ([call(arguments=given)], [Call("add_task", given)])
            for given in (
                '{"title": "milk"}{"title": "eggs"}',
                '{"title": 1}{"title": true}',
                '{"title": "milk", "title": "eggs"}',
                '{"title": NaN}',
                "{}" * 100,
            )
        ),
        (
            [call(arguments='{"title": "two\nbottles\t"}')],
            [Call("add_task", {"title": "two\nbottles\t"})],
        ),
        *(
            ([call(name)], [ADD])
            for name in (
                "functions.add_task:0",
                "add_task<|channel|>commentary",
                "add_task<|channel|>json",
                "<|channel|>add_task",
                " add_task\n",
            )
        ),
        *(
            ([call(name)], [Call(name, MILK)])
            for name in ("add_task_now", "add_task or delete_task", "functions.add:0")
        ),
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


def choices(*answers: dict) -> dict:
    return {"choices": [choice for answer in answers for choice in answer["choices"]]}


@pytest.mark.parametrize(
    "answer",
    [
        choices(said("I'll add that."), called(call())),
        choices(called(call()), said("I'll add that.")),
        choices(said("I'll add that."), said(None), called(call()), called(call("list_tasks"))),
    ],
)
def test_reads__text_and_calls_of_different_choices(server, answer):
    server.give(answer, said(), strict=True)
    tools = Tools()
    assert answered(tools) == "Done."
    assert tools.calls == [ADD]
    assert server.sent[-2]["content"] == "I'll add that."


def test_reads__with_calls_of_a_later_choice_what_belongs_to_them(server):
    calls = [call(extra_content={"s": 1})]
    calling = said(None, tool_calls=calls, reasoning_content="hm")
    server.give(choices(said("I'll add that.", reasoning_content="no"), calling), said())
    assert answered() == "Done."
    assert server.sent[-2]["reasoning_content"] == "hm"
    assert server.sent[-2]["tool_calls"][0]["extra_content"] == {"s": 1}


def test_reads__a_function_call_of_the_old_protocol(server):
    server.give(said(None, function_call={"name": "add_task", "arguments": '{"title": "milk"}'}))
    tools = Tools()
    server.answers.append(said())
    assert answered(tools) == "Done."
    assert tools.calls == [ADD]
