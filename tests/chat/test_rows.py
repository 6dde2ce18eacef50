"""Rows by equality, beside what the ORM says of them."""

import pytest
from django.utils import timezone

from chat import rows
from chat.models import Conversation, Turn
from tests.chat.drive import ALICE, ask

pytestmark = pytest.mark.django_db


@pytest.fixture
def turns() -> list[Turn]:
    return [
        Turn.objects.create(
            id=name,
            user_id=ALICE,
            conversation_id="c1",
            id_is_integer=False,
            accepted_at=timezone.now(),
            message=f"message {name}",
            tool_calls=[{"tool": name}],
        )
        for name in ("a", "b", "c")
    ]


def as_read(model, **where):
    return list(model.objects.filter(**where).values())


def test_find__gives_what_the_orm_gives(turns):
    for model in (Turn, Conversation):
        ask("hello", "c2")
        found = rows.find(model, {"user_id": ALICE, "conversation_id": "c2"})
        names = [field.attname for field in model._meta.concrete_fields]
        expected = as_read(model, user_id=ALICE, conversation_id="c2")
        assert [{name: getattr(row, name) for name in names} for row in found] == expected


def test_find__one_of_a_tuple_and_some_fields(turns, django_assert_num_queries):
    found = rows.find(Turn, {"user_id": ALICE, "id": ("a", "c", "x")}, ["id", "tool_calls"])
    with django_assert_num_queries(0):
        assert sorted((row.id, row.tool_calls[0]["tool"]) for row in found) == [
            ("a", "a"),
            ("c", "c"),
        ]
    assert rows.find(Turn, {"id": "x"}) == []


def test_update__changes_these_rows_alone_and_counts_them(turns):
    now = timezone.now()
    values = {"reply": "ä %s '", "answered_at": now, "degraded": True, "tool_calls": [{"n": 1}]}
    before = as_read(Turn, id="b")
    assert rows.update(Turn, {"id": ("a", "c"), "user_id": ALICE}, **values) == 2
    assert rows.update(Turn, {"id": "x"}, reply="no") == 0
    assert as_read(Turn, id="b") == before
    for row in Turn.objects.filter(id__in=("a", "c")):
        assert {name: getattr(row, name) for name in values} == values
    assert rows.update(Turn, {"id": "a"}, reply=None, answered_at=None) == 1
    assert Turn.objects.get(id="a").reply is None
