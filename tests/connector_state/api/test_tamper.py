"""A tamper matrix: whatever part of a signed request changes, it opens nothing."""

import string

import pytest
from django_redis import get_redis_connection

from tests.connectors import PREFIX

BODY = b"ab\x00\xff|c"


def request_parts(connector):
    target = connector.path("m365", "delta:user@contoso") + "?ttl=60"
    return {"method": "PUT", "target": target, "body": BODY}


def fields_of(authorization):
    return dict(p.split("=", 1) for p in authorization.removeprefix("DSX-HMAC ").split(", "))


def header_of(fields):
    return "DSX-HMAC " + ", ".join(f"{name}={value}" for name, value in fields.items())


def assert_refused(connector, method, target, body, authorization):
    response = connector.send(method, target, body, authorization)
    assert response.status_code in (400, 401, 403, 404, 405), (response.status_code, target)
    assert not list(get_redis_connection().scan_iter("dsxconnect:*"))


def test_untampered__is_good(connector):
    target = connector.path("m365", "delta:user@contoso") + "?ttl=60"
    assert connector.call("PUT", target, b"v").status_code == 204


def flip(text, at):
    alphabet = string.ascii_letters + string.digits
    other = next(c for c in alphabet if c != text[at])
    return text[:at] + other + text[at + 1 :]


@pytest.mark.parametrize("field", ["key_id", "ts", "nonce", "sig"])
def test_header__each_character_of_each_field(connector, field):
    parts = request_parts(connector)
    authorization = connector.authorization("PUT", parts["target"], BODY)
    fields = fields_of(authorization)
    for at in range(len(fields[field])):
        tampered = header_of({**fields, field: flip(fields[field], at)})
        assert_refused(connector, "PUT", parts["target"], BODY, tampered)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST", "put", "Put", "PUTS"])
def test_method__another(connector, method):
    parts = request_parts(connector)
    authorization = connector.authorization("PUT", parts["target"], BODY)
    assert_refused(connector, method, parts["target"], BODY, authorization)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda t: t.replace("m365", "m366"),
        lambda t: t.replace("delta", "Delta"),
        lambda t: t.replace("%3A", "%3B"),
        lambda t: t.replace("%3A", "%253A"),
        lambda t: t.replace("%40", "%2540"),
        lambda t: t.replace("?", "%3F"),
        lambda t: t.replace("?", "/?"),
        lambda t: t.replace("?ttl", "x?ttl"),
        lambda t: t.replace("/m365/", "/m365/x/"),
        lambda t: t.replace("/m365/", "/m365%2F"),
        lambda t: t.replace("/m365/", "/m365//"),
        lambda t: t.replace("/state/", "/State/"),
        lambda t: t + "%00",
    ],
)
def test_path__each_kind_of_change(connector, tamper):
    parts = request_parts(connector)
    authorization = connector.authorization("PUT", parts["target"], BODY)
    assert_refused(connector, "PUT", tamper(parts["target"]), BODY, authorization)


@pytest.mark.parametrize(
    "query", ["", "?", "?ttl=61", "?ttl=60&", "?&ttl=60", "?TTL=60", "?ttl=%360", "?ttl=60&x=1"]
)
def test_query__each_kind_of_change(connector, query):
    parts = request_parts(connector)
    authorization = connector.authorization("PUT", parts["target"], BODY)
    assert_refused(connector, "PUT", parts["target"].replace("?ttl=60", query), BODY, authorization)


@pytest.mark.parametrize("at", range(len(BODY)))
@pytest.mark.parametrize("byte", [0x00, 0x0A, 0x20, 0x41, 0x7C, 0x7F, 0x80, 0xFE])
def test_body__each_byte_class_at_each_place(connector, at, byte):
    if BODY[at] == byte:
        byte += 1
    parts = request_parts(connector)
    authorization = connector.authorization("PUT", parts["target"], BODY)
    tampered = BODY[:at] + bytes([byte]) + BODY[at + 1 :]
    assert_refused(connector, "PUT", parts["target"], tampered, authorization)


@pytest.mark.parametrize("body", [b"", BODY[:-1], BODY + b"x", BODY[1:], BODY * 2])
def test_body__another_length(connector, body):
    parts = request_parts(connector)
    authorization = connector.authorization("PUT", parts["target"], BODY)
    assert_refused(connector, "PUT", parts["target"], body, authorization)


def test_split__a_body_with_a_separator_can_not_become_another_nonce(connector):
    """Seen against a straightforward build: PUT "a|b" verifies as a longer nonce and body "b"."""
    target = connector.path()
    fields = fields_of(connector.authorization("PUT", target, b"aaaaaaaa|b"))
    for nonce in (f"{fields['nonce']}|aaaaaaaa", "aaaaaaaa"):
        assert_refused(connector, "PUT", target, b"b", header_of({**fields, "nonce": nonce}))


def test_split__a_key_with_a_separator_can_not_become_another_key(connector):
    """Seen: a key with "|" in it verifies as a shorter key with another ts and nonce."""
    hostile = f"{PREFIX}/state/{connector.uuid}/m365/k|1760000000|abcdefgh"
    authorization = connector.authorization("GET", hostile)
    assert_refused(connector, "GET", connector.path(key="k"), b"", authorization)
    assert_refused(connector, "GET", hostile, b"", authorization)
