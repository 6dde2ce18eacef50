"""Bodies as they come in: their limits, their time, their room."""

import asyncio
from collections.abc import Iterable

import pytest

from config.door import receive
from config.door.receive import Body, BodyRefused, ClientLeft, Room


def pieces(*content: bytes, ends: bool = True):
    """A server's `receive` that hands over these pieces; it stalls if the body doesn't end."""
    messages = [{"type": "http.request", "body": each, "more_body": True} for each in content]
    if ends:
        messages[-1]["more_body"] = False

    async def receive_next():
        if not messages:
            await asyncio.sleep(60)
        return messages.pop(0)

    return receive_next


def received(content: Iterable[bytes], most: int = 1_000_000, room: Room | None = None) -> bytes:
    async def run() -> bytes:
        body = Body(pieces(*content))
        try:
            return (await body.receive(most, room or Room(10_000_000))).read()
        finally:
            body.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    "content", [[b""], [b"abc"], [b"a", b"", b"bc"], [b"x" * 40_000] * 5], ids=len
)
def test_receive__returns_what_came(content):
    assert received(content) == b"".join(content)


@pytest.mark.parametrize(
    "ends", [{"type": "http.request", "more_body": False}, {"type": "http.disconnect"}], ids=str
)
def test_discard__takes_what_is_left_and_no_more(ends):
    messages = [{"type": "http.request", "body": b"x", "more_body": True}] * 3 + [ends, None]

    async def receive_next():
        return messages.pop(0)

    asyncio.run(Body(receive_next).discard())
    assert messages == [None]


def test_discard__after_the_whole_body_waits_for_nothing():
    async def run() -> None:
        body = Body(pieces(b"abc"))
        await body.receive(10, Room(10))
        await body.discard()

    asyncio.run(asyncio.wait_for(run(), 1))


def test_discard__gives_up_on_a_body_that_never_ends(monkeypatch):
    monkeypatch.setattr(receive, "DISCARD_SECONDS", 0.05)
    asyncio.run(asyncio.wait_for(Body(pieces(b"abc", ends=False)).discard(), 30))


def test_receive__a_large_one_is_on_disk():
    async def run() -> bool:
        body = Body(pieces(b"x" * 40_000, b"x" * 40_000))
        file = await body.receive(100_000, Room(100_000))
        is_on_disk = bool(file._rolled)
        body.close()
        return is_on_disk

    assert asyncio.run(run())


@pytest.mark.parametrize("content", [[b"x" * 11], [b"x" * 10, b"x"]])
def test_receive__beyond_its_limit_is_413(content):
    with pytest.raises(BodyRefused) as refused:
        received(content, most=10)
    assert (refused.value.status, refused.value.code) == (413, "body_too_large")


def test_room__is_shared_and_given_back():
    room = Room(10)
    with pytest.raises(BodyRefused) as refused:
        received([b"x" * 6, b"x" * 6], room=room)
    assert (refused.value.status, refused.value.code) == (503, "busy")
    assert room.free == 10
    assert received([b"x" * 10], room=room) == b"x" * 10
    assert room.free == 10


@pytest.mark.parametrize("came", [[], [b"x"] * 20])
def test_receive__that_stalls_or_trickles_is_408(monkeypatch, came):
    monkeypatch.setattr(receive, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(receive, "LOOK_SECONDS", 0.02)

    async def run() -> None:
        body = Body(pieces(b"", *came, ends=False))
        try:
            await body.receive(100, Room(100))
        finally:
            body.close()

    with pytest.raises(BodyRefused) as refused:
        asyncio.run(run())
    assert (refused.value.status, refused.value.code) == (408, "body_too_slow")


def test_receive__that_is_late_already_cancels_nothing_else(monkeypatch):
    monkeypatch.setattr(receive, "WAIT_SECONDS", -1)

    async def run() -> bytes:
        file = await Body(pieces(b"abc")).receive(10, Room(10))
        await asyncio.sleep(0)
        return file.read()

    assert asyncio.run(run()) == b"abc"


def test_receive__that_somebody_cancels_is_cancelled(monkeypatch):
    monkeypatch.setattr(receive, "LOOK_SECONDS", 0.01)

    async def never():
        await asyncio.sleep(60)

    async def run() -> None:
        receiving = asyncio.create_task(Body(never).receive(100, Room(100)))
        await asyncio.sleep(0.03)  # looks find it in time
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving

    asyncio.run(run())


def test_receive__of_a_client_that_left_raises_past_every_handler():
    async def leave():
        return {"type": "http.disconnect"}

    with pytest.raises(ClientLeft):
        asyncio.run(Body(leave).receive(10, Room(10)))
    assert not issubclass(ClientLeft, Exception)
