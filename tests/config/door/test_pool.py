"""The bridge, without a server."""

import asyncio
import io

import pytest
from django.http import StreamingHttpResponse

from config.door.pool import Pool
from config.door.reply import Reply


class Application:
    """Answers with one stream."""

    def __init__(self) -> None:
        self.response = StreamingHttpResponse(iter([b"x"]))

    def respond(self, environ):
        return self.response


def test_pool__closes_a_stream_whose_beginning_cant_be_sent():
    application = Application()

    async def send(message):
        raise RuntimeError("the connection is closed")

    async def run() -> None:
        await Pool(application, 1).answer({}, io.BytesIO(), None, Reply(send, "GET", "request-id"))

    with pytest.raises(RuntimeError):
        asyncio.run(run())
    assert application.response.closed
