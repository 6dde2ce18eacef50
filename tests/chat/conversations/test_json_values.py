"""Text and JSON: what is refused, cleaned and cut."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.conversations.json_values import (
    cap_object,
    check_object,
    check_text,
    clean_text,
    encoded_size,
)
from tests.chat.samples import JSON, TEXT


def test_clean_text__replaces_what_check_text_refuses() -> None:
    assert clean_text("a\x00b\x1b\ud800\tc\r\n\x7f") == "a\ufffdb\ufffd\ufffd\tc\r\n\ufffd"
    with pytest.raises(ValueError, match=r"U\+001B"):
        check_text("\x1b[2J")
    assert check_text("tab\t, newline\n, ä🍦") == "tab\t, newline\n, ä🍦"


def test_cap_object__what_fits_is_not_touched() -> None:
    result = {"success": True, "tasks": [{"id": 1}]}
    assert cap_object(result, 256) is result


def test_cap_object__keeps_the_small_and_says_that_it_was_cut() -> None:
    tasks = [{"task_id": number, "title": "Buy milk"} for number in range(1000)]
    capped = cap_object({"tasks": tasks, "count": 1000, "success": True}, 512)
    assert capped["truncated"] is True
    assert capped["original_bytes"] == encoded_size(
        {"tasks": tasks, "count": 1000, "success": True}
    )
    assert (capped["count"], capped["success"]) == (1000, True)
    assert capped["tasks"] == tasks[: len(capped["tasks"])]
    assert 5 < len(capped["tasks"]) < 20


_ANY_OBJECT = st.dictionaries(TEXT, JSON | st.text("ä\\\n🍦", min_size=200), max_size=6)


@given(value=_ANY_OBJECT, max_bytes=st.integers(256, 1000))
def test_cap_object__fits_always(value: dict[str, Any], max_bytes: int) -> None:
    capped = cap_object(value, max_bytes)
    assert encoded_size(check_object(capped)) <= max_bytes
    assert capped == value or capped["truncated"] is True
