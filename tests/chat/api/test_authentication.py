"""Bearer tokens: what opens a user's own paths, and all that opens nothing."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from chat.api.authentication import user_id_in
from chat.api.bearer import jwk, jwks
from chat.errors import Unavailable
from chat.models import ChatUser
from tests.chat.calls import Api, token

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery staple"


def status(bearer: str, user: str = "alice") -> int:
    return Api(user, bearer).call("get", f"/api/{user}/conversations").status_code


def unsigned(header: object, claims: object) -> str:
    parts = (json.dumps(part).encode() for part in (header, claims))
    return ".".join(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in parts) + "."


def test_token__of_another_issuer_needs_only_sub_and_exp():
    assert status(token(sub="alice")) == 200
    assert status(token(user_id="alice", sub="bob")) == 200
    assert status(token(sub="alice", token_type="access")) == 200
    assert status(token(sub="alice", _headers={"typ": "at+jwt"})) == 200
    assert status(token(sub="alice", aud="someone", iss="issuer", jti=5, is_staff=True)) == 200


def test_token__is_verified_once_a_request(monkeypatch):
    environ = {"HTTP_AUTHORIZATION": f"Bearer {token(sub='alice')}"}
    assert user_id_in(environ) == "alice"
    monkeypatch.setattr(jwt, "decode", None)
    assert user_id_in(environ) == "alice"


def test_token__integers_are_decimal_text():
    assert status(token(sub=42), "42") == 200
    assert status(token(user_id=0), "0") == 200


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": ""},
        {"sub": None},
        {"sub": True},
        {"sub": 1.5},
        {"sub": -1},
        {"sub": 10**400},
        {"sub": ["alice"]},
        {"sub": "a\x00b"},
        {"sub": "a\nb"},
        {"sub": " alice"},
        {"sub": "a" * 256},
        {"sub": "alice", "user_id": None},
        {"sub": "alice", "user_id": ""},
        {"sub": "alice", "user_id": {"a": 1}},
        {"sub": "alice", "token_type": "refresh"},
        {"sub": "alice", "token_type": "sliding"},
        {"sub": "alice", "token_type": []},
        {"sub": "alice", "exp": ...},
        {"sub": "alice", "exp": 1},
        {"sub": "alice", "exp": "soon"},
        {"sub": "alice", "exp": 10**30},
        {"sub": "alice", "exp": "9999999999"},
        {"sub": "alice", "exp": None},
        {"sub": "alice", "exp": True},
        {"sub": "alice", "nbf": int(time.time()) + 86_400},
        {"sub": "alice", "nbf": "x"},
        {"sub": "alice", "iat": "x"},
    ],
)
def test_token__refuses_claims(claims):
    assert status(token(**claims)) == 401


@pytest.mark.parametrize("user", ["a||b", "a/b"])
def test_token__of_a_user_that_no_key_or_path_can_have(user):
    answer = Api(bearer=token(sub=user)).chat("hello")
    assert (answer.status_code, answer.json()["code"]) == (401, "no_user")
    assert '"||"' in answer.json()["detail"]


def test_token__refuses_lone_surrogates():
    assert status(token(sub="a\ud800")) == 401


@pytest.mark.parametrize(
    "bearer",
    [
        "x",
        "a.b.c",
        "..",
        "é.é.é",
        "a" * 17_000,
        unsigned({"alg": "none"}, {"sub": "alice", "exp": 10**10}),
        unsigned({"alg": "HS256"}, {"sub": "alice", "exp": 10**10}),
        unsigned({"alg": "HS256", "typ": 5}, {"sub": "alice"}),
        unsigned({"alg": ["HS256"]}, {"sub": "alice"}),
        unsigned([], {"sub": "alice"}),
        unsigned({"alg": "HS256", "crit": ["x"]}, {}),
        unsigned({"alg": "HS256", "b64": False}, {}),
    ],
)
def test_token__refuses_what_is_no_token(bearer):
    assert status(bearer) == 401


def test_token__refuses_another_key_algorithm_or_type(settings):
    assert status(token("another key, as long as it has to be, 32 bytes", sub="alice")) == 401
    settings.JWT_SIGNING_KEY += " and more of it"
    assert status(token(_algorithm="HS512", sub="alice")) == 401
    assert status(token(sub="alice")) == 200
    assert status(token(sub="alice", _headers={"typ": "reset+jwt"})) == 401


def test_token__names_another_user_than_the_path():
    answer = Api("bob", token(sub="alice")).call("get", "/api/bob/conversations")
    assert (answer.status_code, answer.json()["code"]) == (403, "other_user")


def test_foreign_scheme__is_401():
    api = Api()
    api.headers = {"Authorization": "Basic YTpi"}
    assert api.call("get", "/api/alice/conversations").status_code == 401


# --- Our own tokens ---


@pytest.fixture
def user():
    return get_user_model().objects.create_user("carol", password=PASSWORD)


def log_in(username="carol", password=PASSWORD, **headers):
    body = {"username": username, "password": password}
    return Client(raise_request_exception=False).post(
        "/api/token/", body, content_type="application/json", headers=headers
    )


def refresh(value):
    return Client(raise_request_exception=False).post(
        "/api/token/refresh/", {"refresh": value}, content_type="application/json"
    )


def test_own_token__carries_the_user_name_and_chats(user):
    answer = log_in()
    assert answer.status_code == 200
    claims = jwt.decode(answer.json()["access"], options={"verify_signature": False})
    assert claims["user_id"] == "carol"
    assert Api("carol", answer.json()["access"]).chat("hello").status_code == 200
    assert status(answer.json()["access"], str(user.pk)) == 403


def test_refresh_token__opens_nothing_but_refresh(user):
    answer = log_in().json()
    assert status(answer["refresh"], "carol") == 401
    renewed = refresh(answer["refresh"])
    assert renewed.status_code == 200
    assert status(renewed.json()["access"], "carol") == 200
    assert refresh(answer["access"]).status_code == 401
    assert refresh("nonsense").status_code == 401
    assert refresh(token(user_id="carol", token_type="refresh", jti="1")).status_code == 401


def test_refresh__of_a_deleted_or_disabled_user(user):
    value = log_in().json()["refresh"]
    user.is_active = False
    user.save()
    assert refresh(value).status_code == 401
    user.delete()
    assert refresh(value).status_code == 401


def test_refresh__of_before_a_change_of_the_password(user):
    before = log_in().json()["refresh"]
    user.set_password("another good one")
    user.save()
    assert refresh(before).status_code == 401
    now = log_in(password="another good one").json()["refresh"]
    assert refresh(now).status_code == 200


def test_refresh__of_an_earlier_user_of_the_same_name(user):
    value = log_in().json()["refresh"]
    user.delete()
    get_user_model().objects.create_user("carol", password=PASSWORD)
    assert refresh(value).status_code == 401


def test_refresh__hostile_claims_are_401(user):
    session = user.get_session_auth_hash()
    for claims in (
        {"user_id": ["carol"], "session": session},
        {"user_id": 5, "session": session},
        {"user_id": "a\x00", "session": session},
        {"user_id": "carol", "session": {"a": session}},
        {"user_id": "carol", "session": None},
        {"user_id": "carol", "session": "\ud800"},
        {"user_id": "carol", "session": f"{session}\x00"},
        {"user_id": "\ud800", "session": session},
        {"user_id": "carol", "session": session, "jti": "\ud800", "iat": "\ud800"},
        {},
    ):
        hostile = token(**{"token_type": "refresh", "jti": "1", **claims})
        assert refresh(hostile).status_code == 401


def test_login__wrong_password_then_lock_out_by_name_and_address(user):
    for _ in range(5):
        last = log_in(password="wrong")
    assert last.status_code in (401, 429)
    locked = log_in()
    assert (locked.status_code, locked.json()["code"]) == (429, "locked_out")
    assert int(locked["Retry-After"]) > 0
    get_user_model().objects.create_user("dave", password=PASSWORD)
    assert log_in("dave").status_code == 200


def test_login__bad_bodies(user):
    client = Client(raise_request_exception=False)
    for body in (b"{}", b"[]", b'{"username": "carol"}', b'{"username": 1, "password": "x"}'):
        answer = client.post("/api/token/", body, content_type="application/json")
        assert answer.status_code == 400
    assert client.post("/api/token/", {"username": "carol"}).status_code == 415
    assert log_in("carol", "wrong").json()["code"] == "bad_credentials"
    assert log_in("nobody", "wrong").json()["code"] == "bad_credentials"


# --- JWKS ---


def test_jwks__opens_and_is_asked_once(key_set):
    assert [status(key_set.token(sub="alice")) for _ in range(3)] == [200, 200, 200]
    assert key_set.requests == 1


def test_jwks__wants_its_issuer_and_audience(key_set):
    assert status(key_set.token(sub="alice", iss="https://other.example")) == 401
    assert status(key_set.token(sub="alice", aud="other")) == 401
    assert status(key_set.token(sub="alice", aud=...)) == 401
    assert status(key_set.token(sub="alice", iss=...)) == 401


def test_jwks__unknown_key_ids_do_not_ask_again_and_again(key_set):
    assert [status(key_set.token(kid=f"k{n}", sub="alice")) for n in range(5)] == [401] * 5
    assert key_set.requests == 1


def test_jwks__no_confusion_of_algorithms(key_set):
    public = key_set.private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = {"alg": "HS256", "kid": "one", "typ": "JWT"}
    claims = {"sub": "alice", "exp": 10**10}
    head = unsigned(header, claims)[:-1]
    import hashlib
    import hmac

    mac = base64.urlsafe_b64encode(hmac.digest(pem, head.encode(), hashlib.sha256)).decode()
    assert status(f"{head}.{mac.rstrip('=')}") == 401


def test_jwks__away_is_503_and_known_keys_go_on(key_set, monkeypatch):
    good = key_set.token(sub="alice")
    key_set.status = 500
    answer = Api("alice", good).call("get", "/api/alice/conversations")
    assert (answer.status_code, answer.json()["code"]) == (503, "jwks_unavailable")
    assert "Retry-After" in answer
    key_set.status = 200
    jwks.forget_keys()
    assert status(good) == 200
    key_set.status = 500
    monkeypatch.setattr(jwks, "KEEP_SECONDS", 0)
    monkeypatch.setattr(jwks, "ASK_AGAIN_SECONDS", 0)
    assert status(good) == 200


PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NO_KEY_SETS = [
    b"[]",
    b"null",
    b'"x"',
    b"{}",
    b'{"keys": [[]]}',
    b"[" * 5_000,
    b"\xff" * 9,
    b" " * 300_000,
    jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE_KEY).encode(),
]


@pytest.mark.parametrize("body", NO_KEY_SETS, ids=range(len(NO_KEY_SETS)))
def test_jwks__what_is_no_key_set_is_503(key_set, body):
    key_set.body = body
    assert status(key_set.token(sub="alice")) == 503


def test_jwks__a_private_key_opens_nothing(key_set):
    private = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key_set.private))
    key_set.body = json.dumps({"keys": [{**private, "kid": "one"}]}).encode()
    assert status(key_set.token(sub="alice")) == 401


def test_jwks__unknown_key_ids_while_it_is_away_are_503(key_set, monkeypatch):
    assert status(key_set.token(sub="alice")) == 200
    key_set.status = 500
    monkeypatch.setattr(jwks, "ASK_AGAIN_SECONDS", 0)
    assert status(key_set.token(kid="two", sub="alice")) == 503


def test_jwks__an_endless_answer_holds_few_requests_and_not_for_long(key_set, monkeypatch):
    monkeypatch.setattr(jwks, "WAIT_SECONDS", 0.5)
    key_set.held.clear()
    began = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(jwks.find_key, "one", "RS256") for _ in range(20)]
        done, _ = wait(asked, timeout=0.3)
        assert len(done) == len(asked) - jwks.WAITING_MAX
    assert all(isinstance(each.exception(), Unavailable) for each in asked)
    assert time.monotonic() - began < 5
    assert key_set.requests == 1
    key_set.held.set()


def test_jwks__an_answer_that_never_ends_does_not_keep_others_from_coming(key_set, monkeypatch):
    """A header that drips: no timeout of a read ends it."""
    monkeypatch.setattr(jwks, "WAIT_SECONDS", 0.3)
    key_set.held.clear()
    monkeypatch.setattr(jwks, "_fetch", lambda url: key_set.held.wait(10) and ())
    with pytest.raises(Unavailable):
        jwks.find_key("one", "RS256")
    monkeypatch.setattr(jwks, "ASK_AGAIN_SECONDS", 0)
    monkeypatch.setattr(
        jwks, "_fetch", lambda url: (jwk.VerificationKey("one", "the key", jwk.ALGORITHMS),)
    )
    assert jwks.find_key("one", "RS256") == "the key"
    key_set.held.set()


def test_jwks__switches_own_tokens_off(key_set, user):
    assert log_in().status_code == 404
    assert refresh("x").status_code == 404


def test_simplejwt__tokens_are_ours(user):
    assert str(AccessToken.for_user(user)["user_id"]) == "carol"
    assert RefreshToken.for_user(user)["user_id"] == "carol"


def test_jwks__tokens_from_before_the_user_was_removed(key_set):
    now = time.time()
    ChatUser.objects.create(user_id="alice", forgotten_at=timezone.now() - timedelta(seconds=60))
    assert status(key_set.token(sub="alice", iat=now - 120)) == 401
    assert status(key_set.token(sub="alice", iat=now - 30)) == 200
