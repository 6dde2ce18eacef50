"""The one table from domain errors to HTTP answers: `{"detail": ..., "code": ...}`."""

import json
import logging
import math
import sys
from http import HTTPStatus
from typing import Any

from django import db
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template import loader
from django.views import defaults
from rest_framework import exceptions

from chat import errors as chat
from chat.api.answers import DEGRADED
from config.door.receive import BodyRefused
from config.paths import CHAT_PREFIX, is_api_path
from config.refused import count_refused
from connector_state import errors as state

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 2  # about what a fail-over takes

STATUS: dict[type[Exception], HTTPStatus] = {
    state.SignatureRefused: HTTPStatus.UNAUTHORIZED,
    state.Forbidden: HTTPStatus.FORBIDDEN,
    state.InvalidRequest: HTTPStatus.BAD_REQUEST,
    state.LengthRequired: HTTPStatus.LENGTH_REQUIRED,
    state.ValueTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    state.PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
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
    chat.ModelTimeout: HTTPStatus.GATEWAY_TIMEOUT,  # before the next, which it is one of
    chat.ModelFailed: HTTPStatus.BAD_GATEWAY,
}


def error_response(
    status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> HttpResponse:
    """Return the JSON error answer.

    Args:
        status: the HTTP status.
        code: stable, listed in the README.
        detail: for people: what to change.
        headers: more headers, such as Retry-After.
    """
    response = HttpResponse(
        json.dumps({"detail": detail, "code": code}),
        content_type="application/json",
        status=status,
        headers=headers,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def api_exception_handler(exc: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's EXCEPTION_HANDLER: every error an API view raises becomes one JSON shape.

    Errors that are not in the table are left to Django, which logs them and calls server_error.
    """
    count_refused(exc)
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    if isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    if isinstance(exc, exceptions.APIException):
        return _from_drf(exc, context)
    if isinstance(exc, db.Error):
        logger.error("the database failed: %r", exc)
        return error_response(
            503,
            "database_unavailable",
            "The database can't be reached right now. Try again.",
            {"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    if isinstance(exc, BodyRefused):
        return body_refused(context["request"].path, exc)
    for kind, status in STATUS.items():
        if isinstance(exc, kind):
            return _from_domain(exc, status)
    return None


def _from_domain(exc: Any, status: HTTPStatus) -> HttpResponse:
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        is_chat = isinstance(exc, chat.ChatError)
        headers["WWW-Authenticate"] = 'Bearer realm="chat"' if is_chat else "DSX-HMAC"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if (seconds := getattr(exc, "retry_after_seconds", None)) is not None:
        headers["Retry-After"] = str(seconds)
    if getattr(exc, "degraded", False):
        headers[DEGRADED] = "true"
    return error_response(status, exc.code, exc.detail, headers)


def _from_drf(exc: exceptions.APIException, context: dict[str, Any]) -> HttpResponse:
    detail = exc.detail
    while isinstance(detail, list | dict):
        detail = next(iter(detail.values() if isinstance(detail, dict) else detail))
    headers = {}
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if isinstance(exc, exceptions.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    code = getattr(detail, "code", exc.default_code)
    return error_response(exc.status_code, code, str(detail), headers)


def body_refused(path: str, refused: BodyRefused) -> HttpResponse:
    """Return the answer to a body that was not received: JSON on an API path, else a page."""
    if is_api_path(path):
        return error_response(refused.status, refused.code, refused.detail)
    page = loader.render_to_string("body_refused.html", {"refused": refused})
    return HttpResponse(page, status=refused.status)


# --- Django's own errors (handler400 and so on of config.urls) ---------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400, for what Django finds suspicious."""
    if is_api_path(request.path_info):
        return error_response(400, "invalid_request", "The request is malformed.")
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    if is_api_path(request.path_info):
        return error_response(403, "forbidden", "You may not do this.")
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404, for a path that no route matches."""
    if is_api_path(request.path_info):
        is_chat = request.path_info.startswith(CHAT_PREFIX)
        hint = "A slash at its end counts." if is_chat else "Is the connector id a UUID?"
        return error_response(404, "not_found", f"No such path. {hint}")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or a page's 503 when it was the database. Django has logged the traceback."""
    if is_api_path(request.path_info):
        return error_response(500, "server_error", "An unexpected error; the server's log has it.")
    if isinstance(sys.exc_info()[1], db.Error):  # it is still being handled
        return HttpResponse(loader.render_to_string("503.html"), status=503)
    return defaults.server_error(request)
