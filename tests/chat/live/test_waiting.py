"""The loop on which turns wait for their models."""

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import uvloop

from chat.live import waiting


def test_turns_loop__is_uvloop_if_it_is_installed(monkeypatch):
    assert isinstance(waiting.turns_loop(), uvloop.Loop)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = waiting._new_loop()
    assert isinstance(loop, asyncio.SelectorEventLoop)
    loop.close()


def test_turns_loop__is_one_for_callers_that_are_first_at_once(monkeypatch):
    make = waiting._new_loop

    def make_slowly() -> asyncio.AbstractEventLoop:
        time.sleep(0.2)
        return make()

    monkeypatch.setattr(waiting, "_new_loop", make_slowly)
    waiting._loop.cache_clear()
    together = threading.Barrier(4)

    def first(_: int) -> asyncio.AbstractEventLoop:
        together.wait()
        return waiting.turns_loop()

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(first, range(4)))) == 1
