"""A conversation that a server refuses is sent in another form, so that it is not dead for ever."""

import json

import pytest

from chat.errors import ModelFailed
from chat.model_server.messages import CALLS, UNSIGNED
from chat.models import Task
from tests.chat.calls import Api
from tests.chat.drive import ask
from tests.chat.model_server.dialogue import ASSISTANT, CALLED, USER, Tools, answered, entry
from tests.chat.model_server.imitation import Raw, call, called, refused, said

LONG = [entry("user", "x" * 9_000), entry("assistant", "y" * 9_000)]


@pytest.mark.parametrize(
    "message",
    [
        "The input token count (40000) exceeds the maximum number of tokens allowed (32000).",
        "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
        "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000",
        "Your request exceeded model token limit: 8192",
        "`inputs` tokens + `max_new_tokens` must be <= 8193",
        "Prompt exceeds max length",
        "Range of input length should be [1, 30720]",
        "decoder prompt (length 40000) is longer than the maximum model length of 32768",
        "Input length 40000 exceeds maximum allowed token size 32768",
        "number of input tokens exceeded",
        "input tokens exceed the configured limit of 272000 tokens",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Invalid 'messages[1].content': string too long. Expected maximum length 1048576.",
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_adapts__to_a_context_that_is_too_short_in_any_words(server, message, status):
    server.give(refused(status, message=message), said())
    assert answered(window=LONG * 4) == "Done."
    assert len(server.requests) == 2
    assert 15_000 < len(json.dumps(server.sent)) < 40_000  # half of it, in whole turns


def test_adapts__not_to_a_limit_of_a_minute(server):
    server.give(refused(429, message="Your limit of tokens a minute is exceeded"), said())
    assert answered(window=LONG) == "Done."
    assert server.requests[0] == server.requests[1]


@pytest.mark.usefixtures("both_ways")
def test_adapts__a_message_that_was_refused_once_does_not_fail_the_next(server):
    server.give(said())
    server.refuses = "bomb"
    window = [USER, ASSISTANT, entry("user", "a bomb"), USER, ASSISTANT]
    assert answered(window=window) == "Done."
    assert server.roles == "suauau"
    window = [USER, ASSISTANT, entry("user", "old"), entry("assistant", "a bomb")]
    assert answered(window=window) == "Done."
    assert server.roles == "su"
    with pytest.raises(ModelFailed):
        answered(window=window, message="a bomb")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_adapts__not_to_a_refusal_of_the_key_or_the_model(server, status):
    server.give(refused(status, message="no"), said())
    with pytest.raises(ModelFailed):
        answered(window=[USER, ASSISTANT])
    assert len(server.requests) == 1


def test_adapts__calls_have_a_text_where_no_empty_one_is_taken(server):
    empty = refused(message="text content blocks must be non-empty")
    server.give(empty, called(call()), said())
    assert answered(window=[USER, CALLED, ASSISTANT]) == "Done."
    assert server.roles == "suatauat"
    assert all(message["content"] for message in server.sent)
    assert server.sent[2]["content"] == CALLS


def test_adapts__calls_of_a_repeat_have_a_signature_where_one_is_wanted(server):
    missing = refused(message="Function call is missing a thought_signature in functionCall parts.")
    tools = Tools()
    tools.call_all([])
    tools.done = [{"tool": "add_task", "parameters": {}, "result": {"success": True}}]
    server.give(missing, said())
    assert answered(tools) == "Done."
    (sent,) = server.sent[2]["tool_calls"]
    assert sent["extra_content"] == {"google": {"thought_signature": UNSIGNED}}


@pytest.mark.usefixtures("both_ways")
def test_adapts__what_openrouter_wants_back_goes_back(server):
    details = [{"type": "reasoning.encrypted", "data": "abc"}]
    server.give(called(call()), said())
    server.answers[0]["choices"][0]["message"]["reasoning_details"] = details
    assert answered() == "Done."
    assert server.sent[2]["reasoning_details"] == details


@pytest.mark.usefixtures("both_ways")
def test_adapts__what_is_behind_openrouter_is_heard(server, caplog):
    raw = json.dumps({"error": {"message": "No tools here"}})
    error = {"code": 403, "message": "Provider returned error", "metadata": {"raw": raw}}
    server.give(refused(403, **error))
    with pytest.raises(ModelFailed):
        answered()
    assert "No tools here" in caplog.text


@pytest.mark.usefixtures("both_ways")
def test_adapts__calls_that_the_model_wrote_wrongly_are_asked_for_again(server):
    server.give(refused(code="tool_use_failed", message="Failed to call a function."), said())
    assert answered(window=[USER, ASSISTANT]) == "Done."
    assert server.roles == "suau"


def test_adapts__to_a_server_that_streams_no_tools(server, monkeypatch):
    monkeypatch.setattr(Tools, "is_followed", True)
    server.give(refused(500, message="Cannot use tools with stream"), said())
    assert answered() == "Done."
    assert [request.get("stream") for request in server.requests] == [True, None]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "nothing",
    [{"choices": []}, {"choices": [{"message": None}]}, {"choices": None}, {}, Raw(b""), Raw(b" ")],
)
def test_turn__no_answer_after_the_work_says_what_was_done(server, nothing):
    server.give(called(call()), nothing)
    answer = Api().chat("add milk", "c1")
    assert (answer.status_code, answer.json()["reply"]) == (200, "I've added 'milk' as task 1.")
    assert Task.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_turn__calls_as_models_write_them_where_there_is_no_doubt(server):
    server.give(called(call(arguments={"title": "a"})), said())
    ask("add a")
    server.give(
        called(
            call("list_tasks", "[]"),
            call("list_tasks", {"filter": ""}),
            call("list_tasks", {"filter": "ALL"}),
            call("list_tasks", {"filter": " Active "}),
            call("functions.complete_task:0", {"task_id": 1}),
            call("default_api.update_task", {"task_id": 1, "title": "", "description": "b"}),
            call("functions.drop", {}),
            call("update_task", {"task_id": 1, "title": ""}),
            call("list_tasks", {"filter": "some"}),
        ),
        said(),
    )
    calls = ask("go").tool_calls
    assert [one["result"]["success"] for one in calls] == [True] * 6 + [False] * 3
    assert [one["tool"] for one in calls[4:7]] == ["complete_task", "update_task", "functions.drop"]
    assert calls[5]["parameters"] == {"task_id": 1, "description": "b"}
    assert Task.objects.get().title == "a"
