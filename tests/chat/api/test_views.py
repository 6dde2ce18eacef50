"""The chat's endpoints: the contract, and what stands beside it."""

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone

from chat.models import Conversation, Turn
from tests.chat.calls import Api
from tests.chat.drive import away, contents, get_raw, hooked, put_raw
from tests.servers import ROOT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api() -> Api:
    return Api()


def test_chat__answers_as_in_the_contract(api):
    answer = api.chat("Add task: Buy groceries", 1)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert "X-Chat-Degraded" not in answer
    body = answer.json()
    assert set(body) == {"reply", "conversation_id", "tool_calls", "timestamp"}
    assert body["conversation_id"] == 1
    assert body["tool_calls"][0]["tool"] == "add_task"
    assert body["tool_calls"][0]["parameters"] == {"title": "Buy groceries"}
    assert body["tool_calls"][0]["result"]["task_id"] == 1
    assert body["timestamp"].endswith("Z")


@pytest.mark.parametrize(("sent", "answered"), [(7, 7), ("7", "7"), ("conv-001", "conv-001")])
def test_chat__answers_in_the_clients_type(api, sent, answered):
    assert api.chat("hello", sent).json()["conversation_id"] == answered
    assert get_raw(str(sent)) is not None


def test_chat__names_a_new_conversation_by_an_integer(api):
    assert api.chat("hello").json()["conversation_id"] == 1
    api.call("delete", api.path(1))
    assert api.chat("hello").json()["conversation_id"] == 2


def test_chat__trims_the_message_and_takes_ten_thousand_characters(api):
    assert api.chat("  " + "é" * 10_000 + "\n", 1).status_code == 200
    assert contents("1") == ["é" * 10_000]


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b"{}",
        b'{"message": ""}',
        b'{"message": " \\n "}',
        b'{"message": 5}',
        b'{"message": null}',
        b'{"message": ["a"]}',
        b'{"message": "\\u0000"}',
        b'{"message": "\\u001b[0m"}',
        b'{"message": "\\ud800"}',
        b'{"message": "\xff"}',
        b'{"message": NaN}',
        b'{"message": "a", "message": "b"}',
        b'{"message": "a", "conversation_id": true}',
        b'{"message": "a", "conversation_id": 1.0}',
        b'{"message": "a", "conversation_id": NaN}',
        b'{"message": "a", "conversation_id": -1}',
        b'{"message": "a", "conversation_id": 9007199254740992}',
        b'{"message": "a", "conversation_id": ""}',
        b'{"message": "a", "conversation_id": "a:b"}',
        b'{"message": "a", "conversation_id": "-a"}',
        b'{"message": "a", "conversation_id": "a\\n"}',
        b'{"message": "a", "conversation_id": "\xd9\xa1"}',
        b'{"message": "a", "conversation_id": {"a": 1}}',
        b'{"message": "a", "conversation_id": "' + b"a" * 51 + b'"}',
        b'{"message": "a", "user_id": "bob"}',
        b'{"message": "' + b"a" * 10_001 + b'"}',
        b'{"message": ' + b"[" * 100_000,
        b'{"message": "a", "conversation_id": ' + b"9" * 5_000 + b"}",
    ],
)
def test_chat__refuses_what_is_no_chat_request(api, body):
    answer = api.call("post", "/api/alice/chat", body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"detail", "code"}
    assert not Turn.objects.exists()


def test_chat__takes_json_alone(api):
    answer = api.client.post("/api/alice/chat", {"message": "a"}, headers=api.headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_chat__limits_the_body(api):
    answer = api.call("post", "/api/alice/chat", b" " * 262_145)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_idempotency_key__repeats_the_first_answer(api):
    first = api.chat("add milk", 1, **{"Idempotency-Key": "k1"})
    again = api.chat("add milk", 1, **{"Idempotency-Key": "k1"})
    assert again.json() == first.json()
    assert contents("1") == ["add milk"]
    other = Api("bob").chat("add milk", 1, **{"Idempotency-Key": "k1"})
    assert other.json()["timestamp"] != first.json()["timestamp"]


def test_idempotency_key__refuses_another_body(api):
    api.chat("add milk", 1, **{"Idempotency-Key": "k1"})
    for answer in (
        api.chat("add eggs", 1, **{"Idempotency-Key": "k1"}),
        api.chat("add milk", 2, **{"Idempotency-Key": "k1"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "é", "a\x01"])
def test_idempotency_key__must_be_printable(api, key):
    answer = api.chat("add milk", 1, **{"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")


def test_list__newest_first_in_pages(api):
    for number in range(5):
        api.chat(f"hello {number}", f"c{number}")
    first = api.call("get", api.path() + "?limit=2").json()
    assert [c["conversation_id"] for c in first["conversations"]] == ["c4", "c3"]
    assert first["has_more"] is True
    second = api.call("get", f"{api.path()}?limit=2&cursor={first['next_cursor']}").json()
    assert [c["conversation_id"] for c in second["conversations"]] == ["c2", "c1"]
    last = api.call("get", f"{api.path()}?limit=2&cursor={second['next_cursor']}").json()
    assert [c["conversation_id"] for c in last["conversations"]] == ["c0"]
    assert (last["has_more"], last["next_cursor"]) == (False, None)
    assert last["conversations"][0]["title"] == "hello 0"
    assert last["conversations"][0]["message_count"] == 2


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=٣", "cursor=x", "cursor="]
)
def test_list__refuses_bad_queries(api, query):
    assert api.call("get", f"{api.path()}?{query}").status_code == 400


def test_messages__newest_page_first_then_back_by_turns(api):
    for number in range(5):
        api.chat(f"hello {number}", 1)
    page = api.call("get", api.path(1, "/messages?limit=4")).json()
    assert page["conversation_id"] == 1
    assert [m["content"] for m in page["messages"] if m["role"] == "user"] == ["hello 3", "hello 4"]
    assert page["messages"][0]["status"] == "stored"
    assert page["has_more"] is True
    query = f"/messages?limit=4&before={page['next_cursor']}"
    page = api.call("get", api.path(1, query)).json()
    assert [m["content"] for m in page["messages"] if m["role"] == "user"] == ["hello 1", "hello 2"]
    query = f"/messages?limit=4&before={page['next_cursor']}"
    page = api.call("get", api.path(1, query)).json()
    assert [m["content"] for m in page["messages"] if m["role"] == "user"] == ["hello 0"]
    assert (page["has_more"], page["next_cursor"]) == (False, None)


def test_rename__is_never_overwritten(api):
    api.chat("hello", 1)
    answer = api.call("patch", api.path(1), {"title": " Groceries "})
    assert answer.json()["title"] == "Groceries"
    api.chat("hello again", 1)
    assert Conversation.objects.get().title == "Groceries"
    assert api.call("patch", api.path(1), {"title": ""}).status_code == 400
    assert api.call("patch", api.path(2), {"title": "x"}).status_code == 404


def test_rename__outlasts_an_index_that_is_wrong_about_the_expiry(api):
    api.chat("hello", 1)
    Conversation.objects.update(expires_at=timezone.now() - timedelta(days=1))
    api.call("patch", api.path(1), {"title": "Groceries"})
    api.chat("hello again", 1)
    assert Conversation.objects.get().title == "Groceries"


def test_titles__of_what_the_index_has_lost(api):
    for number in (1, 2):
        api.chat("the first message", number)
    Conversation.objects.all().delete()
    assert api.call("patch", api.path(2), {"title": "Groceries"}).json()["title"] == "Groceries"
    api.call("get", api.path(1, "/messages"))
    api.chat("the second message", 1)
    titles = {row["title"] for row in api.call("get", api.path()).json()["conversations"]}
    assert titles == {"Groceries", "the first message"}


def test_export__of_a_corrupt_conversation_says_so(api):
    api.chat("hello", 1)
    put_raw(b"corrupt", "1")
    answer = api.call("get", api.path(1, "/export"))
    assert (answer.status_code, answer.json()["code"]) == (503, "conversation_corrupt")


def test_delete__removes_all_and_sticks(api):
    api.chat("a secret", 1, **{"Idempotency-Key": "k1"})
    answer = api.call("delete", api.path(1))
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.call("get", api.path(1, "/messages")).status_code == 404
    assert api.call("get", api.path(1, "/export")).status_code == 404
    assert api.call("get", api.path()).json()["conversations"] == []
    assert b"secret" not in get_raw("1")
    assert not Turn.objects.exists()
    assert Conversation.objects.get().title == ""
    assert api.call("delete", api.path(1)).status_code == 204
    assert api.call("delete", api.path(99)).status_code == 204
    assert Conversation.objects.count() == 1


def test_delete__then_the_same_id_begins_anew(api):
    api.chat("before", 1)
    api.call("delete", api.path(1))
    api.chat("after", 1)
    assert contents("1") == ["after"]
    messages = api.call("get", api.path(1, "/messages")).json()["messages"]
    assert [m["content"] for m in messages if m["role"] == "user"] == ["after"]


def test_export__is_a_file_with_everything(api):
    api.chat("add milk", 1)
    answer = api.call("get", api.path(1, "/export"))
    assert answer["Content-Disposition"] == 'attachment; filename="conversation.json"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    body = json.loads(answer.content)
    assert (body["conversation_id"], body["title"]) == (1, "add milk")
    assert body["messages"][1]["tool_calls"][0]["tool"] == "add_task"


def test_unknown_conversation__is_empty_for_a_message_and_404_to_read(api):
    assert api.call("get", api.path("nope", "/messages")).status_code == 404
    assert api.call("get", api.path("no%3Ape", "/messages")).status_code == 400
    assert api.chat("hello", "nope").status_code == 200


def test_reading__while_the_store_is_away_is_no_404(api, settings, monkeypatch):
    api.chat("hello", 1)
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away] * 4
        answer = api.call("get", api.path(1, "/messages"))
        assert answer["X-Chat-Degraded"] == "true"
        assert answer.json()["messages"][0]["content"] == "hello"
        assert api.call("get", api.path(1, "/export")).status_code == 503
        Turn.objects.all().delete()
        for conversation in (1, 2):
            answer = api.call("get", api.path(conversation, "/messages"))
            assert (answer.status_code, answer.json()["code"]) == (503, "chat_store_unavailable")
            assert "Retry-After" in answer


CALLS = [
    ("post", "/api/{user}/chat", {"message": "hi"}),
    ("get", "/api/{user}/conversations", None),
    ("get", "/api/{user}/conversations/c1/messages", None),
    ("get", "/api/{user}/conversations/c1/export", None),
    ("patch", "/api/{user}/conversations/c1", {"title": "mine"}),
    ("delete", "/api/{user}/conversations/c1", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_other_users_path__is_403_before_anything(api, method, path, body, monkeypatch):
    Api("bob").chat("bob's secret", "c1")
    with hooked(monkeypatch) as repository:
        answer = api.call(method, path.format(user="bob"), body)
    assert (answer.status_code, answer.json()["code"]) == (403, "other_user")
    assert repository.calls == []
    assert not Turn.objects.filter(user_id="alice").exists()
    assert Conversation.objects.get().title == "bob's secret"


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_without_token__is_401(api, method, path, body):
    api.headers = {}
    answer = api.call(method, path.format(user="alice"), body)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_two_users__same_conversation_id_stays_apart(api):
    bob = Api("bob")
    api.chat("from alice", "c1")
    bob.chat("from bob", "c1")
    assert contents("c1", "alice") == ["from alice"]
    assert contents("c1", "bob") == ["from bob"]
    messages = bob.call("get", bob.path("c1", "/messages")).json()["messages"]
    assert messages[0]["content"] == "from bob"


def test_cookies__mean_nothing(admin_client):
    assert admin_client.get("/api/admin/conversations").status_code == 401


def test_cors__is_closed_by_default(api):
    answer = api.chat("hello", 1, Origin="https://app.example")
    assert "Access-Control-Allow-Origin" not in answer


def test_cors__exposes_the_degraded_header_to_allowed_origins(api, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    answer = api.chat("hello", 1, Origin="https://app.example")
    assert answer["Access-Control-Allow-Origin"] == "https://app.example"
    assert "X-Chat-Degraded" in answer["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer
    other = api.chat("hello", 1, Origin="https://other.example")
    assert "Access-Control-Allow-Origin" not in other
    preflight = api.client.options(
        "/api/alice/chat",
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,idempotency-key",
        },
    )
    assert preflight.status_code == 200
    allowed = set(preflight["Access-Control-Allow-Headers"].split(", "))
    assert allowed >= {"authorization", "content-type", "idempotency-key"}
    assert allowed >= {"traceparent", "tracestate", "x-request-id", "x-requested-with"}
    state = api.client.get("/livez", headers={"Origin": "https://app.example"})
    assert "Access-Control-Allow-Origin" not in state


def test_cors__the_setting_allows_more_headers():
    code = "from config.settings import CORS_ALLOW_HEADERS as allowed; print(*allowed)"
    environ = {**os.environ, "CORS_ALLOWED_HEADERS": "X-Trace, Baggage"}
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
    assert {"x-trace", "baggage", "authorization"} <= set(printed.stdout.split())


def test_rate__is_a_sliding_window_per_user(api, settings):
    settings.CHAT_RATE_PER_MINUTE = 3
    assert [api.chat("hello", 1).status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = api.chat("hello", 1)
    assert answer.json()["code"] == "rate_limited"
    assert 50 <= int(answer["Retry-After"]) <= 61
    assert Api("bob").chat("hello", 1).status_code == 200
    assert api.call("get", api.path()).status_code == 200


def test_rate__is_not_kept_while_redis_is_away(api, settings, monkeypatch):
    settings.CHAT_RATE_PER_MINUTE = 1

    class Gone:
        def hit(self, *arguments):
            raise ConnectionRefusedError

    monkeypatch.setattr("chat.api.throttles._limiter", Gone)
    assert [api.chat("hello", 1).status_code for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize("call", ["messages", "export"])
def test_reads_at_once__are_capped_for_the_process(api, settings, call):
    settings.CHAT_MAX_READS_PER_PROCESS = 0
    answer = api.call("get", f"/api/alice/conversations/1/{call}")
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert api.call("delete", "/api/alice/conversations/1").status_code == 503


def test_turns_at_once__are_capped_for_the_process(api, settings):
    settings.CHAT_MAX_TURNS_PER_PROCESS = 0
    answer = api.chat("hello", 1)
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert "Retry-After" in answer
