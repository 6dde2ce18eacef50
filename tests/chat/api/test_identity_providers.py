"""Tokens as identity providers really make them: algorithms, key sets, claims and sizes."""

import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from chat.api.bearer import jwks
from chat.api.bearer.jwk import read_key
from connector_state.credentials.counters.failures import LOGGED_AT_MOST
from tests.chat.calls import Api, token
from tests.chat.key_set import ISSUER, public_jwk

pytestmark = pytest.mark.django_db

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
SIGNED = [
    *((RSA, name) for name in ("RS256", "RS384", "RS512", "PS256")),
    *((P256, "ES256"), (ED25519, "EdDSA"), (ed448.Ed448PrivateKey.generate(), "EdDSA")),
]
UNKNOWN_ENTRIES = [
    *({"kty": "AKP", "kid": "pq", "alg": "ML-DSA-65", "pub": "AA"}, {"kty": "oct", "k": "AA"}),
    *({"kty": ["RSA"]}, {"kty": "EC", "crv": "P-1", "x": "AA", "y": "AA"}, {"kty": "RSA"}),
    *({"kty": "RSA", "n": 5, "e": None}, {"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
    *({"kty": "OKP", "crv": "X25519", "x": "AA"}, "text", None, 5, []),
]


def status(bearer: str) -> int:
    return Api("alice", bearer).call("get", "/api/alice/conversations").status_code


def refused(bearer: str, caplog) -> str:
    """Why it was refused, as the log has it."""
    caplog.clear()
    assert status(bearer) == 401
    assert len(caplog.messages) == 1
    assert bearer not in caplog.text
    return caplog.messages[0]


# --- Claims ---


def test_claims__a_clock_that_differs():
    now = int(time.time())
    assert status(token(sub="alice", iat=now + 30, nbf=now + 30)) == 200
    assert status(token(sub="alice", iat=now + 30.5, exp=now - 20.5)) == 200
    assert status(token(sub="alice", iat=now + 600)) == 401


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "ACCESS", None])
def test_claims__token_type_of_others(kind):
    assert status(token(sub="alice", token_type=kind)) == 200


@pytest.mark.parametrize("kind", ["refresh", "Refresh", "ID", "", 5, False, ["Bearer"]])
def test_claims__token_type_of_what_is_no_access_token(kind):
    assert status(token(sub="alice", token_type=kind)) == 401


def test_claims__two_hundred_groups():
    groups = [f"{n:08}-0000-4000-8000-{n:012}" for n in range(240)]
    bearer = token(sub="alice", groups=groups)
    assert 12_000 < len(bearer) < 16_384
    assert status(bearer) == 200
    longer = Api("alice", token(sub="alice", groups=groups * 2))
    assert "16384" in longer.chat("hello").json()["detail"]


def test_claims__client_id_in_place_of_aud(key_set, settings):
    cognito = {"sub": "alice", "aud": ..., "token_use": "access"}
    assert status(key_set.token(client_id="statekeep", **cognito)) == 401
    settings.JWT_AUDIENCE_CLAIM = "client_id"
    assert status(key_set.token(client_id="statekeep", **cognito)) == 200
    for other in ("other", ["statekeep"], None, ...):
        assert status(key_set.token(client_id=other, **cognito)) == 401
    assert status(key_set.token(sub="alice")) == 401  # its aud alone does not do


def test_claims__lists_of_issuers_and_audiences_combine_freely(key_set, settings):
    settings.JWT_ISSUER = [ISSUER, "https://sts.example/"]
    settings.JWT_AUDIENCE = ["statekeep", "api://statekeep"]
    for issuer in settings.JWT_ISSUER:
        for audience in (*settings.JWT_AUDIENCE, ["other", "api://statekeep"]):
            assert status(key_set.token(sub="alice", iss=issuer, aud=audience)) == 200
    assert status(key_set.token(sub="alice", iss=",".join(settings.JWT_ISSUER))) == 401
    assert status(key_set.token(sub="alice", aud="other")) == 401


# --- The log of a 401 ---


def test_log__names_the_check_that_failed_and_the_issuer(key_set, caplog):
    def why(kid="one", **claims):
        return refused(key_set.token(kid, **{"sub": "alice", **claims}), caplog)

    now = int(time.time())
    assert "Invalid issuer; iss 'https://other/'" in why(iss="https://other/")
    assert "Audience doesn't match" in why(aud="other")
    assert "aud ['x', 'y']" in why(aud=["x", "y"])
    assert '"aud" claim' in why(aud=...)
    assert "(iat)" in why(iat=now + 999)
    assert "(nbf)" in why(nbf=now + 999)
    assert "exp has passed" in why(exp=now - 999)
    assert '"exp" claim' in why(exp=...)
    assert "token_type is 'refresh'" in why(token_type="refresh")
    assert "none of the JWKS" in why("two")


def test_log__names_what_is_wrong_with_the_signature(key_set, caplog):
    bearer = key_set.token(sub="alice")
    assert "Signature verification failed" in refused(bearer[:-40] + "A" * 40, caplog)
    assert "alg 'HS256' is none of JWT_ALGORITHMS" in refused(token("x" * 32, sub="alice"), caplog)
    nobody = refused(key_set.token(sub=["alice"]), caplog)
    assert f"names no user; iss '{ISSUER}'" in nobody
    other = key_set.token(_algorithm="RS512", sub="alice")
    assert "key of its kid is not for RS512" in refused(other, caplog)


def test_log__is_bounded_and_escaped(key_set, caplog):
    line = refused(key_set.token(sub="alice", iss="\x1b[2J\nforged \u202e" + "x" * 9_000), caplog)
    assert "\\x1b[2J\\nforged \\u202e" in line
    assert len(line) < 400
    critical = jwt.encode({"sub": "a"}, "k" * 32, headers={"crit": ["x" * 5_000], "x" * 5_000: 1})
    assert len(refused(critical, caplog)) < 400
    deep = json.loads("[" * 200 + "]" * 200)
    assert len(refused(key_set.token(sub="alice", aud=deep), caplog)) < 400


def test_log__says_nothing_more_in_a_flood(caplog):
    assert [status("x") for _ in range(LOGGED_AT_MOST + 5)] == [401] * (LOGGED_AT_MOST + 5)
    assert len(caplog.messages) == LOGGED_AT_MOST


# --- Algorithms and key sets ---


@pytest.mark.parametrize(("private", "algorithm"), SIGNED)
def test_algorithms__of_each_type_of_key(key_set, private, algorithm):
    key_set.entries = [public_jwk(private, kid="one")]
    assert status(key_set.token(_key=private, _algorithm=algorithm, sub="alice")) == 200


def test_algorithms__that_the_setting_does_not_name(key_set, settings):
    settings.JWT_ALGORITHMS = ["ES256"]
    assert status(key_set.token(sub="alice")) == 401


def test_algorithms__only_those_of_the_keys_type_and_members():
    def names(**members):
        found = read_key({**public_jwk(RSA), **members})
        return set(found.algorithms)

    assert names() == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    assert names(alg="PS256") == {"PS256"}
    assert names(use="sig", key_ops=["verify"], x5c=["MII"], x5t="a", ext=True) == names()
    assert names(use=None, key_ops=None, alg=None, kid=5) == names()
    for other in ("ES256", "HS256", "none", "RSA-OAEP", 5, ["RS256"]):
        assert names(alg=other) == set()
    assert names(use="enc") == names(key_ops=["encrypt"]) == names(key_ops="verify") == set()
    assert read_key(public_jwk(P384)).algorithms == {"ES384"}
    assert read_key(public_jwk(ED25519, alg="Ed25519")).algorithms == {"EdDSA"}
    assert read_key({**public_jwk(RSA), "kid": 5}).key_id is None


def test_algorithms__never_a_secret_beside_a_key_set(key_set, settings):
    settings.JWT_ALGORITHMS = [*settings.JWT_ALGORITHMS, "HS256", "none"]
    key_set.entries = [{"kty": "oct", "kid": "one", "k": "eHh4"}, public_jwk(RSA, kid="two")]
    for kid in ("one", "two", None):
        forged = key_set.token(kid, _key="xxx" * 12, _algorithm="HS256", sub="alice")
        assert status(forged) == 401
        assert status(jwt.encode({"sub": "alice", "exp": 10**10}, None, "none")) == 401


def test_key_set__what_is_unknown_in_it_is_skipped(key_set):
    known = public_jwk(RSA, kid="one", something={"new": True}, alg="RS256")
    key_set.entries = [*UNKNOWN_ENTRIES, known, *UNKNOWN_ENTRIES]
    assert status(key_set.token(_key=RSA, sub="alice")) == 200


def test_key_set__a_token_without_kid_where_one_key_fits(key_set):
    key_set.entries = [
        *(public_jwk(P256), public_jwk(RSA), public_jwk(key_set.private, use="enc")),
    ]
    for private, algorithm in ((P256, "ES256"), (RSA, "RS256"), (RSA, "PS256")):
        bearer = key_set.token(None, _key=private, _algorithm=algorithm, sub="alice")
        assert status(bearer) == 200
    key_set.entries.append(public_jwk(key_set.private, kid="three"))
    jwks.forget_keys()
    assert status(key_set.token(None, _key=RSA, sub="alice")) == 401
    assert status(key_set.token("three", sub="alice")) == 200
    assert status(key_set.token("", _key=RSA, sub="alice")) == 401


def test_key_set__one_kid_for_keys_of_two_types(key_set):
    key_set.entries = [public_jwk(P256, kid="one"), public_jwk(RSA, kid="one")]
    assert status(key_set.token(_key=RSA, sub="alice")) == 200
    assert status(key_set.token(_key=P256, _algorithm="ES256", sub="alice")) == 200


def test_key_set__rotated(key_set, monkeypatch):
    assert status(key_set.token(sub="alice")) == 200
    key_set.entries = [public_jwk(P256, kid="two")]
    monkeypatch.setattr(jwks, "ASK_AGAIN_SECONDS", 0)
    assert status(key_set.token("two", _key=P256, _algorithm="ES256", sub="alice")) == 200
    assert status(key_set.token(sub="alice")) == 401
