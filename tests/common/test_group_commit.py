"""Group commit: threads that wait for SQLite share a transaction, and none suffers by it."""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar

import pytest
from django.db import connection, transaction

from chat.models import ChatUser
from common.database import busy
from common.database.busy import DatabaseBusy
from common.database.transactions import in_transaction
from common.sqlite import group_commit
from tests.common.writes import add, stored, sync_setting

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'sqlite'", reason="SQLite's own"),
]


class Writers:
    """Threads that write, while this one holds the database so that they wait for each other."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self.group = group_commit.own_group()

    def begin(self, write: Callable[[], object], **options: bool) -> "Future[object]":
        """Begin to write in a thread; return when it waits."""
        waiting = len(self.group._waiting)
        future = self.submit(self._write, write, options)
        self.wait_until_waiting(waiting + 1)
        return future

    def submit(self, call: Callable[..., object], *args: object) -> "Future[object]":
        return self._threads.submit(call, *args)

    def wait_until_waiting(self, number: int) -> None:
        until = time.monotonic() + 10
        while len(self.group._waiting) < number:
            assert time.monotonic() < until
            time.sleep(0.001)

    def _write(self, write: Callable[[], object], options: dict[str, bool]) -> object:
        try:
            return in_transaction(write, **options)
        finally:
            connection.close()


@pytest.fixture
def writers() -> Iterator[Writers]:
    with ThreadPoolExecutor(10) as threads:
        yield Writers(threads)


held = transaction.atomic  # the database, by this thread


def test_group__shares_the_transaction_of_the_first(writers):
    with held():
        futures = [writers.begin(lambda name=name: add(name)) for name in "abcdef"]
    names, threads = zip(*(future.result(10).split(" by ") for future in futures), strict=True)
    assert "".join(names) == "abcdef"
    assert len(set(threads)) == 1
    assert stored() == set("abcdef")


def test_one_statement__shares_the_transaction_of_others(writers):
    with held():
        futures = [writers.begin(lambda: add("a"))]
        futures += [
            writers.begin(lambda name=name: add(name), is_one_statement=True) for name in "bc"
        ]
    threads = {future.result(10).split(" by ")[1] for future in futures}
    assert len(threads) == 1
    assert stored() == set("abc")


def test_one_statement__that_is_refused_lets_the_next_one_write(writers, monkeypatch):
    monkeypatch.setattr(busy, "WAIT_SECONDS", 0.2)
    with held():
        alone = writers.submit(writers._write, lambda: add("a"), {"is_one_statement": True})
        with pytest.raises(DatabaseBusy):
            alone.result(10)
    in_transaction(lambda: add("b"))
    assert stored() == {"b"}


def test_group__each_is_written_in_its_own_context(writers):
    caller: ContextVar[str] = ContextVar("caller")

    def write_in_context(name: str) -> str:
        caller.set(name)
        return in_transaction(caller.get)

    with held():
        futures = [writers.submit(write_in_context, name) for name in "abc"]
        writers.wait_until_waiting(3)
    assert [future.result(10) for future in futures] == ["a", "b", "c"]


@pytest.mark.parametrize("fails", "abc")
def test_group__one_that_fails_fails_alone(writers, fails):
    def write(name: str) -> str:
        added = add(name)
        if name == fails:
            raise ZeroDivisionError
        return added

    with held():
        futures = {name: writers.begin(lambda name=name: write(name)) for name in "abc"}
    for name, future in futures.items():
        if name == fails:
            with pytest.raises(ZeroDivisionError):
                future.result(10)
        else:
            assert future.result(10).startswith(name)
    assert stored() == set("abc") - {fails}


def test_group__nobody_waits_for_longer_than_alone(writers, monkeypatch):
    monkeypatch.setattr(busy, "WAIT_SECONDS", 1.5)
    waited = {}

    def note(name: str, began: float) -> None:
        waited[name] = time.monotonic() - began

    with held():
        futures = []
        for name in "abc":
            began = time.monotonic()
            future = writers.begin(lambda name=name: add(name))
            future.add_done_callback(lambda _, name=name, began=began: note(name, began))
            futures.append(future)
            time.sleep(0.5)
        for future in futures:
            with pytest.raises(DatabaseBusy):
                future.result(10)
    assert all(1.5 <= seconds < 2.4 for seconds in waited.values()), waited
    assert not stored()
    in_transaction(lambda: add("d"))
    assert stored() == {"d"}


def test_group__of_many_threads_writes_all_that_does_not_fail():
    def write_some(thread: int) -> set[str]:
        chance, added = random.Random(thread), set()
        for number in range(60):
            name, fails = f"{thread}-{number}", chance.random() < 0.1

            def write(name: str = name, fails: bool = fails) -> str:
                ChatUser.objects.create(user_id=name)
                return name if not fails else str(1 / 0)

            options = {
                "may_be_lost": chance.random() < 0.4,
                "is_one_statement": not fails and chance.random() < 0.3,
            }
            with suppress(ZeroDivisionError):
                added.add(in_transaction(write, **options))
        connection.close()
        return added

    with ThreadPoolExecutor(16) as threads:
        added = set().union(*threads.map(write_some, range(16)))
    assert stored() == added
    assert 700 < len(added) < 960


def test_sync__a_commit_without_takes_none_that_needs_it(writers):
    with held():
        futures = [
            writers.begin(sync_setting, may_be_lost=may_be_lost)
            for may_be_lost in (True, False, True, False)
        ]
    assert [future.result(10) for future in futures] == ["off", "on", "off", "on"]


def test_sync__one_that_needs_it_takes_the_others_along(writers):
    with held():
        futures = [
            writers.begin(sync_setting, may_be_lost=may_be_lost)
            for may_be_lost in (False, True, True)
        ]
    assert [future.result(10) for future in futures] == ["on", "on", "on"]
