"""The lines in which writers stand: bounded, and synced but where a loss does no harm."""

import fcntl
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from chat import locks
from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.errors import StoreRefused
from chat.models import ChatUser, Turn
from chat.retention.purge import purge
from chat.retention.sweep import PurgeOptions
from chat.turns.accept import ChatRequest, accept
from chat.turns.deletion import delete_conversation
from chat.turns.flush import flush_all
from chat.turns.pruning import prune
from common.database import busy
from common.database.busy import DatabaseBusy
from common.sqlite import base
from common.sqlite.queue import WriterQueue
from tests.chat.drive import ALICE, ask, away, hooked

SQLITE = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="SQLite's own")


@pytest.fixture
def queue(tmp_path, monkeypatch) -> WriterQueue:
    """A line of this test's own, in which nobody waits for long."""
    monkeypatch.setattr(busy, "WAIT_SECONDS", 0.2)
    return WriterQueue(str(tmp_path / "writers"))


@contextmanager
def in_turn(queue):
    queue.enter()
    try:
        yield
    finally:
        queue.leave()


def refused_after(queue) -> float:
    began = time.monotonic()
    with pytest.raises(DatabaseBusy) as refusal, in_turn(queue):
        pytest.fail("the line was not free")
    assert refusal.value.code == "busy"
    return time.monotonic() - began


def test_line__behind_another_process_ends(queue, tmp_path):
    with (tmp_path / "writers").open("w") as other:  # locks of another open file, as its would be
        fcntl.flock(other, fcntl.LOCK_EX)
        assert 0.2 <= refused_after(queue) < 5
    with in_turn(queue):
        pass


def test_line__behind_another_thread_ends(queue):
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with in_turn(queue):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(10)
    assert 0.2 <= refused_after(queue) < 5
    leave.set()
    thread.join(10)
    with in_turn(queue):
        pass


def test_line__is_left_after_an_error(queue):
    with pytest.raises(ZeroDivisionError), in_turn(queue):
        raise ZeroDivisionError
    with in_turn(queue):
        pass


def be_written(model, **fields) -> None:
    model.objects.update(**fields)


def much_is_written(repository, chat_store) -> None:
    """All that is written apart from the turns of a healthy conversation."""
    past = timezone.now() - timedelta(days=2)
    repository.before["get"] = [away]
    ask("waits", idempotency_key="k")
    accept(ChatRequest(ALICE, "interrupted", "c1"))
    be_written(Turn, lease_until=past)
    assert flush_all() == (1, 0)
    repository.before["save"] = [refuse]
    assert ask("refused").degraded
    good = chat_store.get_raw()
    chat_store.put_raw(b"corrupt")
    assert ask("kept").degraded
    chat_store.put_raw(good)
    assert not ask("resolved").degraded
    be_written(Turn, accepted_at=past, stored_at=past)
    assert prune()
    assert purge(PurgeOptions(older_than=timezone.now())).purged == 1
    ask("goes")
    repository.before["get"] = [away]
    assert not delete_conversation(ConversationKey(ALICE, "c1"), Deadline(5))
    assert flush_all() == (1, 0)


def refuse():
    raise StoreRefused


@SQLITE
@pytest.mark.django_db(transaction=True)
def test_line__nothing_is_written_beside_it(monkeypatch, queue, chat_store):
    monkeypatch.setattr(base, "queue_of", lambda database: queue)
    beside = []

    def look(execute, statement, *rest):
        if statement.startswith(("INSERT", "UPDATE", "DELETE")) and not queue._threads.locked():
            beside.append(statement)
        return execute(statement, *rest)

    with connection.execute_wrapper(look), hooked(monkeypatch) as repository:
        much_is_written(repository, chat_store)
    assert beside == []


@pytest.mark.django_db(transaction=True)
def test_user_transaction__makes_the_row():
    with locks.user_transaction(ALICE) as user:
        assert user == ChatUser.objects.get(pk=ALICE)


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="PostgreSQL's own")
@pytest.mark.django_db(transaction=True)
def test_row__held_by_another_connection_ends(monkeypatch):
    with locks.user_transaction(ALICE):
        pass
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM chat_chatuser WHERE user_id = %s FOR UPDATE", [ALICE])
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("5s",)
            cursor.execute("SET lock_timeout = '200ms'")
        for lock in (locks.user_transaction, locks.user_locked):
            with pytest.raises(DatabaseBusy) as refusal, lock(ALICE):
                pytest.fail("the row was not free")
            assert refusal.value.code == "busy"
    finally:
        other.close()
        connection.close()
