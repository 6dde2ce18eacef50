"""Deleting more tasks than one turn may: what is named goes, and what stays is named too."""

import re

import pytest

from chat.models import Task
from chat.tools.toolbox import MAX_CALLS
from tests.chat.drive import ALICE, ask

pytestmark = pytest.mark.django_db(transaction=True)
TASKS = 40


@pytest.fixture(autouse=True)
def _tasks() -> None:
    Task.objects.bulk_create(
        Task(user_id=ALICE, number=number, title=f"t{number}") for number in range(1, TASKS + 1)
    )


def left() -> list[int]:
    return list(Task.objects.order_by("number").values_list("number", flat=True))


def going(reply: str) -> list[int]:
    """The tasks that the question below the reply names."""
    return [int(number) for number in re.findall(r"^([0-9]+)\. t[0-9]+$", reply, re.MULTILINE)]


def staying(reply: str) -> list[int]:
    """The tasks that the reply says stay."""
    listed = re.search(r"more \(number ([0-9, ]+)\) stay", reply)
    return [int(number) for number in listed[1].split(",")] if listed else []


@pytest.mark.parametrize(
    "message", ["delete all tasks", "delete " + ", ".join(map(str, range(1, TASKS + 1)))]
)
def test_more_than_a_turn_may__all_are_named_and_the_first_part_goes(message):
    asked = ask(message)
    first, rest = going(asked.reply), staying(asked.reply)
    assert first + rest == list(range(1, TASKS + 1))
    assert f"these {len(first)} can't" in asked.reply
    assert f"{len(rest)} more" in asked.reply
    assert len(asked.tool_calls) == MAX_CALLS
    assert left() == first + rest
    done = ask("yes")
    assert left() == rest
    assert done.reply.count("'t") == len(first)
    assert going(ask("delete all tasks").reply) == rest
    ask("yes")
    assert left() == []


def test_exactly_what_a_turn_may__is_one_question():
    Task.objects.filter(number__gte=MAX_CALLS).delete()
    asked = ask("delete all tasks")
    assert (going(asked.reply), staying(asked.reply)) == (list(range(1, MAX_CALLS)), [])
    ask("yes")
    assert left() == []


def test_numbers_that_are_not_there__are_said_beside_the_question():
    reply = ask("delete 1, 2 and 99").reply
    assert going(reply) == [1, 2]
    assert "no task 99" in reply
