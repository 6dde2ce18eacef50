"""A streamed answer, put together."""

import time

from chat.assistant.pieces import Pieces


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
