"""Answers of the APIs."""

import json

import pytest

from common.json_answers import json_bytes, json_response, no_content


@pytest.mark.parametrize("data", [{"a": "é\u2028👍"}, {"\ud800": ["\udfff", "\\ud800"]}, None])
def test_json_bytes__are_utf8_and_the_same_value(data):
    assert json.loads(json_bytes(data).decode()) == data


def test_json_response__is_kept_by_no_cache():
    response = json_response({"a": 1}, {"ETag": '"x"'}, status=201)
    assert (response.status_code, response.content) == (201, b'{"a":1}')
    assert dict(response.items()) == {
        "Content-Type": "application/json",
        "ETag": '"x"',
        "Cache-Control": "no-store",
    }


def test_no_content__has_no_type():
    response = no_content({"ETag": '"x"'})
    assert (response.status_code, response.content) == (204, b"")
    assert dict(response.items()) == {"ETag": '"x"', "Cache-Control": "no-store"}
