"""What models' servers are sent, and where: the strictest of them take it."""

import json
import ssl
from base64 import b64encode
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

from chat.assistant.reachable import examine_assistant
from chat.errors import ModelFailed
from common.telemetry.request import begin
from tests.chat.model_server.dialogue import ASSISTANT, CALLED, USER, Tools, answered, done, entry
from tests.chat.model_server.imitation import (
    ModelServer,
    Raw,
    call,
    called,
    refused,
    running,
    said,
)

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


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


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("on", [False, True])
def test_sends__which_request_it_is_for_where_that_is_wanted(server, settings, on):
    settings.MODEL_TRACE_HEADERS = on
    request = begin({"HTTP_TRACEPARENT": TRACEPARENT})
    assert answered() == "Done."
    sent = [server.headers[-1][name] for name in ("X-Request-ID", "traceparent")]
    assert sent == ([request.request_id, TRACEPARENT] if on else [None, None])


def test_sends__a_thought_with_old_messages_to_a_server_that_wants_one(server):
    wants = refused(message="The `reasoning_content` must be passed back to the API.")
    server.give(wants, called(call()), said())
    assert answered(window=[USER, CALLED, ASSISTANT]) == "Done."
    assert [m.get("reasoning_content") for m in server.sent if m["role"] == "assistant"] == [
        " "
    ] * 3
    server.give(wants)
    with pytest.raises(ModelFailed):
        answered(window=[USER, ASSISTANT])
    assert len(server.requests) == 2


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


@pytest.mark.usefixtures("both_ways")
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


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("first", "is_asked_again"),
    [
        (retry_after(format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)), True),
        (retry_after(format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)), False),
        (refused(529, message="overloaded"), True),
        (Raw(json.dumps({"error": {"code": 503, "message": "busy"}}).encode()), True),
        (refused(403, message="no"), False),
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


def test_errors__of_the_request_itself_are_not_asked_again(server):
    server.give(refused(400, message="no"), said())
    with pytest.raises(ModelFailed):
        answered()
    assert len(server.requests) == 1


# --- The address ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("both_ways")
def test_address__a_query_stays_a_query(server, settings):
    settings.OPENAI_BASE_URL = (
        server.url.replace("/v1", "/openai/deployments/d/") + "?api-version=2024-06-01&empty="
    )
    assert answered() == "Done."
    assert server.paths == ["/openai/deployments/d/chat/completions?api-version=2024-06-01&empty="]
    assert server.headers[0]["api-key"] == "a-key"
    settings.OPENAI_BASE_URL = f"{server.url}/chat/completions"
    assert answered() == "Done."
    assert server.paths[1:] == ["/v1/chat/completions"]
    assert server.headers[0]["Authorization"] == "Bearer a-key"


@pytest.mark.usefixtures("both_ways")
def test_address__its_user_and_password_replace_the_key(server, settings):
    settings.OPENAI_BASE_URL = server.url.replace("://", "://ines:p%40ss@")
    assert answered() == "Done."
    assert server.headers[0]["Authorization"] == "Basic " + b64encode(b"ines:p@ss").decode()
    assert examine_assistant(5).description.endswith(server.url.split("/")[2])


def test_address__empty_is_openais(monkeypatch):
    from chat.model_server.connections import model_server

    monkeypatch.setenv("OPENAI_BASE_URL", "")
    server = model_server("key-of-nobody", "")
    assert server.url("models") == "https://api.openai.com/v1/models"
    assert str(server.client.base_url) == "https://api.openai.com/v1/"


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


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("trusted", [True, False])
def test_address__behind_a_ca_of_its_own_chats_and_checks_agree(settings, certificate, trusted):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    if trusted:
        settings.CA_BUNDLE = str(certificate)
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
    with pytest.raises(ModelFailed, match="its answer is empty"):
        examine_assistant(5)
