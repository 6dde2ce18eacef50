"""Statements that are compiled once."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from chat.models import Turn
from common.database.statements import Insert, Parameter, Select, Update

pytestmark = pytest.mark.django_db


def turn(number: int, **more) -> Turn:
    fields = {
        "id": f"{number:032x}",
        "user_id": "alice",
        "conversation_id": "1",
        "id_is_integer": True,
        "accepted_at": timezone.now(),
        "message": "50 % of \"it\" is 'ñ'",
        "confirmed_deletes": [1, 2],
    }
    return Turn(**{**fields, **more})


def stored_fields(row: Turn) -> dict:
    return Turn.objects.filter(pk=row.pk).values().get()


def test_insert__stores_what_save_does():
    ours, theirs = turn(1), turn(2)
    theirs.accepted_at = ours.accepted_at
    Insert(Turn).run(ours)
    theirs.save(force_insert=True)
    assert {**stored_fields(ours), "id": theirs.id} == stored_fields(theirs)
    ours.message = "changed"
    ours.save()  # it knows that it is stored
    assert stored_fields(ours)["message"] == "changed"


def test_insert__of_a_row_that_is_there_breaks_the_transaction():
    Insert(Turn).run(turn(1))
    with pytest.raises(IntegrityError), transaction.atomic():
        try:
            Insert(Turn).run(turn(1))
        finally:
            assert connection.needs_rollback


def test_select__returns_what_the_orm_does():
    now = timezone.now()
    for number in range(4):
        turn(number, accepted_at=now + timedelta(seconds=number), tool_calls=[{"a": None}]).save()
    turn(9, user_id="bob").save()
    since = Select(
        lambda: Turn.objects.filter(
            user_id=Parameter("user_id"), accepted_at__gte=Parameter("since"), state="accepted"
        )
    )
    for second in (0, 2, 9):
        since_then = now + timedelta(seconds=second)
        expected = Turn.objects.filter(user_id="alice", accepted_at__gte=since_then).values()
        found = since.rows(user_id="alice", since=since_then)
        shown = [{name: getattr(row, name) for name in stored_fields(row)} for row in found]
        assert shown == list(expected)
    assert since.first(user_id="nobody", since=now) is None


def test_select__of_some_fields_reads_the_others_when_they_are_asked_for(
    django_assert_num_queries,
):
    turn(1).save()
    ids = Select(lambda: Turn.objects.filter(user_id=Parameter("user_id")).only("id"))
    row = ids.first(user_id="alice")
    with django_assert_num_queries(0):
        assert row.id == turn(1).id
    with django_assert_num_queries(1):
        assert row.message == turn(1).message


def test_update__changes_those_rows_and_counts_them():
    for number, user in enumerate(("alice", "alice", "bob")):
        turn(number, user_id=user, reply="x", lease_until=timezone.now()).save()
    change = Update(
        lambda: Turn.objects.filter(user_id=Parameter("user_id")),
        *("reply", "tool_calls"),
        message=F("id"),
        refusal=Parameter("why"),
        lease_until=None,
    )
    row = turn(7, reply=None, tool_calls=[{"tool": "add_task"}])
    assert change.run(row, why="None") == 2
    assert change.run(user_id="nobody", reply=None, tool_calls=[], why="") == 0
    for changed in Turn.objects.filter(user_id="alice"):
        assert (changed.reply, changed.tool_calls) == (None, [{"tool": "add_task"}])
        assert (changed.message, changed.refusal, changed.lease_until) == (changed.id, "None", None)
    assert Turn.objects.get(user_id="bob").reply == "x"


def test_statement__is_compiled_once():
    built = []

    def build():
        built.append(1)
        return Turn.objects.filter(pk=Parameter("pk"))

    by_id = Select(build)
    for number in range(3):
        assert by_id.first(pk=str(number)) is None
    assert len(built) == 1
