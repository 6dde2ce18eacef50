"""What a model thought, put together from fragments."""

import pytest

from chat.model_server.stream.pieces import Pieces

SIGNED = [{"type": "thinking", "thinking": "The user", "signature": "abc"}]
REDACTED = {"type": "redacted_thinking", "data": "x"}


@pytest.mark.parametrize(
    ("name", "fragments", "expected"),
    [
        (
            "reasoning_details",
            [
                [{"type": "reasoning.text", "text": "The ", "index": 0, "format": "f"}],
                [{"type": "reasoning.text", "text": "user", "index": 0, "signature": None}],
                [{"type": "reasoning.encrypted", "data": "x", "index": 0, "id": "e"}],
                [{"type": "reasoning.text", "signature": "abc", "index": 0, "id": "t"}],
                [{"type": "reasoning.text", "signature": "", "index": 0, "format": None}],
                [{"text": "Another", "index": 1}, {"text": ".", "index": 1}],
                [{"type": "reasoning.encrypted", "data": "y", "index": 0, "id": "f"}],
            ],
            [
                {
                    "type": "reasoning.text",
                    "text": "The user",
                    "index": 0,
                    "format": "f",
                    "signature": "abc",
                    "id": "t",
                },
                {"type": "reasoning.encrypted", "data": "x", "index": 0, "id": "e"},
                {"text": "Another.", "index": 1},
                {"type": "reasoning.encrypted", "data": "y", "index": 0, "id": "f"},
            ],
        ),
        (
            "reasoning_details",
            [
                [{"type": "reasoning.summary", "summary": "a", "index": 0}],
                [{"type": "reasoning.summary", "summary": "b", "index": 0}, "?"],
                [{"type": "reasoning.summary", "summary": "c"}, None],
                [{"type": "reasoning.summary", "summary": "d"}],
            ],
            [
                {"type": "reasoning.summary", "summary": "ab", "index": 0},
                "?",
                {"type": "reasoning.summary", "summary": "c"},
                None,
                {"type": "reasoning.summary", "summary": "d"},
            ],
        ),
        (
            "thinking_blocks",
            [
                [{"type": "thinking", "thinking": "The ", "signature": ""}],
                [{"type": "thinking", "thinking": "user", "signature": ""}],
                [{"type": "thinking", "thinking": "", "signature": "abc"}],
                [REDACTED],
                [REDACTED],
                SIGNED,
                SIGNED,
            ],
            [*SIGNED, REDACTED, REDACTED, *SIGNED, *SIGNED],
        ),
        ("reasoning_content", ["The ", "", "user"], "The user"),
    ],
)
def test_details__go_back_whole(name, fragments, expected):
    pieces = Pieces()
    for fragment in fragments:
        pieces.add({"choices": [{"delta": {name: fragment}}]})
    (choice,) = pieces.document["choices"]
    assert choice["message"][name] == expected
