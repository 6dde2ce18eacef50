"""What a validation error says, and what it keeps to itself."""

import pytest
from pydantic import TypeAdapter, ValidationError

from chat.conversations.state import ToolCallInfo
from chat.errors import InvalidInput
from chat.repair.dead_letters import read_content
from chat.tools.parameters import AddTask
from chat.tools.tasks import TOOLS, ToolRefused
from common.validation import first_error, in_words


def test_first_error__names_our_fields_and_positions_alone():
    call = {"tool": "x", "parameters": {"a secret": float("nan")}, "result": {}}
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[ToolCallInfo]).validate_python([call])
    place, message = first_error(caught.value, ToolCallInfo.model_fields)
    assert place == "0.parameters"
    assert message == "numbers must be finite"


def test_tool__is_told_what_is_wrong():
    known = r"\. The parameters are: title, description \(optional\)\.$"
    with pytest.raises(ToolRefused, match=f"^title: must not be blank{known}"):
        TOOLS["add_task"].parse({"title": " "})
    long = f"^title: String should have at most 200 characters{known}"
    with pytest.raises(ToolRefused, match=long):
        TOOLS["add_task"].parse({"title": "x" * 310})
    assert TOOLS["add_task"].parse({"title": f" {'x' * 200} "}).title == "x" * 200
    with pytest.raises(ToolRefused, match=r"^parameters: give a title or a description\. The "):
        TOOLS["update_task"].parse({"task_id": 1})


def test_dead_letter__says_which_call_is_wrong():
    with pytest.raises(InvalidInput, match=r"^The tool calls, item 0\.tool: Field required\.$"):
        read_content("hello", "", "[{}]")


def test_in_words__names_any_field_where_all_may_be_told():
    with pytest.raises(ValidationError) as caught:
        AddTask.model_validate({"title": "x", "a": 1})
    assert in_words(caught.value) == "a: Extra inputs are not permitted"
    assert in_words(caught.value, AddTask.model_fields, whole="The body").startswith("The body: ")
    assert in_words(caught.value, AddTask.model_fields) == "Extra inputs are not permitted"
