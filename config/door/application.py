"""The door: each request comes in here, and goes to the loop's Django or to the threads'."""

import io
import time
from collections import Counter
from typing import IO, Any

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch

from common.client_ip import address_in
from common.telemetry.request import begin
from config.door.body_limits import Allowance, allowance
from config.door.environ import Scope, environ_of
from config.door.handler import LoopHandler, LoopRequest
from config.door.pool import Pool
from config.door.receive import Body, BodyRefused, ClientLeft, Receive, Room, too_large
from config.door.reply import Reply, Send
from config.errors.answers import body_refused
from config.serving import Application, busy, note, refuse_path

ANYBODYS_BYTES = 33_554_432
KNOWN_CALLERS_BYTES = 268_435_456


class Door:
    """The ASGI application that config.asgi serves."""

    def __init__(self) -> None:
        self._handler = LoopHandler()
        self._pool = Pool(Application(), settings.SERVER_THREADS)
        self._anybodys = Room(ANYBODYS_BYTES)
        self._known = Room(max(KNOWN_CALLERS_BYTES, 2 * settings.STATE_MAX_IMPORT_BYTES))
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request."""
        if scope["type"] != "http":
            raise ValueError(f"no {scope['type']} here")  # how lifespan is told that it isn't there
        began = time.perf_counter()
        environ = environ_of(scope)
        reply = Reply(send, scope["method"], begin(environ).request_id)
        address = address_in(environ)
        body = Body(receive)
        self._under_way[address] += 1
        try:
            if refusal := self._refuse(environ, address):
                await reply.send(refusal)
            elif match := self._handler.match(environ):
                await reply.send(await self._on_loop(environ, match, body))
            else:
                content = await self._receive(environ, body)
                await self._pool.answer(environ, content, receive, reply)
        except BodyRefused as refused:
            await reply.send(body_refused(environ["PATH_INFO"], refused))
        except ClientLeft:
            pass
        finally:
            body.close()
            self._under_way[address] -= 1
            if not self._under_way[address]:
                del self._under_way[address]
            note(environ, reply.status, time.perf_counter() - began)
        if _has_body(environ):
            await body.discard()

    def _refuse(self, environ: dict[str, Any], address: str) -> HttpResponse | None:
        most = settings.MAX_REQUESTS_PER_ADDRESS
        if most and self._under_way[address] > most:
            return busy(environ["PATH_INFO"], "Too many requests of this address are under way.")
        return refuse_path(environ["PATH_INFO"])

    async def _on_loop(
        self, environ: dict[str, Any], match: ResolverMatch, body: Body
    ) -> HttpResponseBase:
        async def receive_body() -> bytes:
            # The view asks for it when it has found length, time and key id to be good.
            return (await body.receive(int(environ["CONTENT_LENGTH"]), self._known)).read()

        return await self._handler.respond(LoopRequest(environ, match, receive_body))

    async def _receive(self, environ: dict[str, Any], body: Body) -> IO[bytes]:
        """Return the body, or an empty one where the view refuses the request by its headers."""
        if not _has_body(environ):
            return io.BytesIO()
        is_chunked = "HTTP_TRANSFER_ENCODING" in environ
        path = environ["PATH_INFO"]
        allowed = allowance(path)
        # Programs are told to send a length; a browser's form never comes without one.
        size = 0 if is_chunked else int(environ["CONTENT_LENGTH"])
        if size <= allowed.anybody and (allowed.anybody or not is_chunked):
            content = await body.receive(allowed.anybody, self._anybodys)
        elif size <= allowed.known and not is_chunked and await self._is_known(allowed, environ):
            content = await body.receive(allowed.known, self._known)
        elif allowed.refused_by_view:
            return io.BytesIO()
        else:
            raise too_large()
        environ["CONTENT_LENGTH"] = str(body.size)
        return content

    async def _is_known(self, allowed: Allowance, environ: dict[str, Any]) -> bool:
        if allowed.knows_at_once:
            return allowed.is_known(environ)
        return await self._pool.run(allowed.is_known, environ)


def _has_body(environ: dict[str, Any]) -> bool:
    return "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH", "0") != "0"
