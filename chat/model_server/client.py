"""Asks the model's server by the openai package; chat.model_server.answers reads its answers.

The package's own retries are off, because it does not know the deadline; `ask` retries once.
"""

import asyncio
import logging
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from chat.deadline import Deadline
from chat.errors import ModelFailed, ModelTimeout
from chat.live.waiting import wait_for
from chat.live.words import Words
from chat.model_server import streaming
from chat.model_server.answers import Answer, BrokenOff, Unusable, read_completion, read_document
from chat.model_server.connections import model_server
from chat.model_server.instructions import tool_definitions
from chat.model_server.refusals import (
    RETRY_PAUSE_SECONDS,
    NotConnected,
    OtherWanted,
    Refused,
    ServerFailed,
    check_for_error,
    failure_of,
    retry_pause,
)
from chat.model_server.stream.pieces import read_stream
from common.telemetry import metrics
from common.telemetry.request import onward_headers

logger = logging.getLogger(__name__)

RETRY_PAUSE_MAX_SECONDS = 5.0

_STREAM = re.compile(rb"(?:data|event|id|retry)?:")

Json = dict[str, Any]


async def ask(messages: list[Json], deadline: Deadline, may_call: bool, words: Words) -> Answer:
    """Ask the model; ask once more after an error that may be temporary, if there is time.

    Not after words were told: a second answer would not go on where the first one broke off.

    Raises:
        Stopped: by the user.
        ModelTimeout: there was no answer before the deadline.
        ModelFailed: the server answered with an error, or with something unusable. It is logged.
        OtherWanted: not logged.
    """
    try:
        return await ask_once(messages, deadline, may_call, words)
    except OtherWanted as error:
        if words.reply:
            raise failed(error) from error
        raise
    except ServerFailed as error:
        pause_max = min(RETRY_PAUSE_MAX_SECONDS, deadline.remaining_seconds / 2)
        if error.pause_seconds > pause_max or words.reply:
            raise failed(error) from error
        logger.info("asking the model again after %s", error)
        await asyncio.sleep(error.pause_seconds)
    try:
        return await ask_once(messages, deadline, may_call, words)
    except OtherWanted:
        raise
    except ServerFailed as error:
        raise failed(error) from error


def failed(error: ServerFailed) -> ModelFailed:
    """Log why the model failed, and return what its caller is told."""
    logger.warning("the model failed: %s", error)
    return ModelFailed()


async def ask_once(
    messages: list[Json], deadline: Deadline, may_call: bool, words: Words
) -> Answer:
    """Ask the model.

    Args:
        messages: of the protocol.
        may_call: whether it may call tools.
        words: are told as they come, where somebody follows them.

    Raises:
        Stopped: by the user.
        ModelTimeout: there was no answer before the deadline.
        ServerFailed: the server answered with an error, or with something unusable.
    """
    with metrics.model_call():
        return await _ask_once(messages, deadline, may_call, words)


async def _ask_once(
    messages: list[Json], deadline: Deadline, may_call: bool, words: Words
) -> Answer:
    import aiohttp
    import httpx2
    import openai

    if deadline.passed:
        raise ModelTimeout()
    try:
        async with asyncio.timeout(deadline.remaining_seconds):
            body = await _request(messages, may_call, words)
        return _read(body, messages)
    except Refused as error:
        sent = [*_texts(messages), settings.OPENAI_API_KEY]
        pause = retry_pause(error.retry_after)
        raise failure_of(error.status, error.body, sent, pause) from error
    except (openai.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError) as error:
        raise _connection_failed(error) from error
    except TimeoutError:
        raise _late() from None
    except BrokenOff as error:
        raise ServerFailed(str(error), pause_seconds=RETRY_PAUSE_SECONDS) from error
    except Unusable as error:
        raise ServerFailed(str(error)) from error
    except (openai.OpenAIError, ValueError) as error:
        # Only the name: the text of an error may hold the reply, or the key that was sent.
        raise ServerFailed(type(error).__name__) from error


def connect(timeout_seconds: float) -> None:
    """Ask the server for anything that costs nothing; every answer is good.

    Raises:
        ModelTimeout, NotConnected.
    """
    import aiohttp

    server = model_server(settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL)

    async def list_models() -> None:
        async with asyncio.timeout(timeout_seconds), server.session.get(server.url("models")):
            pass

    try:
        wait_for(list_models())
    except TimeoutError:
        raise _late() from None
    except aiohttp.ClientError as error:
        raise _connection_failed(error) from error
    except ValueError:
        return


def _connection_failed(error: BaseException) -> ModelTimeout | NotConnected:
    """Return ours for an error of the connection, by what is behind it.

    openai's adapter of aiohttp calls a refused or a lost connection a timeout, too.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, TimeoutError):
        return _late()
    return NotConnected(type(error).__name__, pause_seconds=RETRY_PAUSE_SECONDS)


def _late() -> ModelTimeout:
    logger.warning("the model did not answer in time")
    return ModelTimeout()


def _read(body: bytes, messages: list[Json]) -> Answer:
    """Return the answer; some proxies stream it though nobody asked for that."""
    if not body.strip():
        return Answer("")
    is_stream = _STREAM.match(body.removeprefix(BOM_UTF8).lstrip())
    document = read_stream(body) if is_stream else read_document(body)
    check_for_error(document)
    told = [one["content"] for one in messages if one["role"] in {"user", "tool"}]
    return read_completion(document, told)


def _texts(messages: list[Json]) -> Iterator[str]:
    for message in messages:
        if message["role"] != "system":
            yield message["content"]
        for call in message.get("tool_calls", ()):
            yield from (call["function"]["name"], call["function"]["arguments"])


async def _request(messages: list[Json], may_call: bool, words: Words) -> bytes:
    body = {
        "model": settings.CHAT_MODEL,
        "messages": messages,
        "tools": tool_definitions(),
        "tool_choice": "auto" if may_call else "none",
    }
    headers = onward_headers() if settings.MODEL_TRACE_HEADERS else {}
    server = model_server(settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL)
    return await streaming.completion(server, body, headers, words)
