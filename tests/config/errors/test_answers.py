"""The error table, row by row, and what Django itself raises on API paths."""

import json
import logging

import psycopg
import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DataError, IntegrityError, InternalError, OperationalError, ProgrammingError
from django.http import Http404
from django.test import Client
from rest_framework import exceptions

from chat import errors as chat
from common.database.busy import DatabaseBusy
from config.errors import answers, busy
from connector_state import errors as state
from tests.chat.calls import Api
from tests.connectors import PREFIX

ROWS = [
    (state.SignatureRefused("d"), 401, "bad_signature", {"WWW-Authenticate": "DSX-HMAC"}),
    (state.Forbidden("d", code="read_only"), 403, "read_only", {}),
    (state.InvalidRequest("d"), 400, "invalid_request", {}),
    (state.LengthRequired(), 411, "length_required", {}),
    (state.ValueTooLarge("d"), 413, "value_too_large", {}),
    (state.PreconditionFailed(0, None), 412, "precondition_failed", {}),
    (state.RateLimited("d", retry_after_seconds=7), 429, "rate_limited", {"Retry-After": "7"}),
    (state.Unavailable(), 503, "store_unavailable", {"Retry-After": "2"}),
    (state.Corrupt(), 500, "value_corrupt", {}),
    (OperationalError("gone"), 503, "database_unavailable", {"Retry-After": "2"}),
    (ProgrammingError("no such table"), 503, "database_denied", {"Retry-After": "2"}),
    (Http404(), 404, "not_found", {}),
    (PermissionDenied(), 403, "permission_denied", {}),
    (exceptions.ParseError(), 400, "parse_error", {}),
    (exceptions.Throttled(wait=2.5), 429, "throttled", {"Retry-After": "3"}),
    (exceptions.ValidationError({"a": ["wrong"]}), 400, "invalid", {}),
]


@pytest.mark.parametrize(("error", "status", "code", "headers"), ROWS, ids=lambda v: str(v)[:30])
def test_table__each_row(error, status, code, headers):
    response = answers.api_exception_handler(error, {})
    body = json.loads(response.content)
    assert response.status_code == status
    assert body["code"] == code
    assert isinstance(body["detail"], str) and body["detail"]
    for name, value in headers.items():
        assert response[name] == value


def test_table__has_a_row_for_every_error_of_the_app():
    leaves = {
        kind
        for kind in vars(state).values()
        if isinstance(kind, type)
        and issubclass(kind, state.ConnectorStateError)
        and kind is not state.ConnectorStateError
    }
    assert leaves <= set(answers.STATUS)


def test_table__the_unexpected_is_left_to_django():
    assert answers.api_exception_handler(KeyError("x"), {}) is None
    for error in (DataError("no equivalent in encoding LATIN1"), IntegrityError("twice")):
        assert answers.api_exception_handler(error, {}) is None  # which no repetition changes


@pytest.mark.parametrize("path", [f"{PREFIX}/x", "/api/x"])
def test_django__its_own_errors_are_json_on_api_paths(rf, path):
    request = rf.get(path)
    for handler, status in (
        (lambda: answers.bad_request(request, SuspiciousOperation("secret")), 400),
        (lambda: answers.permission_denied(request, PermissionDenied("secret")), 403),
        (lambda: answers.not_found(request, Http404("secret")), 404),
        (lambda: answers.server_error(request), 500),
    ):
        response = handler()
        assert response.status_code == status
        assert set(json.loads(response.content)) == {"detail", "code"}
        assert b"secret" not in response.content


@pytest.mark.django_db
def test_django__its_own_errors_are_pages_elsewhere(client):
    response = client.get("/nothing-here")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_answer_to__needs_no_request():
    answer = answers.answer_to(chat.ModelTimeout())
    assert answer == answers.ErrorAnswer(504, "model_timeout", chat.ModelTimeout.detail, {})
    assert answer.as_json() == {"detail": chat.ModelTimeout.detail, "code": "model_timeout"}
    failed = chat.ModelFailed()
    failed.degraded = True
    assert answers.answer_to(failed).headers == {"X-Chat-Degraded": "true"}
    refused = answers.answer_to(chat.TokenRefused())
    assert refused.headers == {"WWW-Authenticate": 'Bearer realm="chat"'}
    assert answers.answer_to(KeyError("x")) is None
    assert answers.answer_to(Http404()) is None


def test_answer_to__a_database_that_is_read_only():
    error = InternalError("cannot execute INSERT in a read-only transaction")
    error.__cause__ = psycopg.errors.ReadOnlySqlTransaction()
    assert answers.answer_to(error).code == "database_denied"
    assert answers.answer_to(InternalError("other")).code == "database_unavailable"


def test_answer_to__an_error_without_a_row_is_its_base():
    assert answers.answer_to(chat.StoreConflict()).status == 503
    assert answers.answer_to(chat.ChatError()) is None


UUID = "11111111-2222-3333-4444-555555555555"
API_PATHS = [
    "/livez",
    "/readyz",
    "/api/token/",
    "/api/token/refresh/",
    "/api/alice/chat",
    "/api/alice/conversations",
    "/api/alice/conversations/c1",
    "/api/alice/conversations/c1/messages",
    "/api/alice/conversations/c1/export",
    f"{PREFIX}/register",
    f"{PREFIX}/unregister/{UUID}",
    f"{PREFIX}/state/{UUID}",
    f"{PREFIX}/state/{UUID}/ns",
    f"{PREFIX}/state/{UUID}/ns/key",
    "/api/nowhere",
    "/dsx-connect/nowhere",
]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", API_PATHS)
def test_api_path__answers_json_to_any_method_and_accept(path):
    client = Client(raise_request_exception=False)
    for method in METHODS:
        for accept in ("text/html", "image/png;q=0.1", "nonsense"):
            answer = client.generic(method, path, headers={"Accept": accept})
            assert answer["Content-Type"] == "application/json", (method, accept)
            assert answer.status_code in (200, 400, 401, 403, 404, 405, 411, 415), (method, accept)
            if answer.status_code != 200:
                assert set(answer.json()) == {"detail", "code"}


def test_api_path__a_method_that_is_not_allowed_names_those_that_are(client):
    for path, allowed in (
        ("/livez", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/api/token/", "POST"),
    ):
        answer = client.delete(path)
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert answer["Allow"] == allowed


@pytest.mark.django_db
def test_busy__is_counted_and_not_logged_one_by_one(caplog, monkeypatch):
    def refuse(*args: object) -> None:
        raise DatabaseBusy

    monkeypatch.setattr("chat.api.views.check_rate", refuse)
    counted: list[None] = []
    monkeypatch.setattr(busy, "count", lambda: counted.append(None))
    for logger in ("django.request", "django"):
        monkeypatch.setattr(logging.getLogger(logger), "propagate", True)
    answers = [Api().chat("hello") for _ in range(3)]
    assert [(a.status_code, a.json()["code"]) for a in answers] == 3 * [(503, "busy")]
    assert (len(counted), caplog.records) == (3, [])


def test_busy__one_line_has_the_number(caplog, monkeypatch):
    monkeypatch.setattr(busy, "_count", 0)
    monkeypatch.setattr(busy, "LOG_SECONDS", 3600)
    for _ in range(3):
        busy.count()
    busy._log()
    assert "3 requests were answered 503 busy within 3600 s" in caplog.messages
