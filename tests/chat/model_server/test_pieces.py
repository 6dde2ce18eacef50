"""A streamed answer, put together."""

import time

import pytest

from chat.model_server.stream.pieces import Pieces
from chat.model_server.stream.sse import Parser
from chat.model_server.text.thoughts import read_said

FINAL = "<|channel|>final<|message|>"


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


def events(chunks: list[bytes]) -> list[bytes]:
    parser = Parser()
    found = [event for chunk in chunks for event in parser.feed(chunk)]
    return [data for _, data in (*found, *parser.close())]


def test_events__an_endless_line_in_small_chunks_costs_little():
    chunks = [b"data: ", *[b"x" * 64] * 65_536, b"\n"]
    began = time.process_time()
    (data,) = events(chunks)
    assert len(data) == 64 * 65_536
    assert time.process_time() - began < 10  # joined again and again they take minutes


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (
            b"data: 1\r\n\r\n: a comment\n\ndata:2\n\ndata:\nevent: x\ndata: [DONE]\n\n",
            [b"1", b"2", b"[DONE]"],
        ),
        (b"data: 1\r\rdata: 2\r\r", [b"1", b"2"]),
        (b"\xef\xbb\xbfdata: 1\n\n", [b"1"]),
        (b"data: 1\ndata: 2\ndata: 3", [b"1", b"2", b"3"]),
        (b"data: {\ndata: 1}\n\ndata: 2\n\n", [b"{\n1}", b"2"]),
        (b"data: [DONE]", [b"[DONE]"]),
        (b'data: "\xe9"\ndata: 2\n\n', [b'"\xe9"', b"2"]),
    ],
)
def test_events__however_they_are_cut(stream, expected):
    for size in range(1, len(stream) + 1):
        cut = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert events(cut) == expected


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_events__are_there_with_their_last_byte(end):
    assert [data for _, data in Parser().feed(b"data: 1" + end)] == [b"1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Done.", "Done."),
        (" <think>hm</think>\nDone.", "Done."),
        ("<thinking>hm</thinking><think>so</think>Done.", "Done."),
        ("[THINK]hm[/THINK] Done.", "Done."),
        (
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Done.<|return|>",
            "Done.",
        ),
        (f"{FINAL}Done.", "Done."),
        ("Okay, the user wants\n</think>\n\nDone.", "Done."),
        ("<think>cut off in the mid", ""),
        ("<|channel|>analysis<|message|>hm", ""),
        ("", ""),
        ("<", "<"),
        ("<th", "<th"),
        ("<b>Done</b>", "<b>Done</b>"),
        (
            "Write <think> first, and then\n</think>\nafter it",
            "Write <think> first, and then\n</think>\nafter it",
        ),
        ("It ends with `</think>`, said the page.", "It ends with `</think>`, said the page."),
    ],
)
def test_thoughts__are_no_part_of_an_answer(text, expected):
    assert read_said(text)[0].strip() == expected
