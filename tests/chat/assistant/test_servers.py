"""Model servers as they are: what they send is read, and what the strictest take is sent."""

import gzip
import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from chat.assistant import prepare_assistant
from chat.assistant.messages import NO_ANSWER
from chat.assistant.model import ModelAssistant
from chat.assistant.reachable import examine_assistant
from chat.conversations.state import MessageEntry
from chat.deadline import Deadline
from chat.errors import ModelFailed
from chat.models import Task, Turn
from chat.tools.toolbox import Call
from tests.chat.assistant.model_server import (
    MILK,
    ModelServer,
    Raw,
    call,
    called,
    refused,
    running,
    said,
)
from tests.chat.calls import Api
from tests.chat.drive import ask, document
from tests.chat.samples import MORNING

with_database = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def running_server() -> Iterator[ModelServer]:
    prepare_assistant()
    with running(ModelServer()) as server:
        yield server


@pytest.fixture
def server(running_server, settings) -> ModelServer:
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = running_server.url, "a-key"
    settings.CHAT_TURN_SECONDS = 20
    running_server.give(said())
    return running_server


class Tools:
    """A toolbox that does nothing, and keeps what it was asked."""

    def __init__(self, result=None) -> None:
        self.result = {"success": True} if result is None else result
        self.calls: list[Call] = []
        self.done: list[dict] = []

    def call_all(self, calls):
        self.calls += calls
        self.done += [
            {"tool": one.tool, "parameters": MILK, "result": self.result} for one in calls
        ]
        return [self.result for _ in calls]


def answered(tools=None, window=(), message="hello") -> str:
    return ModelAssistant().answer(window, message, tools or Tools(), Deadline(20))


def entry(role: str, content: str, *calls: dict) -> MessageEntry:
    return MessageEntry.model_validate(
        {"role": role, "content": content, "timestamp": MORNING, "tool_calls": list(calls) or None}
    )


def done(result: dict) -> dict:
    return {"tool": "list_tasks", "parameters": {}, "result": result}


# --- What is read ---------------------------------------------------------------------------------


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
        (said(""), "its answer is empty"),
        (said(None, reasoning_content="a secret"), "its answer is empty"),
        (with_fields({"finish_reason": "content_filter"}, {"content": None}), "content_filter"),
        (Raw(b"<html>a secret</html>"), "not JSON"),
        (Raw(b'{"choices": [{"message": {"content": "a secret'), "not JSON"),
        (Raw(b"  \n"), "its answer is empty"),
        (Raw(b"[1]"), "its answer is a number"),
        (Raw(b"[" * 100_000), "not JSON"),
        (Raw(b" " * 2_000_000), "has more than 1048576 bytes"),
    ],
)
def test_reads__what_cannot_be_used_names_the_field(server, caplog, answer, reason):
    server.give(answer)
    with pytest.raises(ModelFailed):
        answered()
    assert reason in caplog.text
    assert "secret" not in caplog.text


ADD = Call("add_task", MILK)
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


def test_sends__back_what_gemini_and_deepseek_want_with_results(server):
    signature = {"google": {"thought_signature": "abc"}}
    asked = called(call(extra_content=signature, index=0))
    asked["choices"][0]["message"]["reasoning_content"] = "They want milk."
    server.give(asked, said())
    assert answered() == "Done."
    assistant = server.sent[2]
    assert assistant["reasoning_content"] == "They want milk."
    assert assistant["tool_calls"][0]["extra_content"] == signature
    assert "index" not in assistant["tool_calls"][0]


# --- What is sent ---------------------------------------------------------------------------------

USER, ASSISTANT = entry("user", "old question"), entry("assistant", "old answer")
CALLED = entry("assistant", "", done({"success": True}))


@pytest.mark.parametrize(
    ("window", "roles"),
    [
        ([USER, ASSISTANT], "suau"),
        ([USER, USER], "suauau"),
        ([USER, CALLED, USER, USER], "suatauauau"),
        ([USER, CALLED, ASSISTANT], "suatau"),
        ([ASSISTANT, USER, ASSISTANT], "suauau"),
        ([CALLED], "suatau"),
        ([USER, ASSISTANT, ASSISTANT, CALLED], "suatau"),
        ([USER, entry("assistant", ""), entry("user", "")], "suauau"),
    ],
)
def test_sends__roles_that_alternate_and_loses_nothing(server, window, roles):
    server.give(said(), strict=True)
    assert answered(window=window) == "Done."
    assert server.roles == roles
    assert server.sent[-1]["content"] == "hello"
    texts = "\n".join(message["content"] for message in server.sent)
    for word in {one.content for one in window}:
        assert texts.count(word) >= 1
    assert texts.count("old question") == window.count(USER)
    assert texts.count("old answer") == window.count(ASSISTANT)


def test_sends__arguments_and_names_that_a_strict_server_takes(server):
    server.give(
        called(call("no such tool!", "[1]"), call("list_tasks", "{"), call("", '"a"')),
        said(),
        strict=True,
    )
    assert answered(Tools({"success": False, "error": "no"})) == "Done."


LIST = {"success": True, "tasks": [{"title": "ж" * 80} for _ in range(400)], "count": 400}


def test_sends__the_window_itself_while_it_fits(server, settings):
    window = [USER, entry("assistant", "", done(LIST))]
    answered(window=window)
    assert json.loads(server.sent[3]["content"]) == LIST
    assert len(json.dumps(server.sent, ensure_ascii=False).encode()) < settings.CHAT_CONTEXT_BYTES


def test_sends__old_results_shortened_first_and_then_no_old_turns(server, settings):
    settings.CHAT_CONTEXT_BYTES = 100_000
    window = [USER, entry("assistant", "listed", done(LIST))] * 2
    answered(window=window)
    assert server.roles == "suatauatau"
    older, newer = (json.loads(m["content"]) for m in server.sent if m["role"] == "tool")
    assert older["truncated"] is True
    assert older["success"] is True
    assert newer == LIST
    settings.CHAT_CONTEXT_BYTES = 16_384
    long = [entry("user", "x" * 9_000), entry("assistant", "y" * 200)]
    answered(window=[*window, *long, *long])
    assert server.roles == "suau"
    assert [message["content"][0] for message in server.sent[1:]] == ["x", "y", "h"]


def test_sends__this_turns_results_shortened_if_they_alone_are_too_much(server, settings):
    settings.CHAT_CONTEXT_BYTES = 40_000
    server.give(called(call("list_tasks", "{}")), said())
    answered(Tools(LIST), window=[USER, ASSISTANT])
    assert server.roles == "suat"
    result = json.loads(server.sent[-1]["content"])
    assert result["original_bytes"] > 60_000
    assert len(result["tasks"]) > 100


def test_sends__less_to_a_model_that_takes_less(server):
    server.give(called(call("list_tasks", "{}")), said(), strict=True, max_bytes=30_000)
    assert answered(Tools(LIST), window=[USER, entry("assistant", "", done(LIST))] * 3) == "Done."
    server.give(said(), max_bytes=100)
    with pytest.raises(ModelFailed):
        answered()
    assert len(server.requests) < 10


# --- Errors ---------------------------------------------------------------------------------------

QUOTED = "Invalid: 'my secret words'"


@pytest.mark.parametrize(
    ("answer", "logged"),
    [
        (
            refused(code="tools_unsupported", message="No tools here."),
            "HTTP 400 (tools_unsupported: No tools here.)",
        ),
        (refused(message="x" * 5_000), f"HTTP 400 ({'x' * 300}…)"),
        (refused(code="\x1b[31m\u202e", message="a\nb"), r"HTTP 400 (\x1b[31m\u202e: a b)"),
        (refused(code=QUOTED, message=QUOTED), "HTTP 400 (Invalid: '…': Invalid: '…')"),
        (refused(401, message="Incorrect API key provided: a-key."), "provided: ….)"),
        (refused(401, message="Bad key sk-proj-123456789***abc"), "Bad key …)"),
        (Raw(b'{"error": "not found, try pulling it"}', 404), "HTTP 404 (not found, try"),
        (Raw(b'{"object": "error", "message": "no", "code": 400}', 400), "HTTP 400 (400: no)"),
        (Raw(b'[{"error": {"code": 400, "message": "no"}}]', 400), "HTTP 400 (400: no)"),
        (
            Raw(
                b'{"detail": [{"type": "t", "loc": ["a"], "msg": "m", "input": "secret"}]}',
                422,
            ),
            "HTTP 422 (t: ['a']: m)",
        ),
        (Raw(b'{"detail": "nobody here"}', 403), "HTTP 403 (nobody here)"),
        (Raw(b"<html>my secret words</html>", 400), "HTTP 400\n"),
        (Raw(json.dumps({"error": {"code": "c", "message": "m"}}).encode()), "HTTP 200 (c: m)"),
    ],
)
def test_errors__are_logged_without_the_conversation(server, caplog, answer, logged):
    server.give(answer)
    with pytest.raises(ModelFailed):
        answered(message="my secret words")
    assert logged in caplog.text
    assert "secret" not in caplog.text
    assert "a-key" not in caplog.text


def retry_after(value: str) -> Raw:
    return Raw(status=429, headers={"Retry-After": value})


@pytest.mark.parametrize(
    ("first", "is_asked_again"),
    [
        (retry_after(format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)), True),
        (retry_after(format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)), False),
        (refused(529, message="overloaded"), True),
        (Raw(json.dumps({"error": {"code": 503, "message": "busy"}}).encode()), True),
        (refused(400, message="no"), False),
    ],
)
def test_errors__that_pass_are_asked_again(server, first, is_asked_again):
    server.give(first, said())
    if is_asked_again:
        assert answered() == "Done."
    else:
        with pytest.raises(ModelFailed):
            answered()
    assert len(server.requests) == 1 + is_asked_again


# --- The address ----------------------------------------------------------------------------------


def test_address__a_query_stays_a_query(server, settings):
    settings.OPENAI_BASE_URL = (
        server.url.replace("/v1", "/openai/deployments/d/") + "?api-version=2024-06-01&empty="
    )
    assert answered() == "Done."
    assert server.paths == ["/openai/deployments/d/chat/completions?api-version=2024-06-01&empty="]
    assert server.headers[0]["api-key"] == "a-key"
    assert server.headers[0]["Authorization"] == "Bearer a-key"


def test_address__empty_is_openais(monkeypatch):
    from chat.assistant.server import _client

    monkeypatch.setenv("OPENAI_BASE_URL", "")
    assert str(_client("key-of-nobody", "").base_url) == "https://api.openai.com/v1/"


@pytest.fixture
def certificate(tmp_path) -> Path:
    """A certificate of 127.0.0.1 that nobody else vouches for, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a model's server")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = tmp_path / "certificate.pem"
    file.write_bytes(private + made.public_bytes(Encoding.PEM))
    return file


@pytest.mark.parametrize("trusted", [True, False])
def test_address__behind_a_ca_of_its_own_chats_and_checks_agree(
    settings, monkeypatch, certificate, trusted
):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with running(ModelServer(answers=[said()]), tls) as server:
        settings.OPENAI_BASE_URL, settings.CHAT_MODEL = server.url, "m"
        if trusted:
            assert answered() == "Done."
            assert examine_assistant(5).description.startswith("m at 127.0.0.1:")
            assert server.paths == ["/v1/chat/completions"] * 2
            return
        with pytest.raises(ModelFailed):
            answered()
        with pytest.raises(ModelFailed, match="does not answer"):
            examine_assistant(5)


def test_address__checks_ask_what_chats_ask(server):
    server.give(said(), strict=True)
    examine_assistant(5)
    (asked,) = server.requests
    answered()
    assert {**server.requests[1], "messages": 0} == {**asked, "messages": 0}
    server.give(said(""))
    with pytest.raises(ModelFailed, match="answers with nothing"):
        examine_assistant(5)


# --- Whole turns ----------------------------------------------------------------------------------


@with_database
def test_turn__an_empty_answer_after_the_work_says_what_was_done(server):
    api = Api()
    for number, empty in enumerate(("", None, "  ")):
        server.give(called(call(arguments={"title": f"milk {number}"})), said(empty))
        answer = api.chat("add milk", "c1", **{"Idempotency-Key": str(number)})
        assert answer.status_code == 200
        assert answer.json()["reply"] == f"I've added 'milk {number}' as task {number + 1}."
    assert api.chat("add milk", "c1", **{"Idempotency-Key": "2"}).status_code == 200
    assert Task.objects.count() == 3
    assert len(document().messages) == 6


@with_database
def test_turn__a_model_that_never_stops_calling_still_has_its_work_told(server):
    server.give(*(called(call(arguments={"title": str(n)})) for n in range(9)))
    turn = ask("add many")
    assert turn.reply.count("I've added") == 7
    server.give(called(call("list_tasks", "{}")), said(""))
    assert ask("list").reply.startswith("Tasks (all):\n1. 0 (active)\n2. 1 (active)")


@with_database
def test_turn__goes_on_with_a_strict_server_after_failures_and_repeats(server, settings):
    settings.CHAT_MESSAGE_WINDOW = 3
    add = called(call(id="abcDEF123"))
    server.give(add, refused(), strict=True)
    api = Api()
    assert api.chat("add milk", "c1", **{"Idempotency-Key": "k"}).status_code == 502
    server.give(said("Added."), strict=True)
    assert api.chat("add milk", "c1", **{"Idempotency-Key": "k"}).status_code == 200
    assert server.roles == "suat"
    server.give(refused(), strict=True)
    assert [api.chat(word, "c1").status_code for word in ("one", "two")] == [502, 502]
    server.give(said("Three."), strict=True)
    assert api.chat("three", "c1").json()["reply"] == "Three."
    assert server.roles == "suatauauau"
    contents = [message["content"] for message in server.sent]
    assert contents[-6:] == ["Added.", "one", NO_ANSWER, "two", NO_ANSWER, "three"]
    assert Task.objects.count() == 1
    assert Turn.objects.count() == 4


@with_database
def test_turn__numbers_of_tasks_as_models_write_them(server):
    for title in "abcd":
        ask_for = called(call(arguments={"title": title}))
        server.give(ask_for, said())
        ask(f"add {title}")
    server.give(
        called(
            call("complete_task", {"task_id": "1"}),
            call("complete_task", {"task_id": 2.0}),
            call("complete_task", {"task_id": "3.5"}),
            call("complete_task", {"task_id": True}),
            call("list_tasks", {"filter": None}),
            call("update_task", {"task_id": 4, "title": "e", "description": None}),
        ),
        said(),
    )
    calls = ask("go").tool_calls
    assert [one["result"]["success"] for one in calls] == [True, True, False, False, True, True]
    assert [one["parameters"] for one in calls[:2]] == [{"task_id": 1}, {"task_id": 2}]
    for refusal in calls[2:4]:
        assert "must be the task's number, such as 3" in refusal["result"]["error"]
        assert "The parameters are: task_id." in refusal["result"]["error"]


@with_database
def test_turn__numbers_written_as_text_wait_for_the_users_word_too(server):
    for title in "ab":
        server.give(called(call(arguments={"title": title})), said())
        ask(f"add {title}")
    server.give(
        called(call("delete_task", {"task_id": "1"})),
        called(call("delete_task", {"task_id": "2"})),
        said(),
    )
    assert 'Say "yes" to delete them:\n2. b' in ask("clean up").reply
    assert list(Task.objects.values_list("number", flat=True)) == [2]


@with_database
def test_turn__long_lists_again_and_again_stay_within_what_the_model_takes(server, settings):
    settings.CHAT_CONTEXT_BYTES = 65_536
    Task.objects.bulk_create(Task(user_id="alice", number=n, title="ж" * 80) for n in range(1, 401))
    for _ in range(4):
        server.give(called(call("list_tasks", "{}")), said("Listed."), max_bytes=75_000)
        assert ask("list my tasks").reply == "Listed."
        assert len(server.requests) == 2
    assert len(json.dumps(server.sent, ensure_ascii=False).encode()) > 32_768
