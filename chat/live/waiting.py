"""Waiting for a model, for which a turn needs no thread.

The steps of a turn are a generator. What it has to wait for it yields as a coroutine; it is called
again with what came of that. Coroutines run on one loop of this process. So one implementation of
the steps serves servers where the thread of the request waits, and those where nothing does.
"""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import close_old_connections

from chat.live.words import Words

T = TypeVar("T")

Steps = Generator[Coroutine[Any, Any, Any], Any, T]


def take(steps: Steps[T]) -> T:
    """Take all the steps in this thread, which waits; return what they return."""
    try:
        wanted = next(steps)
        while True:
            try:
                result = wait_for(wanted)
            except BaseException as error:  # whatever it is, the turn has to know
                wanted = steps.throw(error)
            else:
                wanted = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop, in the context of this thread; return what it returns."""
    return asyncio.run_coroutine_threadsafe(coroutine, turns_loop()).result()


def begin(steps: Steps[T]) -> "Future[T]":
    """Begin to take the steps in other threads, none of which waits; return what tells the outcome.

    A process that ends waits for them, until its server loses patience and kills it.
    """
    taking = _Taking(steps)
    taking.go_on(steps.send, None)
    return taking.over


class _Taking(Generic[T]):
    """Takes the steps, each in a thread; what they want is waited for on the loop.

    Each is taken in the context of whoever began.
    """

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._wanted: asyncio.Task[Any] | None = None  # a loop alone does not keep its tasks
        self.over: Future[T] = Future()
        self.over.set_running_or_notify_cancel()  # nobody can cancel it
        _under_way[self.over] = self
        self.over.add_done_callback(_under_way.pop)

    def go_on(self, call: Callable[[Any], Any], value: Any) -> None:
        """Have the next step taken, by `send` or `throw` of the steps."""
        try:
            _threads().submit(copy_context().run, self._step, call, value)
        except RuntimeError as error:  # the process ends
            self.over.set_exception(error)

    def _step(self, call: Callable[[Any], Any], value: Any) -> None:
        try:
            wanted = _call(call, value)
        except StopIteration as end:
            self.over.set_result(end.value)
        except BaseException as error:
            self.over.set_exception(error)
        else:
            turns_loop().call_soon_threadsafe(self._wait, wanted)

    def _wait(self, wanted: Coroutine[Any, Any, Any]) -> None:
        self._wanted = asyncio.get_running_loop().create_task(wanted)
        self._wanted.add_done_callback(self._waited)

    def _waited(self, task: "asyncio.Task[Any]") -> None:
        call: Callable[[Any], Any] = self._steps.send
        try:
            value = task.result()
        except BaseException as error:  # whatever it is, the turn has to know
            call, value = self._steps.throw, error
        self.go_on(call, value)


def _call(call: Callable[[Any], Any], value: Any) -> Any:
    """Call it between looks at the thread's database connections, as Django does for a request."""
    close_old_connections()
    try:
        return call(value)
    finally:
        close_old_connections()


async def until_stopped(coroutine: Coroutine[Any, Any, T], words: Words) -> T:
    """Return what the coroutine returns, which is cancelled when the user stops the turn.

    Raises:
        Stopped: by the user.
        Exception: what the coroutine raises.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(coroutine)

    def stop() -> None:
        loop.call_soon_threadsafe(task.cancel)

    words.on_stop(stop)
    try:
        return await task
    except asyncio.CancelledError:
        words.check()
        raise
    finally:
        words.on_stop(lambda: None)


_making = threading.Lock()


def turns_loop() -> asyncio.AbstractEventLoop:
    """Return the loop of this process on which turns wait."""
    with _making:  # two first callers at once would have one each by lru_cache alone
        return _loop()


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    loop = _new_loop()
    # A daemon, as it has no end: `_finish` keeps the process from ending too early.
    threading.Thread(target=loop.run_forever, name="turns loop", daemon=True).start()
    return loop


def _new_loop() -> asyncio.AbstractEventLoop:
    try:  # as the server does by `--loop auto`
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    # They last, and with them their database connections.
    return ThreadPoolExecutor(settings.SERVER_THREADS, "turn")


_under_way: "dict[Future[Any], _Taking[Any]]" = {}


def _finish() -> None:
    concurrent.futures.wait(list(_under_way))


def _forget() -> None:
    """Forget the parent's threads, of which a child has none."""
    global _making
    _making = threading.Lock()
    _loop.cache_clear()
    _threads.cache_clear()
    _under_way.clear()


os.register_at_fork(after_in_child=_forget)
# Called before the executors are shut down, as theirs was registered before. `atexit` is too late.
threading._register_atexit(_finish)  # type: ignore[attr-defined]
