"""Errors of the moment are asked again, and the log has nothing of the conversation."""

import json

import pytest

from chat.errors import ModelFailed
from chat.models import Task
from tests.chat.calls import Api
from tests.chat.model_server.dialogue import ASSISTANT, USER, answered
from tests.chat.model_server.imitation import Raw, call, called, refused, said


def in_200(error: object) -> Raw:
    return Raw(json.dumps({"error": error}).encode())


OF_THE_MOMENT = [
    in_200({"type": "server_error", "message": "The server had an error", "code": None}),
    in_200({"code": "rate_limit_exceeded"}),
    in_200({"type": "internal_server_error"}),
    in_200({"code": "service_unavailable"}),
    in_200("error parsing tool call: raw='{'"),
    Raw(json.dumps([{"error": {"code": 503, "status": "UNAVAILABLE"}}]).encode()),
    refused(code="output_parse_failed", message="Parsing failed."),
    refused(message="unexpected tokens remaining in message header"),
    *(Raw(b"<html>", status) for status in (409, 424, 425, 498, 520, 524, 530)),
]


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("first", OF_THE_MOMENT)
def test_errors__of_the_moment_are_asked_again(server, first):
    server.give(first, said())
    assert answered(window=[USER, ASSISTANT]) == "Done."
    assert server.roles == "suau"
    assert len(server.requests) == 2


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "first",
    [
        in_200({"type": "invalid_request_error"}),
        in_200({"code": "insufficient_quota"}),
        in_200({"code": "content_filter"}),
        in_200({"code": 401}),
        Raw(b"", 501),
    ],
)
def test_errors__that_would_come_again_are_not(server, monkeypatch, first):
    server.give(first)
    with pytest.raises(ModelFailed):
        answered()
    # A server that can't stream may say so with 501.
    assert len({request.get("stream") for request in server.requests}) == len(server.requests)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "first",
    [
        Raw(),
        said(""),
        {"choices": [{"finish_reason": "function_call_filter: MALFORMED_FUNCTION_CALL"}]},
    ],
)
def test_errors__an_empty_answer_is_asked_for_again(server, first):
    server.give(first, said())
    assert answered() == "Done."
    server.give(said(""))
    with pytest.raises(ModelFailed):
        answered()
    assert len(server.requests) == 2


@pytest.mark.django_db(transaction=True)
def test_errors__of_the_last_round_do_not_hide_the_work(server):
    calls_anyhow = refused(code="tool_use_failed", message="Tool choice is none")
    server.give(*(called(call(arguments={"title": str(n)})) for n in range(7)), calls_anyhow)
    answer = Api().chat("add seven", "c1")
    assert answer.status_code == 200
    assert answer.json()["reply"].count("I've added") == Task.objects.count() == 7


SECRET = 'добавь секретную 😀 задачу про "мою" зарплату: café d\'été'


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "quote",
    [
        json.dumps(SECRET),
        json.dumps(json.dumps(SECRET)),
        repr(SECRET),
        ascii(SECRET),
        repr(SECRET.encode()),
        json.dumps(SECRET).upper().replace("\\U", "\\u"),
        "\\ud83d" + SECRET,
    ],
)
def test_errors__are_logged_without_a_conversation_that_is_escaped(server, caplog, quote):
    server.give(refused(message=f"Behind me: {quote}"))
    with pytest.raises(ModelFailed):
        answered(message=SECRET)
    assert "HTTP 400 (Behind me: " in caplog.text
    logged = caplog.text.partition("Behind me: ")[2].replace("\\ufffd", "")
    assert not any(escape in logged for escape in ("\\u04", "\\xd0", "\\u00", "\\xe9"))
    assert not any(word in logged.lower() for word in SECRET.split()[:2])
