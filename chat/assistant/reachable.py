"""Check whether the assistant would answer, by asking it as a chat does."""

import logging
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings

from chat import outgoing
from chat.deadline import Deadline
from chat.errors import ModelFailed, ModelTimeout
from chat.live.waiting import wait_for
from chat.live.words import Words
from chat.model_server.client import ask_once, connect
from chat.model_server.connections import OPENAI_URL
from chat.model_server.messages import Part, request_messages
from chat.model_server.refusals import NotConnected, ServerFailed
from chat.models import Turn
from common.findings import Finding

logger = logging.getLogger(__name__)

QUESTION = "Answer with the word OK. Call no tool."


# When which configuration gave an answer that a chat could use (monotonic, s).
_good: dict[tuple[str, str, str], float] = {}


def examine_assistant(timeout_seconds: float, ask_every_seconds: float = 0) -> Finding:
    """Describe the configured assistant. A model is asked for the shortest answer.

    Args:
        timeout_seconds: the time limit.
        ask_every_seconds: for so long after a good answer only the connection is tried, which
            costs no tokens.

    Raises:
        ModelFailed: a chat would not be answered now; the detail says why.
    """
    if not (settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL):
        return Finding("the built-in assistant")
    host = _address(settings.OPENAI_BASE_URL or OPENAI_URL)
    now = time.monotonic()
    asked = (settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.CHAT_MODEL)
    if asked in _good and now < _good[asked] + ask_every_seconds:
        _try(lambda: connect(timeout_seconds), host)
    else:
        _good.clear()
        _try(lambda: _ask(timeout_seconds), host)
        _good[asked] = now
    return Finding(f"{settings.CHAT_MODEL} at {host}")


def _try(question: Callable[[], None], host: str) -> None:
    try:
        question()
    except ModelTimeout as error:
        raise ModelFailed(f"{host} did not answer in time.") from error
    except ServerFailed as error:
        logger.warning("the model's server gives no answer: %s", error)
        raise ModelFailed(_in_words(host, error)) from error


def _ask(timeout_seconds: float) -> None:
    messages = request_messages([[Part("user", QUESTION)]])
    answer = wait_for(
        ask_once(messages, Deadline(timeout_seconds), may_call=True, words=Words(Turn()))
    )
    if answer.is_empty:
        raise ServerFailed(answer.nothing)


def _in_words(host: str, error: ServerFailed) -> str:
    if error.status in {401, 403}:
        return f"{host} refuses OPENAI_API_KEY."
    if error.status:
        return f"{host} answers with status {str(error).removeprefix('HTTP ')}."
    if isinstance(error, NotConnected):
        return f"{host} does not answer."
    return f"{host} answers, but a chat can't use it: {error}."


def _address(url: str) -> str:
    """Return the host of a server, and the proxy that may be what does not answer."""
    proxy = outgoing.proxy_for(url)
    return f"{_host(url)} (by the proxy {_host(proxy)})" if proxy else _host(url)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)  # not the URL: it may hold a password
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    except ValueError:
        return "whose address is malformed"
