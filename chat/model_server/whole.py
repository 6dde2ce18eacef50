"""Ask a model's server for an answer as a whole, which nobody follows.

By aiohttp itself: for one POST, the layers of the openai package above it do nothing but cost an
eighth of the answer's CPU. See docs/decisions/0013-streaming.md.
"""

import json
from typing import Any

from chat.model_server.answers import Unusable
from chat.model_server.connections import ModelServer
from chat.model_server.refusals import Refused
from chat.model_server.stream.sse import DONE, is_json

ANSWER_MAX_BYTES = 1_048_576


def encoded(request: dict[str, Any]) -> bytes:
    """Return the body of a request. ValueError: it holds half a surrogate pair."""
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()


async def whole(server: ModelServer, body: bytes, headers: dict[str, str]) -> bytes:
    """Return the body of the completion. There is no time limit.

    Args:
        body: of the request.
        headers: further ones.

    Raises:
        Refused: with an HTTP status that is not of success.
        Unusable: the answer is too large.
        aiohttp.ClientError, ValueError: there is no connection, or it broke.
    """
    import aiohttp

    url = server.url("chat/completions")
    async with server.session.post(url, data=body, headers=headers) as response:
        answer = bytearray()
        try:
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > ANSWER_MAX_BYTES:
                    break
        except aiohttp.ClientPayloadError:
            # The connection may break off after all that matters.
            if not (is_json(answer) or DONE in answer):
                raise
    if not 200 <= response.status < 300:
        raise Refused(response.status, bytes(answer), response.headers.get("Retry-After"))
    check_size(len(answer), ANSWER_MAX_BYTES)
    return bytes(answer)


def check_size(size: int, most: int) -> None:
    """Raise Unusable if an answer has more bytes than that."""
    if size > most:
        raise Unusable(f"its answer has more than {most} bytes")
