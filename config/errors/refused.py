"""Count tokens and log-ins that are refused, by error code, for the start page.

connector_state.api.authentication counts signed requests where it refuses them.
"""

import logging
from typing import Any

from django.http import HttpRequest

from chat import errors as chat
from config.paths import is_api_path
from connector_state.credentials.counters import failures
from overview.panels.refusals import CHAT, LOGIN

logger = logging.getLogger(__name__)

LOCKED_OUT = "locked_out"


def count_refused(exc: Exception) -> None:
    """Count an error if it refuses a token, or a log-in at the chat's API; log why a token is."""
    if isinstance(exc, chat.TokenRefused) and exc.reason:
        if failures.count(f"{CHAT}{exc.code}"):
            logger.warning("refused a token: %s", exc.reason)
    elif isinstance(exc, chat.TokenRefused) or (
        isinstance(exc, chat.RateLimited) and exc.code == LOCKED_OUT
    ):
        failures.count_unlogged(f"{CHAT}{exc.code}")


def count_failed_login(request: HttpRequest | None = None, **signal: Any) -> None:
    """Count a failed log-in to the pages: a receiver of user_login_failed, after that of axes."""
    if request is None or is_api_path(request.path_info):
        return  # an API raises an error, which count_refused counts
    is_locked_out = getattr(request, "axes_locked_out", False)
    failures.count_unlogged(f"{LOGIN}{LOCKED_OUT if is_locked_out else 'bad_credentials'}")
