"""Whose body is received for a thread, and how much of it, by the headers alone.

What they refuse is answered by the view, without the body: it says which of them is wrong. Of value
calls the view asks for the body itself (connector_state.api).
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.handlers.wsgi import WSGIRequest

from chat.api.authentication import user_id_in
from chat.api.parsing import BODY_MAX_BYTES
from chat.errors import ChatError
from config.door.receive import MEMORY_BYTES
from config.paths import CHAT_PREFIX, LOG_IN_PREFIXES, REGISTER_PATH, is_api_path
from connector_state.api.enrolment_views import REGISTER_MAX_BODY_BYTES, token_in
from connector_state.credentials import enrolment

FORM_FRAME_BYTES = 65_536  # what surrounds a file in a form

Environ = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many bytes anybody may send to a path, and how many who is known; and who that is.

    `refused_by_view`: what goes beyond it is refused by the view, which reads the headers first.
    `knows_at_once`: `is_known` asks neither a database nor anybody else.
    """

    anybody: int = 0
    known: int = 0
    is_known: Callable[[Environ], bool] = lambda environ: False
    refused_by_view: bool = True
    knows_at_once: bool = False


def allowance(path: str) -> Allowance:
    """Return what may be sent to this path."""
    if path == REGISTER_PATH:
        return Allowance(known=REGISTER_MAX_BODY_BYTES, is_known=_has_enrolment_token)
    if path.startswith(LOG_IN_PREFIXES):
        return Allowance(anybody=MEMORY_BYTES, refused_by_view=False)
    if path.startswith(CHAT_PREFIX):
        at_once = not settings.JWT_JWKS_URL  # else keys may have to be fetched
        return Allowance(known=BODY_MAX_BYTES, is_known=_has_bearer_token, knows_at_once=at_once)
    if is_api_path(path):
        return Allowance()
    most = max(settings.STATE_MAX_IMPORT_BYTES, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    return Allowance(MEMORY_BYTES, most + FORM_FRAME_BYTES, _has_session, refused_by_view=False)


def _has_enrolment_token(environ: Environ) -> bool:
    token = token_in(environ)
    return token is not None and enrolment.group_of(token) is not None


def _has_bearer_token(environ: Environ) -> bool:
    try:
        return user_id_in(environ) is not None
    except ChatError:  # the view finds out which
        return False


def _has_session(environ: Environ) -> bool:
    cookie = WSGIRequest({**environ, "wsgi.input": io.BytesIO()}).COOKIES.get(
        settings.SESSION_COOKIE_NAME
    )
    store = import_module(settings.SESSION_ENGINE).SessionStore(cookie)
    return cookie is not None and store.get(SESSION_KEY) is not None
