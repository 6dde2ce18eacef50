"""Signing, without Django: the connectors' own vectors, the parser, and what a signature opens."""

import base64
import json
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector_state.credentials import signing
from connector_state.errors import SignatureRefused

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "dsx_hmac.json").read_text())
STATE = "/dsx-connect/api/v1/connectors/state/3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"
GOOD = "DSX-HMAC key_id=kid+/=, ts=1760000000, nonce=abcdefgh, sig=" + "A" * 43 + "="


def body_of(case: dict) -> bytes:
    if "body_repeat" in case:
        text, times = case["body_repeat"]
        return text.encode() * times
    return base64.b64decode(case["body_base64"])


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
@pytest.mark.parametrize("server_knows_target", [True, False])
def test_verify__accepts_what_connectors_sign(case, server_knows_target):
    header = signing.parse_authorization_header(case["authorization"])
    raw_path, _, query = case["path_and_query"].partition("?")
    path = unquote_to_bytes(raw_path).decode()
    key = path.split("/", 8)[8]
    exact = case["path_and_query"].encode() if server_knows_target else None
    targets = signing.candidate_targets(path, key, query.encode(), exact)
    assert signing.verify(
        VECTORS["secret"].encode(), header, case["method"], targets, body_of(case)
    )


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_sign__makes_the_connectors_signature(case):
    signature = signing.sign(
        VECTORS["secret"].encode(),
        case["method"],
        case["path_and_query"].encode(),
        str(case["ts"]),
        case["nonce"],
        body_of(case),
    )
    assert case["authorization"].endswith(f"sig={signature}")


def test_parse__reads_base64_with_equals_signs():
    header = signing.parse_authorization_header(GOOD)
    assert header == signing.AuthorizationHeader("kid+/=", "1760000000", "abcdefgh", "A" * 43 + "=")


def test_parse__takes_any_order_and_spacing():
    shuffled = "dsx-hmac sig=" + "A" * 43 + "=,nonce=abcdefgh,   ts=1,key_id=k"
    assert signing.parse_authorization_header(shuffled).key_id == "k"


@pytest.mark.parametrize("value", ["", "Bearer abc", "Basic eA==", "DSX-HMACkey_id=k", "DSX"])
def test_parse__foreign_scheme_is_none(value):
    assert signing.parse_authorization_header(value) is None


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("nothing", "DSX-HMAC"),
        ("a missing nonce", GOOD.replace("nonce=abcdefgh, ", "")),
        ("a duplicate", GOOD + ", ts=1760000001"),
        ("an unknown field", GOOD + ", v=1"),
        ("a residue", GOOD + ","),
        ("words", GOOD + " and more"),
        ("a quoted value", GOOD.replace("kid+/=", '"kid"')),
        ("a pipe in the nonce", GOOD.replace("abcdefgh", "abcd|efgh")),
        ("a short nonce", GOOD.replace("abcdefgh", "abc")),
        ("a long nonce", GOOD.replace("abcdefgh", "a" * 65)),
        ("a signed ts", GOOD.replace("1760000000", "+1760000000")),
        ("a ts with underscore", GOOD.replace("1760000000", "1_760000000")),
        ("full-width digits", GOOD.replace("1760000000", "\uff11\uff17" + "\uff10" * 8)),
        ("a long ts", GOOD.replace("1760000000", "176000000000")),
        ("a short sig", GOOD.replace("A" * 43, "A" * 42)),
        ("a sig of url-safe base64", GOOD.replace("A" * 43, "_" + "A" * 42)),
        ("an oversized header", GOOD.replace("kid+/=", "k" * 512)),
        ("a newline", GOOD + "\n"),
        ("a tab", GOOD.replace(", ts", ",\tts")),
    ],
)
def test_parse__refuses(what, value):
    with pytest.raises(SignatureRefused) as refusal:
        signing.parse_authorization_header(value)
    assert refusal.value.code == "malformed_header"


def targets_of(key: str, query: str = "", exact: str | None = None) -> list[bytes]:
    return list(
        signing.candidate_targets(
            f"{STATE}/m365/{key}", key, query.encode(), exact.encode() if exact else None
        )
    )


@pytest.mark.parametrize(
    ("client", "key", "sent"),
    [
        ("connectors", "delta:user@contoso", "delta%3Auser%40contoso"),
        ("connectors", "a/b c", "a%2Fb%20c"),
        ("curl", "delta:user@contoso", "delta:user@contoso"),
        ("curl", "a/b", "a/b"),
        ("requests", "it's(1)", "it's(1)"),
        ("httpx", "ключ", quote("ключ")),
        ("javascript", "a b'(c)!*", "a%20b'(c)!*"),
        ("javascript", "a/b:c", "a%2Fb%3Ac"),
        ("decoded", "a b", "a b"),
    ],
)
def test_candidate_targets__holds_what_each_client_signs(client, key, sent):
    assert f"{STATE}/m365/{sent}".encode() in targets_of(key)


def test_candidate_targets__an_unusual_encoding_is_good_where_the_server_supplies_it():
    exact = f"{STATE}/m365/%64elta%3auser"
    assert exact.encode() not in targets_of("delta:user")
    assert exact.encode() in targets_of("delta:user", exact=exact)


@pytest.mark.parametrize(
    ("key", "query", "signed"),
    [
        ("delta%3Auser", "", f"{STATE}/m365/delta%3Auser"),
        ("delta?ttl=60", "", f"{STATE}/m365/delta?ttl=60"),
        ("delta", "ttl=60", f"{STATE}/m365/delta"),
        ("a|1|b", "", f"{STATE}/m365/a|1|b"),
    ],
)
def test_candidate_targets__leaves_out_what_opens_something_else(key, query, signed):
    assert signed.encode() not in targets_of(key, query, exact=signed)


@pytest.mark.parametrize("slash", ["%2F", "%2f"])
def test_candidate_targets__an_encoded_slash_before_the_key_is_not_tried(slash):
    exact = f"{STATE}/m365{slash}x/y"
    assert exact.encode() not in targets_of("x/y", exact=exact)
    whole = f"{STATE}{slash}m365/x".encode()
    assert whole not in list(signing.candidate_targets(f"{STATE}/m365/x", "", b"", whole))


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
TRICKY = st.text(st.sampled_from("a%2F3A:/?|=&@ é"), min_size=1, max_size=8)


@given(st.one_of(TEXT, TRICKY), st.text(st.sampled_from("a=%&?|7C"), max_size=6))
@example("delta%3Auser", "")
@example("a?b", "b")
def test_candidate_targets__no_signed_string_opens_two_resources(key, query):
    for target in targets_of(key, query, exact=f"{STATE}/m365/{quote(key)}?{query}"):
        raw_path, _, raw_query = target.partition(b"?")
        # Which resource a target opens is a function of the target alone.
        assert unquote_to_bytes(raw_path) == f"{STATE}/m365/{key}".encode()
        assert raw_query == query.encode()
        assert b"|" not in target


@given(st.data())
def test_canonical_request__splits_in_one_way_only(data):
    """Whoever is given the bytes can tell every field of them, whatever the body holds."""
    field = st.text(st.sampled_from("aZ09+/_=-"), min_size=8, max_size=64)
    ts = data.draw(st.from_regex(r"\A[0-9]{1,11}\Z"))
    nonce, body = data.draw(field), data.draw(st.binary(max_size=30))
    method = data.draw(st.sampled_from(["GET", "PUT", "DELETE"]))
    target = data.draw(st.sampled_from(targets_of("a|b") + targets_of("x y", "q=1")))
    message = signing.canonical_request(method, target, ts, nonce, body)
    assert message.split(b"|", 4) == [method.encode(), target, ts.encode(), nonce.encode(), body]
