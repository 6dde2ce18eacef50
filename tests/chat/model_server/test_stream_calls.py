"""Calls in answers that come as streams: which part is of which call."""

import json

import pytest

from chat.model_server.answers import read_choice
from chat.model_server.stream.pieces import Pieces
from chat.tools.toolbox import Call
from tests.chat.model_server.dialogue import ADD, Tools, answered
from tests.chat.model_server.events import delta, part, streamed
from tests.chat.model_server.imitation import MILK, said


def whole_call(arguments, **more) -> dict:
    return delta(calls=[part(json.dumps(arguments), name="add_task", **more)])


def parts(name="add_task", **more) -> list[dict]:
    """A call in two parts, both of which have a name, or none."""
    return [delta(calls=[part(text, name=name, **more)]) for text in TITLE]


NAMED = {"id": "a", "name": "add_task"}
TWICE = json.dumps(json.dumps(MILK))
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
        (  # a line break in a text, as it is
            [
                delta(calls=[part('{"title": "a\nb"}', index=0, name="add_task")]),
                whole_call(EGG, index=0),
            ],
            [Call("add_task", {"title": "a\nb"}), EGGS],
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
        *(  # the end of a call names it once more, or all of it comes again
            ([*whole, delta(calls=[part(end, index=0, **more)])], [ADD])
            for whole in ([whole_call(MILK, index=0, id="a")], parts(index=0, id="a"))
            for more in (NAMED, {"name": "add_task"}, {"id": "a"}, {})
            for end in (*(("", None) if more else ()), json.dumps(MILK), MILK, TWICE)
        ),
        (  # one id at several indexes
            [delta(calls=[part("", index=0, **NAMED)]), *parts(index=1, id="a")],
            [ADD],
        ),
        (
            [
                delta(calls=[part("", index=0, **NAMED)]),
                delta(calls=[part(TITLE[0], index=1, id="a")]),
                delta(calls=[part(TITLE[1], index=1)]),
            ],
            [ADD],
        ),
        ([delta(calls=[part("", index=0, name="add_task")]), *parts(name=None, index=1)], [ADD]),
        ([whole_call(MILK, index=0, id="a"), whole_call(EGG, index=1, id="a")], [ADD, EGGS]),
        (  # one id for all, and their parts by turns
            [
                delta(calls=[part('{"filter":', index=0, id="a", name="list_tasks")]),
                delta(calls=[part(TITLE[0], index=1, **NAMED)]),
                delta(calls=[part(' "all"}', index=0, id="a")]),
                delta(calls=[part(TITLE[1], index=1, id="a")]),
            ],
            [Call("list_tasks", {"filter": "all"}), ADD],
        ),
    ],
)
@pytest.mark.usefixtures("both_ways")
def test_reads__calls_of_a_stream(server, events, expected):
    server.give(streamed(*events), said(), strict=True)
    tools = Tools()
    assert answered(tools) == "Done."
    assert tools.calls == expected


@pytest.mark.parametrize("more", [NAMED, {"name": None}])
def test_reads__arguments_that_begin_empty_are_of_one_call(more):
    pieces = Pieces()
    for event in (delta(calls=[part("{}", index=0, **NAMED)]), *parts(index=0, **more)):
        pieces.add(event)
    (choice,) = pieces.document["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "add_task", "arguments": '{}{"title": "milk"}'}


def test_reads__calls_of_another_choice_than_the_text():
    pieces = Pieces()
    calls = {"index": 1, "delta": {"tool_calls": [part(MILK, index=0, **NAMED)]}}
    for event in (delta("Let me"), {"choices": [calls]}, delta(" see.", "tool_calls")):
        pieces.add(event)
    texts, asked = pieces.document["choices"]
    assert (texts["message"]["content"], texts["message"]["tool_calls"]) == ("Let me see.", [])
    (call,) = read_choice(asked).calls
    assert call.call == ADD


@pytest.mark.usefixtures("both_ways")
def test_reads__calls_and_text_of_another_choice(server):
    events = [delta(calls=[part(MILK, index=0, **NAMED)]), delta("Done.")]
    for event in events:
        event["choices"][0]["index"] = 1
    server.give(streamed(events[0]), streamed(events[1]))
    tools = Tools()
    assert answered(tools) == "Done."
    assert tools.calls == [ADD]
