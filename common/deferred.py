"""Answers that come later, for a server whose threads don't wait for them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from django.http import HttpResponse

TAKES_DEFERRED = "statekeep.takes_deferred"  # in WSGI's environ: whether the server can wait


class DeferredResponse(HttpResponse):
    """Stands for an answer that is made when something is over.

    Middlewares see this one. The headers that they set are added to those of the answer.
    """

    def __init__(self, over: "Future[Any]", make: Callable[[], HttpResponse]) -> None:
        super().__init__()
        del self.headers["Content-Type"]
        self._over, self._make = over, make

    async def wait(self) -> HttpResponse:
        """Return the answer."""
        # Unlike awaiting it, this cancels nothing when the request is cancelled.
        await asyncio.wait([asyncio.wrap_future(self._over)])
        response = self._make()
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)
        return response
