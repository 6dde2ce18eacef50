"""Values for people to look at: what each is, bounded, and nothing that a browser obeys."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.visible import ESCAPED_MAX_CHARACTERS
from connector_state.admin.presentation import (
    TEXT_MAX_CHARS,
    Kind,
    show,
    survives_a_text_area,
)

MEGABYTE = 1_048_576

# Small pieces, repeated up to a megabyte: what grows when it is shown has to be found so.
huge = st.builds(
    lambda piece, head: (head + piece * (MEGABYTE // max(1, len(piece))))[:MEGABYTE],
    st.one_of(
        st.binary(max_size=8),
        st.text(max_size=4).map(str.encode),
        st.sampled_from([b"[", b"]", b"[1,", b"{}", b"[],", b'{"a":', b'"', b"\\", b"1,", b" "]),
    ),
    st.sampled_from([b"", b"[", b"[" * 19, b"[" * 500, b'{"a":[', b"https://"]),
)


@given(st.one_of(st.binary(max_size=4096), huge))
@settings(max_examples=50, deadline=None)
def test_show__of_any_bytes_is_bounded_and_holds_nothing_unseen(value):
    shown = show(value)
    assert len(shown.text) <= TEXT_MAX_CHARS * ESCAPED_MAX_CHARACTERS
    unseen = {c for c in shown.text if unicodedata.category(c).startswith("C")}
    assert unseen <= {"\n", "\t"}
    assert shown.link in ("", shown.text)


@pytest.mark.parametrize(
    "value, kind",
    [
        (b"", Kind.EMPTY),
        (b"delta-token", Kind.TEXT),
        (b"https://graph.example/v1.0/drive/delta?$deltatoken=a%20b", Kind.LINK),
        (b"HTTP://example.org", Kind.LINK),
        (b"javascript:alert(1)", Kind.TEXT),
        (b"data:text/html,<script>", Kind.TEXT),
        (b" https://example.org", Kind.TEXT),
        (b"https://example.org\n", Kind.TEXT),
        (b"https://", Kind.TEXT),
        (b"https://[", Kind.TEXT),
        ("https://ex\u202eample.org".encode(), Kind.TEXT),
        (b'{"a": 1}', Kind.JSON),
        (b" [1, 2]", Kind.JSON),
        (b"[" + b"9" * 10_000 + b"]", Kind.JSON),
        (b"12", Kind.TEXT),
        (b'{"a": NaN}', Kind.TEXT),
        (b"{broken", Kind.TEXT),
        (b"\xff\xfe", Kind.BINARY),
        (b"a\0b", Kind.BINARY),
    ],
)
def test_show__tells_what_it_is(value, kind):
    assert show(value).kind is kind


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
).filter(lambda value: isinstance(value, list | dict))


@given(json_values, st.sampled_from([None, 1]))
def test_show__json_is_indented_and_still_the_same(value, indent):
    shown = show(json.dumps(value, indent=indent).encode())  # ASCII: nothing is written out
    assert shown.kind is Kind.JSON
    assert json.loads(shown.text) == value


def test_show__json_looks_as_people_write_it():
    value = {"a": [1, {}], "b": {"c": 'x,]" {'}, "d": []}
    assert show(json.dumps(value).encode()).text == json.dumps(value, indent=2)


def test_show__json_keeps_numbers_and_repeated_names_as_stored():
    text = show(b'{"n":1e999,"n":0.10}').text
    assert text == '{\n  "n": 1e999,\n  "n": 0.10\n}'


def test_show__nested_brackets_are_not_indented_for_ever():
    deep = show(b"[" * 500 + b"1" + b"]" * 500)
    assert deep.kind is Kind.JSON
    assert len(deep.text) < 3000
    assert len(show(b"[" * 32_768 + b"]" * 32_768).text) == 65_536


def test_show__binary_is_a_dump_of_its_beginning():
    shown = show(bytes(range(256)) * 4096)
    assert shown.truncated
    first, *_, last = shown.text.splitlines()
    assert first == "00000000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  ................"
    assert last.startswith("00000ff0  f0 f1")


@pytest.mark.parametrize("value", [b"", b"a\nb", b"\n\na\t", "é\u2028".encode()])
def test_survives_a_text_area__text(value):
    assert survives_a_text_area(value)


@pytest.mark.parametrize("value", [b"a\r\nb", b"a\rb", b"\0", b"\x1b", b"\xff", b"\xc2\x85"])
def test_survives_a_text_area__not_what_a_browser_changes(value):
    assert not survives_a_text_area(value)
