"""Check whether the assistant can be reached, by a call that costs nothing."""

import json
import logging
import time
from urllib.parse import urlsplit

import requests
from django.conf import settings

from chat import outgoing
from chat.errors import ModelFailed
from common.findings import Finding

logger = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
LIST_MAX_BYTES = 1_048_576


def examine_assistant(timeout_seconds: float) -> Finding:
    """Describe the configured assistant. A model's server is asked for the list of its models.

    Raises:
        ModelFailed: the server does not answer in time, fails, or refuses the key.
    """
    if not (settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL):
        return Finding("the built-in assistant")
    url = settings.OPENAI_BASE_URL or OPENAI_URL
    description = f"{settings.CHAT_MODEL} at {_host(url)}"  # not the URL: it may hold a password
    status, models = _list_models(url, timeout_seconds)
    if status in {401, 403}:
        raise ModelFailed(f"{_host(url)} refuses OPENAI_API_KEY.")
    if status >= 500:
        raise ModelFailed(f"{_host(url)} answers with status {status}.")
    if models and settings.CHAT_MODEL not in models:
        problem = f"It does not list the model {settings.CHAT_MODEL}."
        return Finding(description, problems=(problem,))
    return Finding(description)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _list_models(url: str, timeout_seconds: float) -> tuple[int, set[str]]:
    """Return the status of `GET models` and the ids listed; no ids if they can't be read."""
    deadline = time.monotonic() + timeout_seconds
    body = bytearray()
    try:
        with (
            outgoing.session(url) as session,
            session.get(
                f"{url.rstrip('/')}/models",
                headers={"Authorization": f"Bearer {settings.OPENAI_API_KEY or 'none'}"},
                timeout=timeout_seconds,
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            for chunk in response.iter_content(16_384):
                body += chunk
                if time.monotonic() > deadline or len(body) > LIST_MAX_BYTES:
                    return response.status_code, set()  # slow or long, but it answers
            return response.status_code, _ids(bytes(body))
    except (requests.RequestException, OSError) as error:
        logger.warning("the model's server did not answer: %s", type(error).__name__)
        raise ModelFailed(f"{_host(url)} does not answer.") from error


def _ids(body: bytes) -> set[str]:
    try:
        return {str(model["id"]) for model in json.loads(body)["data"]}
    except (ValueError, TypeError, LookupError, RecursionError):
        return set()
