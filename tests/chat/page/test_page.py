"""The shell of the chat page, and its session. tests/browser has what people do with it."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from chat.models import EndedSession
from chat.page.views import COOKIE
from tests.chat.calls import Api, token

pytestmark = pytest.mark.django_db
PASSWORD = "a password for tests"
ORIGIN = {"Origin": "http://testserver"}
SESSION = "/chat/session"


@pytest.fixture
def user():
    return get_user_model().objects.create_user("carol", password=PASSWORD)


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def log_in(client: Client, password: str = PASSWORD, headers=ORIGIN, **more):
    body = {"username": "carol", "password": password}
    return client.post(SESSION, body, "application/json", headers=headers, **more)


# --- The shell ---


def test_page__lets_no_script_but_its_own_run(client):
    answer = client.get("/chat/")
    assert answer.status_code == 200
    policy = dict(rule.split(" ", 1) for rule in answer["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["trusted-types"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert answer["X-DNS-Prefetch-Control"] == "off"
    assert not answer.cookies
    assert b"<script>" not in answer.content
    assert b"style=" not in answer.content


def test_page__is_off_where_tokens_come_from_elsewhere(client, user, key_set):
    answer = client.get("/chat/")
    assert answer.status_code == 404
    assert b"The chat page is off" in answer.content
    for answer in (log_in(client), client.patch(SESSION, headers=ORIGIN)):
        assert (answer.status_code, answer.json()["code"]) == (404, "tokens_elsewhere")


# --- The session ---


def test_log_in__gives_an_access_token_and_a_cookie(client, user):
    answer = log_in(client)
    assert answer.json()["user"] == "carol"
    assert Api("carol", answer.json()["access"]).chat("hello").status_code == 200
    cookie = answer.cookies[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", SESSION)
    assert not cookie["secure"]
    assert cookie.value not in answer.content.decode()
    again = client.patch(SESSION, headers=ORIGIN)
    assert Api("carol", again.json()["access"]).chat("hello").status_code == 200


def test_log_in__secure_where_tls_is(client, user):
    origin = {"Origin": "https://testserver"}
    assert log_in(client, headers=origin, secure=True).cookies[COOKIE]["secure"]


def test_log_in__is_sent_to_https(client, user, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert log_in(client).status_code == 301


def test_cookie__opens_nothing_else(client, user):
    log_in(client)
    client.cookies[COOKIE]["path"] = "/"
    for path in ("/api/carol/conversations", "/api/token/refresh/", "/admin/"):
        answer = client.post(path, {}, "application/json", headers=ORIGIN)
        assert answer.status_code in (302, 400, 401, 403, 405), path
    refresh = client.cookies[COOKIE].value
    assert Api("carol", refresh).chat("hello").status_code == 401


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://testserver", "http://testserver:81"]
)
def test_session__only_from_its_own_origin(client, user, origin):
    log_in(client)
    headers = {} if origin is None else {"Origin": origin}
    for answer in (
        log_in(client, headers=headers),
        client.patch(SESSION, headers=headers),
        client.delete(SESSION, headers=headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "other_origin")
        assert not answer.cookies
    assert client.patch(SESSION, headers=ORIGIN).status_code == 200


def test_session__from_a_trusted_origin(client, user, settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://chat.example"]
    assert log_in(client, headers={"Origin": "https://chat.example"}).status_code == 200


def test_log_in__locks_out_as_other_log_ins_do(client, user):
    for _ in range(5):
        last = log_in(client, "wrong")
    assert last.status_code in (401, 429)
    for path in (SESSION, "/api/token/"):
        body = {"username": "carol", "password": PASSWORD}
        answer = client.post(path, body, "application/json", headers=ORIGIN)
        assert (answer.status_code, answer.json()["code"]) == (429, "locked_out")


def test_log_out__ends_the_refresh_token(client, user):
    other = Client()
    log_in(other)
    log_in(client)
    refresh = client.cookies[COOKIE].value
    answer = client.delete(SESSION, headers=ORIGIN)
    assert answer.status_code == 204
    assert answer.cookies[COOKIE].value == ""
    assert client.patch(SESSION, headers=ORIGIN).json()["code"] == "not_authenticated"
    client.cookies[COOKIE] = refresh
    assert client.patch(SESSION, headers=ORIGIN).status_code == 401
    body = {"refresh": refresh}
    assert client.post("/api/token/refresh/", body, "application/json").status_code == 401
    assert other.patch(SESSION, headers=ORIGIN).status_code == 200


def test_log_out__twice_or_without_a_session(client, user):
    log_in(client)
    refresh = client.cookies[COOKIE].value
    for cookie in (refresh, refresh, "", "no token", token(sub="carol")):
        client.cookies[COOKIE] = cookie
        assert client.delete(SESSION, headers=ORIGIN).status_code == 204
    assert EndedSession.objects.count() == 1


def test_log_out__forgets_what_has_expired(client, user):
    EndedSession.objects.create(token_id="old", expires_at=timezone.now())
    log_in(client)
    client.delete(SESSION, headers=ORIGIN)
    assert not EndedSession.objects.filter(token_id="old").exists()


# --- Search, which the page needs ---


@pytest.mark.django_db(transaction=True)
def test_search__in_titles():
    api = Api()
    for conversation in ("a", "b"):
        api.chat("hello", conversation)
        api.call("patch", api.path(conversation), {"title": f"About {conversation} 100%"})
    found = api.call("get", f"{api.path()}?search=%20ABOUT+a").json()["conversations"]
    assert [each["conversation_id"] for each in found] == ["a"]
    assert not api.call("get", f"{api.path()}?search=About+_").json()["conversations"]
    refused = api.call("get", f"{api.path()}?search=%00")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_search")
