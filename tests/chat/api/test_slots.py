"""The queue for the slots of messages."""

import asyncio

import pytest

from chat.api.slots import turns
from chat.errors import RateLimited, Unavailable


@pytest.fixture(autouse=True)
def one_slot(settings):
    settings.CHAT_MAX_TURNS_PER_PROCESS = 1
    settings.CHAT_QUEUE_SECONDS = 60


def test_queue__gives_slots_in_the_order_of_coming(settings):
    settings.CHAT_MAX_TURNS_PER_PROCESS = 3
    served = []

    async def take(user: str) -> None:
        give_back = await turns.take_in_order(user)
        served.append(user)
        give_back()

    async def all_of_them() -> None:
        slots = [turns.take() for _ in range(3)]
        async with asyncio.TaskGroup() as tasks:
            for user in ("a", "b", "c"):
                tasks.create_task(take(user))
            await asyncio.sleep(0)
            assert turns.take_if_free() is None
            assert served == []
            slots.pop()()
        for give_back in slots:
            give_back()

    asyncio.run(all_of_them())
    assert served == ["a", "b", "c"]
    turns.take()()  # and all slots are free again


def test_queue__has_an_end_in_time(settings):
    settings.CHAT_QUEUE_SECONDS = 0.01
    give_back = turns.take()
    with pytest.raises(Unavailable) as refusal:
        asyncio.run(turns.take_in_order("a"))
    assert refusal.value.code == "busy"
    give_back()
    turns.take()()  # nothing was left to who has gone


@pytest.mark.parametrize(
    ("limit", "users", "refusal"),
    [
        ("CHAT_MAX_TURNS_PER_PROCESS", "abc", Unavailable),
        ("CHAT_MAX_TURNS_PER_USER", "aaa", RateLimited),
    ],
)
def test_queue__has_an_end_in_number(settings, limit, users, refusal):
    settings.CHAT_MAX_TURNS_PER_PROCESS = 9
    slots = [turns.take() for _ in range(9)]
    setattr(settings, limit, 2)

    async def fill() -> None:
        *queued, last = [turns.take_in_order(user) for user in users]
        waiting = [asyncio.create_task(one) for one in queued]
        await asyncio.sleep(0)
        with pytest.raises(refusal):
            await last
        for give_back in slots[:2]:
            give_back()
        for one in waiting:
            (await one)()

    asyncio.run(fill())
    for give_back in slots[2:]:
        give_back()
    turns.take()()
