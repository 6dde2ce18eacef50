"""The cache with its thread: many threads and coroutines at once, and a source that hangs."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator

import pytest
from django.db import OperationalError

from connector_state.credentials import cache as cache_module
from tests.connector_state.credentials.sources import End, FakeSource, ThreadedCache
from tests.servers import wait_until


@pytest.fixture
def source() -> Iterator[FakeSource]:
    source = FakeSource("a", "b")
    yield source
    source.error = End()  # ends the thread
    source.answers.set()


@pytest.fixture
def cache(source) -> ThreadedCache:
    return ThreadedCache(source)


def in_threads(count: int, call) -> list:
    found: list = []
    threads = [threading.Thread(target=lambda: found.append(call())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_threads__that_miss_the_same_key_id_share_a_read(cache, source):
    source.answers.clear()
    threading.Timer(0.2, source.answers.set).start()
    found = in_threads(50, lambda: cache.find("a"))
    assert [credential.key_id for credential in found] == ["a"] * 50
    assert len(source.reads) <= 2  # of those that came while the first was being answered


def test_loop__misses_of_a_moment_are_one_statement(cache, source):
    source.rows = {f"k{n}": (f"k{n}", b"s") for n in range(400)}

    source.answers.clear()

    async def find_all():
        asyncio.get_running_loop().call_later(0.2, source.answers.set)
        return await asyncio.gather(*(cache.find_async(key_id) for key_id in source.rows))

    found = asyncio.run(find_all())
    assert [credential.key_id for credential in found] == list(source.rows)
    assert len(source.reads) <= 2  # the thread had a part of them when it began to wait


def test_loop__what_is_known_awaits_nothing_and_wakes_no_thread(cache):
    cache.find("a")
    cache._wake = None
    coroutine = cache.find_async("a")
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    assert stopped.value.value.key_id == "a"


def test_loop__a_caller_that_leaves_disturbs_no_other(cache, source):
    source.answers.clear()

    async def one_leaves():
        leaving, staying = (asyncio.create_task(cache.find_async("a")) for _ in range(2))
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.wait([leaving])
        source.answers.set()
        return await staying

    assert asyncio.run(one_leaves()).key_id == "a"
    assert cache.find("b").key_id == "b"


def test_invented_key_ids__a_thousand_at_once_starve_nobody(cache, source):
    cache.find("a")
    asked = threading.Event()
    source.after_read = lambda: asked.wait(10)  # so long that all ask while one is read

    async def note():
        asked.set()

    async def find_invented():
        invented = (cache.find_async(f"invented-{n}") for n in range(1000))
        return await asyncio.gather(cache.find_async("b"), *invented, note())

    flood = threading.Thread(target=lambda: found.extend(asyncio.run(find_invented())))
    found: list = []
    flood.start()
    while flood.is_alive():
        assert cache.find("a").key_id == "a"
        time.sleep(0.001)
    assert found[0].key_id == "b"
    assert set(found[1:]) == {None}
    assert len(source.reads) <= 1 + 4
    assert sum("a" in read for read in source.reads) == 1


def test_hanging__source_lets_known_ones_be_served_and_others_be_told(cache, source, monkeypatch):
    monkeypatch.setattr(cache_module, "SLICES", 3)
    monkeypatch.setattr("connector_state.credentials.entries.FRESH_SECONDS", 1.2)
    cache.find("a")
    source.answers.clear()
    with pytest.raises(OperationalError):
        cache.find("b")
    for _ in range(30):
        assert cache.find("a").key_id == "a"
        time.sleep(0.05)
    assert cache.serves_known()
    source.change("a")
    source.answers.set()
    wait_until(lambda: cache.find("a") is None, 2, "the look")


def test_waiting__is_bounded(cache, source, monkeypatch):
    monkeypatch.setattr(cache_module, "WAITING_MOST", 10)
    monkeypatch.setattr(cache_module, "SLICES", 2)
    source.answers.clear()

    async def find_many():
        finds = (cache.find_async(f"invented-{n}") for n in range(50))
        return await asyncio.gather(*finds, return_exceptions=True)

    assert {type(answer) for answer in asyncio.run(find_many())} == {OperationalError}
    assert len(cache._waiting) <= 10


def test_thread__that_died_is_replaced(cache, source, monkeypatch):
    cache.find("a")
    died = cache._thread
    source.error = End()
    died.join(5)
    source.error = None
    source.change("a")
    wait_until(lambda: cache.find("a") is None, 5, "a look of another thread")


def test_fork__a_child_has_a_thread_of_its_own():
    source = FakeSource("a")
    cache = ThreadedCache(source)
    os.register_at_fork(after_in_child=cache.reset)
    cache.find("a")
    with cache._lock:  # that nobody releases in the child
        pid = os.fork()
        if pid == 0:
            found = cache.find("a")
            os._exit(0 if found and cache._thread.is_alive() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    source.error = End()
