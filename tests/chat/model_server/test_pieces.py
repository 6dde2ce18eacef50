"""A streamed answer, put together."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from chat.model_server import streaming
from chat.model_server.pieces import Pieces


def delta(text: str) -> dict:
    return {"choices": [{"delta": {"content": text}}]}


def test_pieces__a_long_thought_costs_little():
    pieces = Pieces()
    began = time.process_time()
    shown = [pieces.add(delta(text)) for text in ("<think>", *["word "] * 20_000, "</thi", "nk>\n")]
    took = time.process_time() - began
    assert not any(shown)
    assert [pieces.add(delta(text)) for text in ("\n", "Hello", " you")] == ["", "Hello", " you"]
    assert took < 5  # seconds; each word once cost as much as all before it


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch) -> None:
    """What the connection has received is one chunk; here each is one, and would have a pause."""
    monkeypatch.setattr(streaming, "TOGETHER_SECONDS", 0)


def events(chunks: list[bytes]) -> list[bytes]:
    async def received() -> AsyncIterator[bytes]:
        for chunk in chunks[1:]:
            yield chunk

    async def collect() -> list[bytes]:
        found = streaming._events(chunks[0], received())
        return [event async for together in found for event in together]

    return asyncio.run(collect())


def test_events__an_endless_line_in_small_chunks_costs_little():
    chunks = [b"data: ", *[b"x" * 64] * 65_536, b"\n"]
    began = time.process_time()
    (data,) = events(chunks)
    assert len(data) == 64 * 65_536
    assert time.process_time() - began < 10  # joined again and again they take minutes


def test_events__are_lines_however_they_are_cut():
    stream = (
        b"data: one\r\n\r\n: a comment\n\ndata:two\n\ndata:\nevent: x\ndata: [DONE]\n\ndata: cut"
    )
    for size in range(1, len(stream) + 1):
        cut = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert events(cut) == [b"one", b"two", b"[DONE]"]
