"""Authentication failures of all kinds are counted, each once, by reasons of ours alone."""

import time
from collections import Counter

import pytest
from django.contrib.auth.models import User

from connector_state.credentials.counters import failures
from connector_state.credentials.counters.failures import LOGGED_AT_MOST
from overview.panels.refusals import KINDS
from tests.chat.calls import Api, token

pytestmark = pytest.mark.django_db

SENT = "what-was-sent"


@pytest.fixture
def user():
    return User.objects.create_user("carol", password="right")


def counted() -> dict[str, int]:
    found = failures._tally._pending
    known = {kind.prefix + reason for kind in KINDS for reason in kind.reasons}
    assert set(found) <= known  # each has its words on the start page
    return dict(found)


def log_in(client, password: str, path: str = "/admin/login/") -> int:
    form = {"username": "carol", "password": password}
    kind = {"content_type": "application/json"} if path.startswith("/api/") else {}
    return client.post(path, form, **kind).status_code


@pytest.mark.parametrize(
    ("bearer", "reason"),
    [
        (SENT, "chat:bad_token"),
        (lambda: token(user_id="alice", exp=int(time.time()) - 99), "chat:token_expired"),
        (lambda: token(user_id="alice", token_type="refresh"), "chat:wrong_token_type"),
        (lambda: token(user_id=f"{SENT}/"), "chat:no_user"),
    ],
)
def test_chat__bearer_tokens_that_are_refused(bearer, reason):
    api = Api(bearer=bearer if isinstance(bearer, str) else bearer())
    assert api.chat("hello").status_code == 401
    assert counted() == {reason: 1}


def test_chat__wrong_passwords_and_lock_outs_count_once_each(client, user):
    statuses = [log_in(client, "wrong", "/api/token/") for _ in range(6)]
    assert statuses == [401] * 4 + [429] * 2
    assert counted() == {"chat:bad_credentials": 4, "chat:locked_out": 2}


def test_chat__refresh_tokens_that_are_refused(client):
    data = {"refresh": SENT}
    assert client.post("/api/token/refresh/", data, "application/json").status_code == 401
    assert counted() == {"chat:bad_token": 1}


def test_enrolment__wrong_tokens(client, settings):
    settings.ENROLLMENT_TOKENS = ["right"]
    path = "/dsx-connect/api/v1/connectors/register"
    response = client.post(path, {}, "application/json", HTTP_X_ENROLLMENT_TOKEN=SENT)
    assert response.status_code == 401
    assert counted() == {"bad_enrolment_token": 1}


def test_pages__wrong_passwords_and_lock_outs_count_once_each(client, user):
    statuses = [log_in(client, "wrong") for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2
    assert counted() == {"login:bad_credentials": 4, "login:locked_out": 2}


def test_refusals__what_fails_otherwise_is_not_counted(client, user):
    assert Api().chat("").status_code == 400
    assert log_in(client, "right", "/api/token/") == 200
    assert client.post("/api/token/", {}, "application/json").status_code == 400
    assert counted() == {}


def test_log__its_number_of_signed_requests_has_no_others_in_it(caplog):
    for _ in range(LOGGED_AT_MOST + 1):
        failures.count("bad_signature")
        failures.count_unlogged("chat:bad_token")
    failures._tally._write = Counter  # takes the counts, and nothing comes of it
    failures._tally.flush()
    assert caplog.messages == ["refused 1 more requests than are logged one by one"]
