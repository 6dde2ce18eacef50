"""How each error is answered over HTTP: `{"detail": ..., "code": ...}`, by one table."""

import logging
import math
import sys
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django import db
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template import loader
from django.urls import is_valid_path
from django.views import defaults
from rest_framework import exceptions

from chat import errors as chat
from chat.api.answers import DEGRADED
from common.database.busy import DatabaseBusy
from common.errors import ServiceError
from common.json_answers import json_response
from common.telemetry import metrics
from config.door.receive import BodyRefused
from config.errors import busy
from config.errors.refused import count_refused
from config.paths import CHAT_PREFIX, is_api_path, is_of_dsx_connect, joined_well
from connector_state import errors as state
from connector_state.api import misdirected

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 2  # about what a fail-over takes

# A value that the database can't hold, or rows that contradict each other, are mistakes of ours.
_OURS = (db.DataError, db.IntegrityError)
# PostgreSQL's. A table that is missing and a permission are ProgrammingErrors.
_READ_ONLY = "25006"

# An error without a row is answered as its nearest base is.
STATUS: dict[type, HTTPStatus] = {
    state.SignatureRefused: HTTPStatus.UNAUTHORIZED,
    state.Forbidden: HTTPStatus.FORBIDDEN,
    state.InvalidRequest: HTTPStatus.BAD_REQUEST,
    state.LengthRequired: HTTPStatus.LENGTH_REQUIRED,
    state.ValueTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    state.PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    state.VersionGone: HTTPStatus.NOT_FOUND,
    state.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    state.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    state.Corrupt: HTTPStatus.INTERNAL_SERVER_ERROR,
    chat.TokenRefused: HTTPStatus.UNAUTHORIZED,
    chat.Forbidden: HTTPStatus.FORBIDDEN,
    chat.NotFound: HTTPStatus.NOT_FOUND,
    chat.InvalidInput: HTTPStatus.BAD_REQUEST,
    chat.InputTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    chat.UnsupportedInput: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    chat.TurnConflict: HTTPStatus.CONFLICT,
    chat.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    chat.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    chat.StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    chat.ModelTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    chat.ModelFailed: HTTPStatus.BAD_GATEWAY,
    DatabaseBusy: HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """The answer to an error: `code` is stable and documented, `detail` says what to change."""

    status: int
    code: str
    detail: str
    headers: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, str]:
        """Return the body, for common.json_answers to encode."""
        return {"detail": self.detail, "code": self.code}


def answer_to(exc: Exception) -> ErrorAnswer | None:
    """Return the answer to an error of the apps or the database; None for any other exception."""
    if isinstance(exc, db.Error) and not isinstance(exc, DatabaseBusy):
        return _of_database(exc)
    status = next((STATUS[kind] for kind in type(exc).__mro__ if kind in STATUS), None)
    if status is None or not isinstance(exc, ServiceError):
        return None
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        is_chat = isinstance(exc, chat.ChatError)
        headers["WWW-Authenticate"] = 'Bearer realm="chat"' if is_chat else "DSX-HMAC"
    if exc.retry_after_seconds is not None:
        headers["Retry-After"] = str(exc.retry_after_seconds)
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if isinstance(exc, chat.ModelFailed) and exc.degraded:
        headers[DEGRADED] = "true"
    return ErrorAnswer(status, exc.code, exc.detail, headers)


def _of_database(exc: db.Error) -> ErrorAnswer | None:
    """Return a 503; None for what no repetition of the call and no operator can change."""
    if isinstance(exc, _OURS):
        return None
    logger.error("the database failed: %r", exc)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    sqlstate = getattr(exc.__cause__, "sqlstate", None)
    if isinstance(exc, db.ProgrammingError) or sqlstate == _READ_ONLY:
        return ErrorAnswer(
            HTTPStatus.SERVICE_UNAVAILABLE,
            code="database_denied",
            detail="The database refuses what this service does. An operator has to look at it.",
            headers=headers,
        )
    return ErrorAnswer(
        HTTPStatus.SERVICE_UNAVAILABLE,
        code="database_unavailable",
        detail="The database can't be reached right now. Try again.",
        headers=headers,
    )


def error_response(
    status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> HttpResponse:
    """Return an ErrorAnswer as Django's response."""
    metrics.ERROR_ANSWERS.labels(code).inc()
    answer = ErrorAnswer(status, code, detail, headers or {})
    response = json_response(answer.as_json(), answer.headers, status=answer.status)
    if code == DatabaseBusy.code:
        busy.count()
        response._has_been_logged = True  # type: ignore[attr-defined]  # Django asks for it
    return response


# --- Errors that API views raise ------------------------------------------------------------------


def api_exception_handler(exc: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Return the answer to whatever an API view raised: DRF's EXCEPTION_HANDLER.

    None leaves an unexpected exception to Django, which logs it and calls server_error.
    """
    count_refused(exc)
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    if isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    if isinstance(exc, BodyRefused):
        return body_refused(context["request"].path, exc)
    answer = _from_drf(exc, context) if isinstance(exc, exceptions.APIException) else answer_to(exc)
    if answer is None:
        return None
    return error_response(answer.status, answer.code, answer.detail, answer.headers)


def _from_drf(exc: exceptions.APIException, context: dict[str, Any]) -> ErrorAnswer:
    detail = exc.detail
    while isinstance(detail, list | dict):  # of fields: the first one is told
        detail = next(iter(detail.values() if isinstance(detail, dict) else detail))
    headers = {}
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if isinstance(exc, exceptions.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    code = getattr(detail, "code", exc.default_code)
    return ErrorAnswer(exc.status_code, code, str(detail), headers)


def body_refused(path: str, refused: BodyRefused) -> HttpResponse:
    """Return the answer to a body that was not received: JSON on an API path, else a page."""
    if is_api_path(path):
        return error_response(refused.status, refused.code, refused.detail)
    page = loader.render_to_string("body_refused.html", {"refused": refused})
    return HttpResponse(page, status=refused.status)


# --- Django's own errors (handler400 and so on of config.urls) ---------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return a 400, for a request that Django finds suspicious."""
    if is_api_path(request.path_info):
        return error_response(400, "invalid_request", "The request is malformed.")
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return a 403, for a user who lacks a permission."""
    if is_api_path(request.path_info):
        return error_response(403, "forbidden", "You may not do this.")
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return a 404, for a path that no route matches."""
    path = joined_well(request.path_info)
    if is_of_dsx_connect(path):
        misdirected.note(request)
        detail = "This server keeps connector state; send scans to your dsx-connect."
        return error_response(404, "not_served_here", detail)
    if is_api_path(path):
        hint = "Is the connector id a UUID?"
        if path != request.path_info and is_valid_path(path):
            hint = "It has '//' where one '/' belongs: look at the base URL, which may end in one."
        elif path.startswith(CHAT_PREFIX):
            hint = "A slash at its end counts."
        return error_response(404, "not_found", f"No such path. {hint}")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Return a 500, or a page's 503 when the database failed. Django has logged the traceback."""
    if is_api_path(request.path_info):
        return error_response(500, "server_error", "An unexpected error; the server's log has it.")
    error = sys.exc_info()[1]  # it is still being handled
    if isinstance(error, db.Error) and not isinstance(error, _OURS):
        return HttpResponse(loader.render_to_string("503.html"), status=503)
    return defaults.server_error(request)
