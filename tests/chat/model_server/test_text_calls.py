"""Calls that a model wrote into its text, where its server has no parser for that model."""

import json
import time

import pytest

from chat.model_server.text.thoughts import Shown, read_said
from chat.tools.toolbox import Call
from tests.chat.model_server.dialogue import ADD, Tools, answered
from tests.chat.model_server.imitation import MILK, call, called, said

LIST, THIRD = Call("list_tasks", {}), Call("complete_task", {"task_id": 3})
ARGUMENTS = json.dumps(MILK)
EGGS = "<function=add_task><parameter=title>eggs</parameter></function>"
NAMED = '{"name": "add_task", "arguments": {"title": "milk"}}'
COHERE = '{"tool_name": "add_task", "parameters": {"title": "milk"}}'
HERMES = f"<tool_call>\n{NAMED}\n</tool_call>"
CODER = (
    "<tool_call>\n<function=add_task>\n<parameter=title>\nmilk\n</parameter>\n</function>\n"
    "</tool_call>"
)
HARMONY = f"<|channel|>commentary to=functions.add_task <|constrain|>json<|message|>{ARGUMENTS}"
# DeepSeek's bars are full width.
DEEPSEEK = str.maketrans({"|": "\uff5c", "_": "\u2581"})


def deepseek(call: str) -> str:
    begin, end = "<|tool_calls_begin|><|tool_call_begin|>", "<|tool_call_end|><|tool_calls_end|>"
    return begin.translate(DEEPSEEK) + call + end.translate(DEEPSEEK)


SEPARATOR = "<|tool_sep|>".translate(DEEPSEEK)
KIMI = "<|tool_call_begin|>functions.{}<|tool_call_argument_begin|>{}<|tool_call_end|>"

FORMS = [
    (HERMES, [ADD]),
    (HERMES.removesuffix("</tool_call>"), [ADD]),
    (HERMES + "\n" + HERMES.replace("milk", "eggs"), [ADD, Call("add_task", {"title": "eggs"})]),
    ('<tool_call>{"name": "list_tasks"}</tool_call>', [LIST]),
    (
        '<tool_call>{"name": "add_task", "arguments": {"title": "a\nb"}}',
        [Call("add_task", {"title": "a\nb"})],
    ),
    (CODER, [ADD]),
    (CODER.replace("</function>\n</tool_call>", ""), [ADD]),
    ("<function=list_tasks>\n</function>", [LIST]),
    ("<function=complete_task><parameter=task_id>3</parameter></function>", [THIRD]),
    (
        "<function=add_task><parameter=title>3</parameter></function>",
        [Call("add_task", {"title": "3"})],
    ),
    (
        "<function=update_task><parameter=task_id>3</parameter>"
        "<parameter=title>null</parameter></function>",
        [Call("update_task", {"task_id": 3, "title": None})],
    ),
    (
        "<tool_call>complete_task\n<arg_key>task_id</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
        [THIRD],
    ),
    (
        '<minimax:tool_call><invoke name="add_task"><parameter name="title">milk</parameter>'
        "</invoke></minimax:tool_call>",
        [ADD],
    ),
    (f"<function=add_task>{ARGUMENTS}</function>", [ADD]),
    (f"[TOOL_CALLS][{NAMED}]", [ADD]),
    (f"[TOOL_CALLS]add_task[ARGS]{ARGUMENTS}[TOOL_CALLS]list_tasks[ARGS]{{}}</s>", [ADD, LIST]),
    (f"[TOOL_CALLS]add_task[CALL_ID]a1[ARGS]{ARGUMENTS}", [ADD]),
    (f"<|python_tag|>{NAMED.replace('arguments', 'parameters')}<|eom_id|>", [ADD]),
    (f"<|tool_call|>[{NAMED}]", [ADD]),
    (
        f'<|START_ACTION|>[{{"tool_name": "add_task", "parameters": {ARGUMENTS}}}]<|END_ACTION|>',
        [ADD],
    ),
    (
        "<|tool_calls_section_begin|>"
        + KIMI.format("add_task:0", ARGUMENTS)
        + KIMI.format("list_tasks:1", "{}")
        + "<|tool_calls_section_end|>",
        [ADD, LIST],
    ),
    (deepseek(f"function{SEPARATOR}add_task\n```json\n{ARGUMENTS}\n```"), [ADD]),
    (deepseek(f"add_task{SEPARATOR}{ARGUMENTS}"), [ADD]),
    (HARMONY + "<|call|>", [ADD]),
    (f"<|channel|>analysis<|message|>hm<|end|><|start|>assistant{HARMONY}", [ADD]),
    (
        f"<|start|>assistant to=functions.add_task<|channel|>commentary json<|message|>{ARGUMENTS}",
        [ADD],
    ),
]
PLAIN = [
    NAMED,
    NAMED.replace("arguments", "parameters"),
    f"```json\n{NAMED}\n```",
    f"```\n[{NAMED}]\n```",
    f'{{"type": "function", "function": {NAMED}}}',
    f"<think>hm</think>\n\n{NAMED}<|im_end|>",
]


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(("text", "expected"), [*FORMS, *((text, [ADD]) for text in PLAIN)])
def test_calls_in_text__are_carried_out(server, text, expected):
    server.give(said(f"{text}\n"), said(), strict=True)
    tools = Tools()
    assert answered(tools) == "Done."
    assert tools.calls == expected
    assert server.sent[-len(expected) - 1]["content"] == ""


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("text", "expected"), FORMS)
def test_calls_in_text__are_not_shown_as_they_come(text, expected, size):
    text, shown = f"Sure!\n{text}", Shown()
    told = [shown.add(text[at : at + size]) for at in range(0, len(text), size)]
    shown.end()
    assert "".join(told).rstrip() == shown.text.rstrip() == "Sure!"
    assert list(shown.calls) == expected


TALK = [
    f"{HERMES}\n\nThat adds milk.",
    f"It writes:\n\n```\n{HERMES}\n```",
    f"It writes:\n\n```\n{HERMES}",
    f"It writes `{HERMES}`",
    HERMES.replace("add_task", "add_tasks"),
    f"{HERMES}{HERMES.replace('add_task', 'add_tasks')}",
    '<tool_call>{"name": "add_task", "arguments": [1]}</tool_call>',
    '<tool_call>{"name": "add_task", "arguments": {"title": "milk"',
    "<tool_call>{}</tool_call>",
    "<tool_call> begins a call, and </tool_call> ends it.",
    "<function=add_task>",
    f"<function=add_task><parameter=title>eggs</parameter>{ARGUMENTS}",
    "<function=add_task>delete_task</function>",
    "<function=add_task><parameter=title>milk</function>",
    "[TOOL_CALLS] and then the calls",
    f"Like so: {NAMED}",
    f"{NAMED} is what it wrote.",
    f"{NAMED}{{",
    '{"name": "milk"}',
    '```json\n{"name": "milk"}\n```',
    "[x] milk",
    "{",
    "```python\nprint()\n```",
]


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("text", TALK)
def test_calls_in_text__that_talks_about_them_are_text(server, text):
    server.give(said(text))
    tools = Tools()
    assert answered(tools) == text
    assert not tools.calls


@pytest.mark.parametrize(
    "text",
    [
        f"<think>I write {HERMES}",
        HARMONY.replace("add_task", "add_tasks"),
        "<|channel|>commentary to=functions.add_task<|message|>" * 20,
    ],
)
def test_calls_in_text__of_what_the_model_thought_are_nothing(text):
    assert read_said(text) == ("", ())


@pytest.mark.usefixtures("both_ways")
def test_calls_in_text__count_only_without_calls_of_the_answer(server):
    server.give(called(call("list_tasks", "{}"), content=HERMES), said())
    tools = Tools()
    assert answered(tools) == "Done."
    assert tools.calls == [LIST]
    assert server.sent[-2]["content"] == HERMES


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("markup", [HERMES, CODER, NAMED, f"[TOOL_CALLS][{NAMED}]"])
def test_calls_in_text__of_a_title_are_none(server, markup):
    tasks = {"success": True, "tasks": [{"title": markup.strip()}], "count": 1}
    server.give(called(call("list_tasks", "{}")), said(f"You have one task:\n{markup}"))
    tools = Tools(tasks)
    answered(tools)
    server.give(said(f"You said:\n{markup}"))
    answered(tools, message=f"Say {markup}")
    assert tools.calls == [LIST]
    server.give(called(call("list_tasks", "{}")), said(f"{markup}\n{EGGS}"), said())
    tools = Tools(tasks)
    assert answered(tools) == "Done."
    assert tools.calls == [LIST, Call("add_task", {"title": "eggs"})]


MARKS = [
    "<tool_call>",
    HERMES,
    "<function=a><parameter=b>",
    "[TOOL_CALLS]{",
    "<|channel|>commentary to=functions.",
    "</s>",
    "<think>",
    "</think>",
    "`<think>",
    "{}",
    "```",
    " ",
]


@pytest.mark.parametrize("mark", MARKS)
def test_calls_in_text__a_text_full_of_marks_costs_little(mark):
    text = mark * (500_000 // len(mark))
    began = time.process_time()
    for whole in (text, f"{text}.", NAMED + text + ".", f"<tool_call>{text}."):
        read_said(whole)
    assert time.process_time() - began < 10  # seconds
