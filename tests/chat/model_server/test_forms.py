"""What a server refuses is left out step by step: what was said and done goes last."""

import json

import pytest

from chat.model_server.forms import GO_ON
from chat.models import Task
from tests.chat.calls import Api
from tests.chat.model_server.dialogue import ASSISTANT, USER, Tools, answered, done, entry
from tests.chat.model_server.imitation import MILK, Raw, call, called, refused, said

TWO = entry("assistant", "Both.", done({"success": True}), done({"success": True}))


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("status", [400, 500])
def test_forms__one_call_each(server, status):
    def refusal(messages):
        """Llama's template, as vLLM and llama.cpp have it."""
        if all(len(message.get("tool_calls", ())) < 2 for message in messages):
            return None
        return refused(status, message="This model only supports single tool-calls at once!")

    server.give(called(call(), call(arguments={"title": "eggs"})), said(), refusal=refusal)
    tools = Tools()
    assert answered(tools, window=[USER, TWO]) == "Done."
    assert server.roles == "suatatauatat"
    assert [one.arguments["title"] for one in tools.calls] == ["milk", "eggs"]
    results = [one["tool_call_id"] for one in server.sent if one["role"] == "tool"]
    asked = [one["tool_calls"][0]["id"] for one in server.sent if "tool_calls" in one]
    assert results == asked


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "words",
    [
        {"status": 422, "type": "extra_forbidden", "message": "reasoning_content: Extra inputs"},
        {"message": "property 'reasoning_content' is unsupported"},
        {"message": "Unrecognized request argument supplied: reasoning_details"},
        {"message": "no"},
    ],
)
def test_forms__without_what_came_with_the_answer(server, words):
    def refusal(messages):
        """A proxy sends fields that the server behind it does not take."""
        names = {"reasoning_content", "reasoning_details"}
        return refused(**words) if any(names & set(one) for one in messages) else None

    asked = called(call())
    asked["choices"][0]["message"] |= {
        "reasoning_content": "They want milk.",
        "reasoning_details": [{"type": "reasoning.text", "text": "milk"}],
    }
    server.give(asked, said(), refusal=refusal)
    tools = Tools()
    assert answered(tools, window=[USER, ASSISTANT]) == "Done."
    assert server.roles == "suauat"  # nothing of the conversation is lost for it
    assert len(tools.calls) == 1


@pytest.mark.django_db(transaction=True)
def test_forms__calls_as_text_where_they_are_not_taken(server):
    def refusal(messages):
        """Claude behind LiteLLM wants the thoughts that came with calls."""
        if all("thinking_blocks" in one for one in messages if "tool_calls" in one):
            return None
        return refused(message="Expected `thinking`, but found `tool_use`")

    blocks = [{"type": "thinking", "thinking": "They want milk.", "signature": "abc"}]
    asked = called(call())
    asked["choices"][0]["message"]["thinking_blocks"] = blocks
    api = Api()
    server.give(asked, Raw(b"no", 403), refusal=refusal)
    assert api.chat("add milk", "c1", **{"Idempotency-Key": "k"}).status_code == 502
    assert server.sent[2]["thinking_blocks"] == blocks
    server.give(said("Added."), refusal=refusal)  # the repeat does not have the thoughts any more
    answer = api.chat("add milk", "c1", **{"Idempotency-Key": "k"})
    assert answer.json()["reply"] == "Added."
    assert server.roles == "suau"
    *_, told, last = (message["content"] for message in server.sent)
    assert told.startswith(f"(I called add_task with {json.dumps(MILK)}: {{")
    assert last == GO_ON
    assert Task.objects.count() == 1
