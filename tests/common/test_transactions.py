"""Transactions of busy paths: whole, and synced but where a loss does no harm."""

import threading

import pytest
from django.db import connection, transaction

from chat.models import ChatUser
from common.database.transactions import in_transaction
from common.sqlite import group_commit
from tests.common.writes import add, stored, sync_setting

SQLITE = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="SQLite's own")

pytestmark = pytest.mark.django_db(transaction=True)


def test_write__is_committed_and_returns_what_it_returns():
    assert in_transaction(lambda: add("a")) == f"a by {threading.get_ident()}"
    connection.close()
    assert stored() == {"a"}


@pytest.mark.parametrize("options", [{}, {"may_be_lost": True}], ids=str)
def test_write__that_fails_is_undone(options):
    def fail() -> None:
        add("a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_transaction(fail, **options)
    assert not stored()
    in_transaction(lambda: add("b"))
    assert stored() == {"b"}


def test_write__in_a_transaction_is_undone_with_it():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        in_transaction(lambda: add("a"))
        raise ZeroDivisionError
    assert not stored()


def statements_of(**options: bool) -> list[str]:
    seen = []
    stored()  # the first statement of a connection brings others along

    def look(execute, statement, *rest):
        seen.append(statement.split(" ")[0])
        return execute(statement, *rest)

    with connection.execute_wrapper(look):
        in_transaction(lambda: ChatUser.objects.update(last_task_id=1), **options)
    return seen


def test_one_statement__has_no_transaction_around_it():
    assert statements_of(is_one_statement=True) == ["UPDATE"]


def test_sync__is_left_out_where_a_loss_does_no_harm_and_nowhere_else():
    assert in_transaction(sync_setting) == "on"
    assert in_transaction(sync_setting, may_be_lost=True) == "off"
    assert in_transaction(sync_setting) == "on"
    with pytest.raises(ZeroDivisionError):
        in_transaction(lambda: 1 / 0, may_be_lost=True)
    assert sync_setting() == "on"


@SQLITE
def test_sync__a_connection_that_could_not_be_put_back_is_closed(monkeypatch):
    execute = group_commit._execute

    def fail(statement):
        if "FULL" in statement:
            raise OSError
        execute(statement)

    monkeypatch.setattr(group_commit, "_execute", fail)
    with pytest.raises(OSError):
        in_transaction(lambda: add("a"), may_be_lost=True)
    assert sync_setting() == "on"
    assert stored() == {"a"}
