"""What connectors ask of a dsx-connect, at a server that keeps state: the answer says so."""

import json
import logging

import pytest
from django_redis import get_redis_connection

from connector_state.api import misdirected
from tests.connectors import PREFIX, SigningConnector

DSX_CONNECT = "/dsx-connect/api/v1"
CALLS = [
    ("POST", f"{DSX_CONNECT}/scan/request"),
    ("POST", f"{DSX_CONNECT}/scan/request_batch"),
    ("GET", f"{DSX_CONNECT}/scan/jobs/7/raw"),
    ("POST", f"{DSX_CONNECT}/scan/jobs/7/enqueue_done"),
    ("GET", f"{DSX_CONNECT}/config"),
    ("POST", f"{PREFIX}/token"),
    ("GET", f"{PREFIX}/list"),
    ("GET", f"{DSX_CONNECT}/test/connection"),
    ("POST", "/api/v1/control-plane/connectors/register"),
    ("POST", "/api/v1/control-plane/connectors/7/heartbeat"),
    ("POST", "/api/v1/execution/jobs/batch"),
]
SCAN = CALLS[0][1]
DETAIL = "This server keeps connector state; send scans to your dsx-connect."

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_logged_before(monkeypatch, caplog):
    monkeypatch.setattr(misdirected, "_addresses", misdirected.Addresses())
    caplog.set_level(logging.WARNING, "connector_state.api.misdirected")


def lines(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if "dsx-connect" in r.getMessage()]


def answer(response) -> tuple[int, dict[str, str]]:
    return response.status_code, json.loads(response.content)


@pytest.mark.parametrize(("method", "path"), CALLS, ids=lambda value: value.rsplit("/", 2)[-1])
def test_calls_of_a_dsx_connect__say_where_to_send_them(client, method, path):
    refused = (404, {"detail": DETAIL, "code": "not_served_here"})
    for sent in (method, "PUT", "DELETE", "OPTIONS"):
        assert answer(client.generic(sent, path, b"{}", "application/json")) == refused


@pytest.mark.parametrize("path", [f"{PREFIX}/state/no-uuid/m365/delta", f"{PREFIX}/register/"])
def test_other_paths__say_what_is_wrong_with_them(client, path):
    status, body = answer(client.get(path))
    assert (status, body["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("right", "sent"),
    [
        ("/connectors/state", "/connectors//state"),
        ("/connectors/state", "//connectors///state"),
        ("/state/", "/state//"),
        ("/dsx-connect/", "/dsx-connect//"),
    ],
)
def test_a_base_url_that_ends_in_a_slash__is_said_and_no_mark_is_made(connector, right, sent):
    path = connector.path(key="a//b").replace(right, sent)
    for method in ("GET", "PUT"):
        status, body = answer(connector.call(method, path))
        assert (status, body["code"]) == (404, "not_found")
        assert "'//'" in body["detail"]
    assert misdirected.last_at(connector.uuid) is None


@pytest.mark.in_process("Django's test client takes what follows the slashes for a host")
def test_two_slashes_at_the_beginning__are_said_in_json(client, connector):
    status, body = answer(client.get("/", PATH_INFO=f"/{connector.path()}"))
    assert (status, body["code"]) == (404, "not_found")
    assert "'//'" in body["detail"]


def test_a_scan_with_two_slashes__is_still_one(client):
    path = SCAN.replace("/scan", "//scan")
    assert answer(client.post(path))[1]["code"] == "not_served_here"


def test_two_slashes_in_a_key__are_not_what_is_wrong(client):
    body = answer(client.get(f"{PREFIX}/state/no-uuid/m365/a//b"))[1]
    assert "UUID" in body["detail"]


@pytest.mark.in_process("reads the log")
def test_a_connector__is_logged_once_an_hour_and_marked(client, connector, caplog):
    assert misdirected.last_at(connector.uuid) is None
    for _ in range(3):
        assert connector.call("POST", SCAN, b"{}").status_code == 404
    (line,) = lines(caplog)
    who = f"connector {connector.uuid} (by its key id; the signature was not checked)"
    assert line.startswith(f"{who} at 127.0.0.1 ")
    assert misdirected.last_at(connector.uuid) is not None
    get_redis_connection().delete(f"{misdirected._key(connector.uuid)}:logged")  # an hour later
    connector.call("POST", SCAN, b"{}")
    assert len(lines(caplog)) == 2


@pytest.mark.in_process("reads the log")
def test_strangers__are_logged_by_address_and_only_so_many(client, caplog, monkeypatch):
    monkeypatch.setattr(misdirected, "ADDRESSES_MOST", 3)
    for last in (1, 1, 2, 3, 4, 5):
        client.post(SCAN, REMOTE_ADDR=f"10.0.0.{last}")
    assert [line.split(" sends")[0] for line in lines(caplog)] == [
        f"an unknown caller at 10.0.0.{last}" for last in (1, 2, 3)
    ]


@pytest.mark.in_process("sends no request")
def test_strangers__are_logged_again_after_an_hour(monkeypatch):
    addresses, now = misdirected.Addresses(), 1000.0
    monkeypatch.setattr(misdirected.time, "monotonic", lambda: now)
    assert addresses.is_due("10.0.0.1")
    now += 3599
    assert not addresses.is_due("10.0.0.1")
    assert addresses.is_due("10.0.0.2")
    now += 1
    assert addresses.is_due("10.0.0.1")
    assert list(addresses._logged_at) == ["10.0.0.2", "10.0.0.1"]


@pytest.mark.parametrize("header", ["DSX-HMAC nonsense", "Bearer x", "DSX-HMAC key_id=YQ=="])
@pytest.mark.in_process("reads the log")
def test_strangers__whatever_they_send_as_credentials(client, caplog, header):
    assert client.post(SCAN, HTTP_AUTHORIZATION=header).status_code == 404
    assert lines(caplog)[0].startswith("an unknown caller")


def test_an_unknown_key_id__marks_nobody(client, caplog):
    stranger = SigningConnector("3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11", "YWJjZGVmZ2hpamts", "s")
    assert stranger.call("POST", SCAN).status_code == 404
    assert misdirected.last_at(stranger.uuid) is None


@pytest.mark.in_process("cuts off Redis")
def test_while_redis_is_down__the_answer_is_the_same(connector, redis_away):
    assert connector.call("POST", SCAN, b"{}").status_code == 404
    assert misdirected.last_at(connector.uuid) is None
