"""Waiting for a model, for which a turn needs no thread.

The steps of a turn are a generator. What it has to wait for it yields as a coroutine; it is called
again with what came of that. Coroutines run on one loop of this process. So one implementation of
the steps serves servers where the thread of the request waits, and those where nothing does.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine, Generator
from functools import lru_cache
from typing import Any, TypeVar

from chat.deadline import Deadline
from chat.errors import ModelTimeout
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


async def until_stopped(coroutine: Coroutine[Any, Any, T], words: Words, deadline: Deadline) -> T:
    """Return what the coroutine returns, which is cancelled when the user stops the turn.

    Raises:
        Stopped: by the user.
        ModelTimeout: it was not done at the deadline.
        Exception: what the coroutine raises.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(coroutine)

    def stop() -> None:
        loop.call_soon_threadsafe(task.cancel)

    words.on_stop(stop)
    try:
        async with asyncio.timeout(deadline.remaining_seconds):
            return await task
    except TimeoutError:
        raise ModelTimeout() from None
    except asyncio.CancelledError:
        words.check()
        raise
    finally:
        words.on_stop(lambda: None)


@lru_cache(maxsize=1)
def turns_loop() -> asyncio.AbstractEventLoop:
    """Return the loop of this process on which turns wait."""
    loop = asyncio.new_event_loop()
    # A daemon: whatever waits for it (chat.following) keeps the process from ending.
    threading.Thread(target=loop.run_forever, name="turns loop", daemon=True).start()
    return loop


# A child has none of its parent's threads.
os.register_at_fork(after_in_child=turns_loop.cache_clear)
