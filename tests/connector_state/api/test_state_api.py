"""The contract of the state calls: PUT and GET of one value, and what refuses them."""

import io
import json
import time
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import quote
from uuid import UUID

import pytest
from django.utils import timezone
from django_redis import get_redis_connection

from connector_state.api import views
from connector_state.credentials import issuing, live, marks
from connector_state.models import Connector, Credential
from connector_state.store.keys import connector_keys
from tests.connectors import PREFIX, tag

KEYS = [
    "delta",
    "delta:user@contoso",
    "a/b",
    "/leading",
    "trailing/",
    "a//b",
    "a b",
    "100%",
    "%41",
    "%2F",
    "naïve/ключ",
    "日本語",
    "?query",
    "#fragment",
    "a+b",
    "|",
    "..",
    "~._-",
    "[x]{y}",
    '"quoted"',
    "\\",
    "k" * 512,
]


def error_of(response):
    body = json.loads(response.content)
    assert set(body) == {"detail", "code"}, body
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-store"
    return body["code"]


# --- The contract -------------------------------------------------------------------------------


def test_put__answers_204_and_stores_the_plain_body_under_the_contracts_key(connector):
    response = connector.put("delta-token", "delta:user@contoso")
    assert (response.status_code, response.content) == (204, b"")
    stored = f"dsxconnect:connector_state:{tag(connector.uuid)}:m365:delta:user@contoso"
    assert get_redis_connection().get(stored) == b"delta-token"
    assert get_redis_connection().ttl(stored) == -1


def test_get__answers_the_value(connector):
    connector.put("delta-token")
    response = connector.get()
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.json() == {"value": "delta-token"}


def test_get__missing_is_an_empty_string(connector):
    response = connector.get()
    assert (response.status_code, response.json()) == (200, {"value": ""})
    assert "ETag" not in response


def test_get__reads_what_a_dsx_connect_wrote(connector):
    key = f"dsxconnect:connector_state:{tag(connector.uuid)}:m365:delta"
    get_redis_connection().set(key, "older")
    assert connector.get().json() == {"value": "older"}


@pytest.mark.parametrize("value", ["", "x", "ż ✓ 日本", "a|b|c\n|", "\x00\x1f", '{"a": 1}', " "])
def test_put__any_text_comes_back_as_it_was(connector, value):
    assert connector.put(value).status_code == 204
    assert connector.get().json() == {"value": value}


@pytest.mark.parametrize("key", KEYS)
def test_put__any_key_that_a_url_carries(connector, key):
    assert connector.put("v", key).status_code == 204
    stored = f"dsxconnect:connector_state:{tag(connector.uuid)}:m365:{key}"
    assert get_redis_connection().get(stored) == b"v"
    assert connector.get(key).json() == {"value": "v"}


def test_put__the_largest_value(connector, settings):
    assert connector.put("x" * settings.STATE_MAX_VALUE_BYTES).status_code == 204


def test_uuid__in_any_case_is_one_connector(connector):
    connector.put("v")
    upper = connector.path().replace(connector.uuid, connector.uuid.upper())
    assert connector.call("GET", upper).json() == {"value": "v"}
    assert len(list(get_redis_connection().scan_iter("dsxconnect:*"))) == 1


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("form", ["{0.hex}", "{{{0}}}", "{0.urn}", "urn:uuid:{0.hex}"])
def test_uuid__in_each_form_of_register_is_one_connector(connector, stranger, form, encoded):
    def path_of(uuid):
        sent = form.format(UUID(uuid))
        return connector.path().replace(connector.uuid, quote(sent, safe="") if encoded else sent)

    path = path_of(connector.uuid)
    assert connector.call("PUT", path, b"v").status_code == 204
    assert connector.get().json() == connector.call("GET", path).json() == {"value": "v"}
    (stored,) = get_redis_connection().scan_iter("dsxconnect:*")
    assert stored.decode() == f"dsxconnect:connector_state:{tag(connector.uuid)}:m365:delta"
    refused = connector.call("PUT", path_of(stranger.uuid), b"v")
    assert (refused.status_code, error_of(refused)) == (403, "other_connector")
    elsewhere = connector.send("GET", path, b"", connector.authorization("GET", connector.path()))
    assert (elsewhere.status_code, error_of(elsewhere)) == (401, "bad_signature")


def test_namespaces__do_not_share_keys(connector):
    connector.put("one", ns="m365")
    assert connector.get(ns="onedrive").json() == {"value": ""}


def test_get__corrupt_is_neither_missing_nor_unavailable(connector):
    key = f"dsxconnect:connector_state:{tag(connector.uuid)}:m365:delta"
    get_redis_connection().set(key, b"\xff\xfe")
    response = connector.get()
    assert (response.status_code, error_of(response)) == (500, "value_corrupt")
    assert get_redis_connection().get(key) == b"\xff\xfe"
    get_redis_connection().delete(key)
    get_redis_connection().hset(key, "a", "b")
    assert error_of(connector.get()) == "value_corrupt"


# --- Who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_ownership__owner_stranger_and_anonymous(connector, stranger, method):
    path = connector.path()
    assert connector.call(method, path).status_code in (200, 204)
    refused = stranger.call(method, path)
    assert refused.status_code == 403
    anonymous = connector.send(method, path, b"", None)
    assert anonymous.status_code == 401
    assert anonymous["WWW-Authenticate"] == "DSX-HMAC"
    if method != "HEAD":
        assert error_of(refused) == "other_connector"
        assert error_of(anonymous) == "not_authenticated"


def test_ownership__a_connector_that_does_not_exist_is_refused_the_same(connector, stranger):
    existing = stranger.call("GET", connector.path())
    missing = stranger.call("GET", f"{PREFIX}/state/{'0' * 8}-0000-0000-0000-{'0' * 12}/m365/d")
    assert existing.status_code == missing.status_code == 403
    assert existing.content == missing.content


def test_foreign_scheme__is_401(connector):
    response = connector.send("GET", connector.path(), b"", "Bearer abc")
    assert (response.status_code, error_of(response)) == (401, "not_authenticated")


@pytest.mark.parametrize("header", ["DSX-HMAC", "DSX-HMAC key_id=a", "DSX-HMAC " + "x" * 600])
def test_malformed_header__is_401(connector, header):
    response = connector.send("GET", connector.path(), b"", header)
    assert (response.status_code, error_of(response)) == (401, "malformed_header")


@pytest.mark.parametrize("offset", [-61, 64, -10_000, 10_000])
def test_timestamp__outside_the_window_is_401(connector, offset):
    ts = str(int(time.time()) + offset)
    authorization = connector.authorization("GET", connector.path(), ts=ts)
    response = connector.send("GET", connector.path(), b"", authorization)
    assert (response.status_code, error_of(response)) == (401, "timestamp_out_of_window")


@pytest.mark.parametrize("offset", [-58, 58])
def test_timestamp__inside_the_window_is_good(connector, offset):
    ts = str(int(time.time()) + offset)
    authorization = connector.authorization("GET", connector.path(), ts=ts)
    assert connector.send("GET", connector.path(), b"", authorization).status_code == 200


@pytest.mark.in_process("stops the clock")
@pytest.mark.parametrize("fraction", [0, 0.001, 0.999])
def test_timestamp__whole_seconds_are_compared_as_the_origin_does(connector, monkeypatch, fraction):
    now = int(time.time())
    stopped = SimpleNamespace(time=lambda: now + fraction)
    monkeypatch.setattr("connector_state.api.authentication.time", stopped)
    for offset, status in ((-61, 401), (-60, 200), (60, 200), (61, 401)):
        ts = str(now + offset)
        authorization = connector.authorization("GET", connector.path(), ts=ts)
        response = connector.send("GET", connector.path(), b"", authorization)
        assert response.status_code == status, offset


@pytest.mark.in_process("changes a setting")
def test_window__is_a_setting(connector, settings):
    settings.HMAC_SKEW_SECONDS = 300
    ts = str(int(time.time()) - 200)
    authorization = connector.authorization("GET", connector.path(), ts=ts)
    assert connector.send("GET", connector.path(), b"", authorization).status_code == 200


def test_replay__the_second_use_of_a_nonce_is_401(connector):
    authorization = connector.authorization("PUT", connector.path(), b"v")
    assert connector.send("PUT", connector.path(), b"v", authorization).status_code == 204
    replayed = connector.send("PUT", connector.path(), b"v", authorization)
    assert (replayed.status_code, error_of(replayed)) == (401, "replayed")
    assert replayed["WWW-Authenticate"] == "DSX-HMAC"


def test_nonce__is_remembered_for_longer_than_the_window(connector, settings):
    connector.get()
    (nonce_key,) = get_redis_connection().scan_iter("statekeep:{*}:nonce:*")
    assert get_redis_connection().ttl(nonce_key) > 2 * settings.HMAC_SKEW_SECONDS + 1


def test_nonce__of_one_key_id_is_not_that_of_another(connector, stranger):
    for each in (connector, stranger):
        authorization = each.authorization("GET", each.path(), nonce="the-same-nonce")
        assert each.send("GET", each.path(), b"", authorization).status_code == 200


@pytest.mark.parametrize("kind", ["unknown", "revoked", "expired", "disabled", "wrong secret"])
def test_credential__all_reasons_share_one_answer(connector, kind):
    credential = Credential.objects.filter(key_id=connector.key_id)
    if kind == "unknown":
        connector.key_id = "never-issued"
    elif kind == "revoked":
        credential.update(revoked_at=timezone.now())
    elif kind == "expired":
        credential.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif kind == "disabled":
        Connector.objects.update(enabled=False)
    else:
        connector.secret = "wrong"
    response = connector.get()
    assert response.status_code == 401
    assert json.loads(response.content) == {
        "detail": "The key id or the signature is not valid.",
        "code": "bad_signature",
    }
    assert not list(get_redis_connection().scan_iter("*nonce*"))


@pytest.mark.in_process("a change that goes round the log is found within a minute")
def test_credential__revoked_while_cached_ends_within_the_cache_time(connector):
    assert connector.get().status_code == 200
    Credential.objects.update(revoked_at=timezone.now())
    deadline = time.monotonic() + 30
    while connector.get().status_code != 401:
        assert time.monotonic() < deadline


@pytest.mark.in_process("moves the clock")
def test_credential__expiry_needs_no_cache_to_run_out(connector, time_machine):
    time_machine.move_to(timezone.now())
    Credential.objects.update(expires_at=timezone.now() + timedelta(seconds=30))
    assert connector.get().status_code == 200
    time_machine.shift(31)
    assert connector.get().status_code == 401


def test_credential__several_are_live_at_once(connector):
    second = issuing.issue_credential(Connector.objects.get())
    assert connector.put("v").status_code == 204
    connector.key_id, connector.secret = second.key_id, second.secret
    assert connector.get().json() == {"value": "v"}


@pytest.mark.in_process("replaces a function")
def test_view__that_claims_no_nonce_fails_closed(connector, monkeypatch):
    monkeypatch.setattr(
        views.StateView, "get", lambda self, request, **kwargs: views.json_response({"value": "x"})
    )
    response = connector.get()
    assert (response.status_code, error_of(response)) == (500, "server_error")


@pytest.mark.in_process("a server that refuses much looks at few marks")
def test_mark__of_a_connector_that_is_enabled_refuses_one_call(connector):
    """It stays where Redis did not answer when an operator enabled the connector."""
    get_redis_connection().hset(connector_keys(connector.uuid).revoked, marks.ALL, 1)
    assert connector.get().status_code == 401
    assert connector.get().status_code == 200
    Connector.objects.update(enabled=False)
    marks.mark_enabled(connector.uuid, pytest.fail)
    assert [connector.get().status_code for _ in range(2)] == [401, 401]


@pytest.mark.in_process("reads the log")
def test_log__has_the_reason_and_never_the_signature_or_the_secret(connector, caplog):
    authorization = connector.authorization("GET", connector.path(), b"other body")
    connector.send("GET", connector.path(), b"", authorization)
    issued, connector.key_id = connector.key_id, "never-issued"
    connector.get()
    assert [record.getMessage() for record in caplog.records] == [
        f"refused a signed request: bad_signature; connector {connector.uuid}, "
        f"key id {issued}, from 127.0.0.1",
        f"refused a signed request: unknown_key_id; connector {connector.uuid}, "
        "unknown key id, from 127.0.0.1",
    ]


class HeldBackBody(io.BytesIO):
    """A body that ends only after something else has happened."""

    def __init__(self, body: bytes, meanwhile) -> None:
        super().__init__(body)
        self.meanwhile = meanwhile

    def read(self, size: int | None = -1) -> bytes:
        if self.meanwhile:
            self.meanwhile()
            self.meanwhile = None
        return super().read(size)


def send_held_back(connector, body, meanwhile):
    authorization = connector.authorization("PUT", connector.path(), body)
    return connector.client.request(
        REQUEST_METHOD="PUT",
        PATH_INFO=connector.path(),
        CONTENT_LENGTH=str(len(body)),
        HTTP_AUTHORIZATION=authorization,
        **{"wsgi.input": HeldBackBody(body, meanwhile)},
    )


@pytest.mark.in_process("moves the clock")
def test_body__held_back_until_the_nonce_is_forgotten_is_refused(connector, time_machine):
    """Seen: a captured PUT, sent again but for its last byte, was good after 150 s."""
    time_machine.move_to(timezone.now())
    response = send_held_back(connector, b"old cursor", lambda: time_machine.shift(153))
    assert (response.status_code, error_of(response)) == (401, "timestamp_out_of_window")
    assert not list(get_redis_connection().scan_iter("dsxconnect:*"))


@pytest.mark.in_process("empties the cache of credentials")
def test_body__held_back_beyond_a_revocation_is_refused(connector):
    def revoke():
        Credential.objects.update(revoked_at=timezone.now())
        live.clear_cache()

    response = send_held_back(connector, b"v", revoke)
    assert (response.status_code, error_of(response)) == (401, "bad_signature")


@pytest.mark.in_process("HTTP servers refuse such a length themselves")
def test_length__of_thousands_of_digits_is_413(connector):
    response = connector.call("PUT", connector.path(), b"v", CONTENT_LENGTH="0" * 5000 + "1")
    assert (response.status_code, error_of(response)) == (413, "value_too_large")


# --- Bad input ----------------------------------------------------------------------------------


def test_body__over_the_limit_is_413(connector, settings):
    response = connector.put("x" * (settings.STATE_MAX_VALUE_BYTES + 1))
    assert (response.status_code, error_of(response)) == (413, "value_too_large")


def test_body__chunked_is_411(connector):
    response = connector.call("PUT", connector.path(), b"v", HTTP_TRANSFER_ENCODING="chunked")
    assert (response.status_code, error_of(response)) == (411, "length_required")


def test_body__not_utf8_is_400(connector):
    response = connector.call("PUT", connector.path(), b"\xff")
    assert (response.status_code, error_of(response)) == (400, "value_not_utf8")


@pytest.mark.parametrize("ns", ["a:b", "a%3Ab", "a\x00b", "a\nb", "\x7f", "n" * 129, "é" * 65])
def test_namespace__that_is_none_is_400(connector, ns):
    response = (
        connector.put("v", ns=ns)
        if "%" not in ns
        else connector.call("PUT", f"{PREFIX}/state/{connector.uuid}/{ns}/k", b"v")
    )
    assert (response.status_code, error_of(response)) == (400, "invalid_namespace")


def test_namespace__with_an_encoded_slash_opens_nothing(connector):
    response = connector.call("PUT", f"{PREFIX}/state/{connector.uuid}/a%2Fb/k", b"v")
    assert (response.status_code, error_of(response)) == (401, "bad_signature")


@pytest.mark.parametrize("key", ["\x00", "a\nb", "a\r", "\x1b[0m", "\x85", "k" * 513, "é" * 257])
def test_key__that_is_none_is_400(connector, key):
    response = connector.put("v", key)
    assert (response.status_code, error_of(response)) == (400, "invalid_key")


@pytest.mark.parametrize(
    "uuid",
    [
        *("x", "3f8e0c8e6f0a4c8e9a522f1d6c7b9e1", "3f8e0c8e6f0a4c8e9a522f1d6c7b9e111"),
        *("3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e1g", "-3f8e0c8e6f0a4c8e9a522f1d6c7b9e11"),
        *("%7B3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11", "urn:3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"),
    ],
)
def test_uuid__that_is_none_is_404(connector, uuid):
    response = connector.call("GET", f"{PREFIX}/state/{uuid}/m365/delta")
    assert (response.status_code, error_of(response)) == (404, "not_found")


@pytest.mark.parametrize("method", ["POST", "PATCH", "OPTIONS", "TRACE", "FOO"])
def test_method__another_is_405_with_allow_for_anybody(connector, method):
    response = connector.send(method, connector.path(), b"", None)
    assert (response.status_code, error_of(response)) == (405, "method_not_allowed")
    assert response["Allow"] == "GET, HEAD, PUT, DELETE"


@pytest.mark.parametrize("path", ["", "/", "/nope", "/m365", "/m365/"])
def test_path__of_no_route_is_a_json_404(connector, path):
    response = connector.call("GET", f"{PREFIX}/state/nope{path}")
    assert (response.status_code, error_of(response)) == (404, "not_found")


def test_query__raw_pipe_is_400_and_an_encoded_one_is_good(connector):
    environ = {"QUERY_STRING": "a|b"}
    authorization = connector.authorization("GET", connector.path() + "?a|b")
    response = connector.send("GET", connector.path(), b"", authorization, **environ)
    assert (response.status_code, error_of(response)) == (400, "invalid_query")
    assert connector.call("GET", connector.path() + "?a=%7C").status_code == 200


def test_query__unknown_is_ignored_on_reads_and_refused_on_writes(connector):
    assert connector.call("GET", connector.path() + "?ttl=60&x=%20").status_code == 200
    response = connector.put("v", query="?if_mach=x")
    assert (response.status_code, error_of(response)) == (400, "unknown_parameter")
    assert connector.get().json() == {"value": ""}


def test_accept__what_the_client_prefers_changes_nothing(connector):
    response = connector.get(HTTP_ACCEPT="text/html")
    assert response.json() == {"value": ""}
    assert connector.call("GET", connector.path() + "?format=xml").status_code == 200
