"""JSON as the RFC has it."""

import pytest

from common import strict_json


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "", "{", "[" * 100_000])
def test_loads__refuses_what_is_not_json(text):
    with pytest.raises(ValueError):
        strict_json.loads(text)


def test_loads__takes_the_options_of_json():
    assert strict_json.loads('{"a": 1e999, "a": [1, true]}') == {"a": [1, True]}
    assert strict_json.loads("9" * 10_000, parse_int=str) == "9" * 10_000


def test_loads_at__tells_where_the_value_ends():
    assert strict_json.loads_at('a{"b": 1} c', 1) == ({"b": 1}, 9)
    for text in ("a[NaN]", "a", "a" + "[" * 100_000):
        with pytest.raises(ValueError):
            strict_json.loads_at(text, 1)


def test_unique_names__refuses_a_repeated_name_at_any_depth():
    def read(text):
        return strict_json.loads(text, object_pairs_hook=strict_json.unique_names)

    assert read('{"a": {"a": 1}, "b": 2}') == {"a": {"a": 1}, "b": 2}
    with pytest.raises(ValueError, match="repeated"):
        read('{"a": [{"b": 1, "b": 1}]}')
