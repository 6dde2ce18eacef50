"""Listing, batches, policies and quotas."""

import json
import threading
from functools import partial

import pytest
from django.db import connection
from django_redis import get_redis_connection

from connector_state.errors import Forbidden
from connector_state.operator_session import OperatorSession
from connector_state.store.calls import Caller, Limits
from connector_state.store.keys import Address
from connector_state.store.operations import Operation
from connector_state.store.values import StateStore
from tests.connectors import PREFIX, SigningConnector, tag

UUID = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"


def code_of(response):
    body = json.loads(response.content)
    assert set(body) == {"detail", "code"}
    return response.status_code, body["code"]


def listing(connector, ns="/m365", query=""):
    return connector.call("GET", f"{PREFIX}/state/{connector.uuid}{ns}{query}")


def batch(connector, *operations, ns="m365", body=None, **headers):
    body = json.dumps({"operations": operations}).encode() if body is None else body
    return connector.call("POST", f"{PREFIX}/state/{connector.uuid}/{ns}", body, **headers)


@pytest.fixture
def under_policy(db):
    """Call it with the fields of a policy for a connector of that policy."""
    return partial(SigningConnector.create, "under a policy")


# --- Listing ------------------------------------------------------------------------------------


def test_namespaces__with_counts_in_pages(connector):
    for ns in ("onedrive", "m365", "m365-mail", "a b", "é"):
        connector.put("v", ns=ns)
    connector.put("v", "other")
    assert listing(connector, "").json() == {
        "namespaces": [
            {"namespace": "a b", "keys": 1},
            {"namespace": "m365-mail", "keys": 1},
            {"namespace": "m365", "keys": 2},
            {"namespace": "onedrive", "keys": 1},
            {"namespace": "é", "keys": 1},
        ],
        "next_cursor": None,
    }
    seen, query = [], "?limit=2"
    while query:
        page = listing(connector, "", query).json()
        assert len(page["namespaces"]) <= 2
        seen += [row["namespace"] for row in page["namespaces"]]
        query = page["next_cursor"] and f"?limit=2&cursor={page['next_cursor']}"
    assert seen == ["a b", "m365-mail", "m365", "onedrive", "é"]


def test_keys__sorted_with_size_etag_and_ttl(connector):
    connector.put("1234", "b", "?ttl=60")
    etag = connector.put("ż", "a:c/d")["ETag"].strip('"')
    page = listing(connector).json()
    assert page["next_cursor"] is None
    assert page["keys"][0] == {"key": "a:c/d", "size": 2, "etag": etag, "ttl": None}
    assert (page["keys"][1]["key"], page["keys"][1]["ttl"]) == ("b", 60)


def test_keys__by_prefix_in_pages_with_a_true_next_cursor(connector):
    for number in range(25):
        connector.put("v", f"delta:{number:02}")
    connector.put("v", "other")
    connector.put("v", "delta:00", ns="m366")
    seen, query = [], "?prefix=delta:&limit=5"
    pages = 0
    while query:
        page = listing(connector, query=query).json()
        pages += 1
        seen += [row["key"] for row in page["keys"]]
        cursor = page["next_cursor"]
        query = cursor and f"?prefix=delta:&limit=5&cursor={cursor}"
    assert seen == [f"delta:{number:02}" for number in range(25)]
    assert pages == 5


def test_keys__a_cursor_of_another_prefix_stays_within_this_one(connector):
    connector.put("v", "a")
    connector.put("v", "b")
    import base64

    cursor = base64.urlsafe_b64encode(b"a").decode()
    page = listing(connector, query=f"?prefix=b&cursor={cursor}").json()
    assert [row["key"] for row in page["keys"]] == ["b"]


def test_keys__expired_and_vanished_ones_are_not_listed_and_leave_the_index(connector):
    connector.put("v", "kept")
    connector.put("v", "expired", "?ttl=1")
    connector.put("v", "vanished")
    redis = get_redis_connection()
    redis.delete(f"dsxconnect:connector_state:{tag(connector.uuid)}:m365:vanished")
    redis.pexpire(f"dsxconnect:connector_state:{tag(connector.uuid)}:m365:expired", 0)
    assert [row["key"] for row in listing(connector).json()["keys"]] == ["kept"]
    index = f"statekeep:{{{connector.uuid}}}:"
    assert redis.zrange(index + "index", 0, -1) == [b"m365:kept"]
    assert redis.hgetall(index + "sizes") == {b"total": b"1", b"m365:kept": b"1"}
    assert redis.zcard(index + "expiries") == 0


@pytest.mark.parametrize(
    "query",
    [
        *("?limit=0", "?limit=201", "?limit=x", "?limit=1&limit=2"),
        *("?cursor=%FF", "?cursor=a", "?prefix=%FF"),
    ],
)
def test_listing__bad_parameters_are_400(connector, query):
    for ns in ("", "/m365"):
        assert code_of(listing(connector, ns, query)) == (400, "invalid_parameter")


def test_listing__prefix_too_long_is_400(connector):
    assert code_of(listing(connector, query="?prefix=" + "p" * 513)) == (400, "invalid_parameter")


@pytest.mark.parametrize("ns", ["", "/m365"])
def test_listing__owner_stranger_anonymous_and_methods(connector, stranger, ns):
    path = f"{PREFIX}/state/{connector.uuid}{ns}"
    assert connector.call("GET", path).status_code == 200
    assert connector.call("HEAD", path).status_code == 200
    assert code_of(stranger.call("GET", path)) == (403, "other_connector")
    assert code_of(connector.send("GET", path, b"", None)) == (401, "not_authenticated")
    assert code_of(connector.call("PUT", path, b"x")) == (405, "method_not_allowed")
    authorization = connector.authorization("GET", path)
    assert connector.send("GET", path, b"", authorization).status_code == 200
    assert code_of(connector.send("GET", path, b"", authorization)) == (401, "replayed")
    assert connector.send("GET", path + "?limit=1", b"", authorization).status_code == 401


# --- Batch --------------------------------------------------------------------------------------


def test_batch__reads_writes_and_deletes_in_one_call(connector):
    etag = connector.put("old", "a")["ETag"].strip('"')
    connector.put("gone soon", "b")
    response = batch(
        connector,
        {"op": "get", "key": "a"},
        {"op": "get", "key": "missing"},
        {"op": "put", "key": "c", "value": "new", "ttl": 60},
        {"op": "delete", "key": "b"},
        {"op": "delete", "key": "never there"},
    )
    assert response.status_code == 200
    results = response.json()["results"]
    assert results[0] == {"key": "a", "value": "old", "etag": etag, "ttl": None}
    assert results[1] == {"key": "missing", "value": "", "etag": None, "ttl": None}
    assert results[2] == {"key": "c", "etag": connector.get("c")["ETag"].strip('"')}
    assert results[3:] == [
        {"key": "b", "deleted": True},
        {"key": "never there", "deleted": False},
    ]
    assert connector.get("c")["State-TTL"] == "60"


def test_batch__writes_all_or_nothing(connector):
    etag = connector.put("one", "a")["ETag"].strip('"')
    response = batch(
        connector,
        {"op": "put", "key": "b", "value": "x"},
        {"op": "put", "key": "a", "value": "two", "if_match": etag},
        {"op": "put", "key": "c", "value": "x", "if_match": "*"},
    )
    assert code_of(response) == (412, "precondition_failed")
    assert response.json()["detail"].startswith("operations.2: ")
    assert connector.get("a").json() == {"value": "one"}
    assert connector.get("b").json() == {"value": ""}


def test_batch__a_value_that_is_not_utf8_is_null_and_the_rest_is_done(connector):
    key = f"dsxconnect:connector_state:{tag(connector.uuid)}:m365:bad"
    get_redis_connection().set(key, b"\xff")
    put = {"op": "put", "key": "good", "value": "v"}
    bad, _ = batch(connector, {"op": "get", "key": "bad"}, put).json()["results"]
    assert (bad["value"], bad["code"]) == (None, "value_corrupt")
    assert connector.get("good").json() == {"value": "v"}


def test_batch__a_key_of_another_type_fails_before_anything_is_written(connector):
    get_redis_connection().hset(
        f"dsxconnect:connector_state:{tag(connector.uuid)}:m365:hash", "a", "b"
    )
    put = {"op": "put", "key": "good", "value": "v"}
    response = batch(connector, put, {"op": "get", "key": "hash"})
    assert code_of(response) == (500, "value_corrupt")
    assert connector.get("good").json() == {"value": ""}


def test_batch__a_hundred_operations(connector):
    puts = [{"op": "put", "key": f"k{n}", "value": str(n)} for n in range(100)]
    assert batch(connector, *puts).status_code == 200
    gets = [{"op": "get", "key": f"k{n}"} for n in range(100)]
    values = [result["value"] for result in batch(connector, *gets).json()["results"]]
    assert values == [str(n) for n in range(100)]


GET = {"op": "get", "key": "a"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b"\xff",
        b'{"operations": []}',
        b'{"operations": [{"op": "get", "key": "\\ud800"}]}',
        b'{"operations": [{"op": "put", "key": "a", "value": NaN}]}',
        json.dumps({"operations": [{**GET, "key": f"k{n}"} for n in range(101)]}).encode(),
        json.dumps({"operations": [GET, GET]}).encode(),
        json.dumps({"operations": [GET], "more": 1}).encode(),
        json.dumps({"operations": [{**GET, "op": "scan"}]}).encode(),
        json.dumps({"operations": [{**GET, "value": "x"}]}).encode(),
        json.dumps({"operations": [{**GET, "op": "put"}]}).encode(),
        json.dumps({"operations": [{**GET, "op": "put", "value": 1}]}).encode(),
        json.dumps({"operations": [{**GET, "op": "put", "value": "", "ttl": True}]}).encode(),
        json.dumps({"operations": [{**GET, "op": "put", "value": "", "ttl": 0}]}).encode(),
        json.dumps({"operations": [{**GET, "op": "delete", "ttl": 5}]}).encode(),
        json.dumps({"operations": [{"op": "get"}]}).encode(),
        json.dumps({"operations": [GET]}).encode("utf-16"),
        json.dumps({"operations": [GET]}).encode("utf-8-sig"),
        b'{"operations": [{"op": "put", "key": "a", "value": "\\ud800"}]}',
        b'{"operations": [{"op": "put", "key": "a", "value": "", "ttl": 1.0}]}',
        b'{"operations": [{"op": "put", "key": "a", "value": "", "ttl": %b}]}' % (b"9" * 9999),
    ],
)
def test_batch__that_is_none_is_400(connector, body):
    assert code_of(batch(connector, body=body)) == (400, "invalid_batch")


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("condition", ["*", '"stale"', ""])
def test_batch__a_conditional_header_is_refused_as_it_would_not_be_checked(
    connector, name, condition
):
    connector.put("held", "lock")
    header = {f"HTTP_{name.upper().replace('-', '_')}": condition}
    for operation in ({"op": "put", "key": "lock", "value": "v"}, {"op": "delete", "key": "lock"}):
        response = batch(connector, operation, **header)
        assert code_of(response) == (400, "invalid_parameter")
        assert name.lower().replace("-", "_") in response.json()["detail"]
    assert connector.get("lock").json() == {"value": "held"}


def test_batch__takes_no_parameter(connector):
    body = json.dumps({"operations": [GET]}).encode()
    response = connector.call("POST", f"{PREFIX}/state/{connector.uuid}/m365?if_match=*", body)
    assert code_of(response) == (400, "unknown_parameter")
    assert response.json()["detail"] == "Unknown parameter; this call knows none."


LOCK = '"op": "delete", "key": "lock"'


@pytest.mark.parametrize(
    "body",
    [
        f'{{"operations": [{{{LOCK}, "if_match": "{"0" * 40}", "if_match": null}}]}}',
        f'{{"operations": [{{{LOCK}, "\\u0069f_match": "{"0" * 40}", "if_match": null}}]}}',
        f'{{"operations": [{{{LOCK}, "ttl": {"9" * 5000}, "ttl": null}}]}}',
        f'{{"operations": [{{"op": "get", {LOCK}}}]}}',
        f'{{"operations": [{{"key": "other", {LOCK}}}]}}',
        f'{{"operations": [{{"op": "get", "key": "a"}}], "operations": [{{{LOCK}}}]}}',
    ],
)
def test_batch__a_repeated_name_is_refused(connector, body):
    connector.put("held", "lock")
    response = batch(connector, body=body.encode())
    assert code_of(response) == (400, "invalid_batch")
    assert connector.get("lock").json() == {"value": "held"}


@pytest.mark.in_process("changes a setting")
def test_batch__bad_key_condition_or_value_names_itself(connector, settings):
    assert code_of(batch(connector, {"op": "get", "key": "a\nb"})) == (400, "invalid_key")
    put = {"op": "put", "key": "a", "value": "v", "if_match": "x"}
    assert code_of(batch(connector, put)) == (400, "invalid_parameter")
    large = {"op": "put", "key": "a", "value": "x" * (settings.STATE_MAX_VALUE_BYTES + 1)}
    assert code_of(batch(connector, large)) == (413, "value_too_large")
    settings.STATE_MAX_BATCH_BYTES = 10
    assert code_of(batch(connector, GET)) == (413, "value_too_large")


def test_batch__tampered_replayed_or_another_s_is_refused(connector, stranger):
    path = f"{PREFIX}/state/{connector.uuid}/m365"
    body = json.dumps({"operations": [{"op": "put", "key": "a", "value": "v"}]}).encode()
    assert code_of(stranger.call("POST", path, body)) == (403, "other_connector")
    assert code_of(connector.send("POST", path, body, None)) == (401, "not_authenticated")
    authorization = connector.authorization("POST", path, body)
    tampered = body.replace(b'"v"', b'"w"')
    assert code_of(connector.send("POST", path, tampered, authorization)) == (401, "bad_signature")
    assert connector.send("POST", path, body, authorization).status_code == 200
    assert code_of(connector.send("POST", path, body, authorization)) == (401, "replayed")


# --- Policies -----------------------------------------------------------------------------------


def test_policy__namespaces(under_policy):
    connector = under_policy(allowed_namespaces="m365\nonedrive-*")
    for ns in ("m365", "secret"):
        OperatorSession(connector.uuid, "tests", Limits()).store.put(Address(ns, "delta"), b"v")
    assert connector.get(ns="m365").status_code == 200
    assert connector.put("v", ns="onedrive-mail").status_code == 204
    for response in (
        connector.get(ns="secret"),
        connector.put("v", ns="secret"),
        connector.delete(ns="secret"),
        listing(connector, "/secret"),
        batch(connector, GET, ns="secret"),
    ):
        assert code_of(response) == (403, "namespace_not_allowed")
    names = [row["namespace"] for row in listing(connector, "").json()["namespaces"]]
    assert names == ["m365", "onedrive-mail"]


def test_policy__read_only(under_policy):
    connector = under_policy(read_only=True)
    assert connector.get().status_code == 200
    assert batch(connector, GET).status_code == 200
    put = {"op": "put", "key": "b", "value": "v"}
    for response in (connector.put("v"), connector.delete(), batch(connector, GET, put)):
        assert code_of(response) == (403, "read_only")


def test_policy__number_of_keys(under_policy):
    connector = under_policy(max_keys=2)
    assert connector.put("v", "a").status_code == connector.put("v", "b").status_code == 204
    assert code_of(connector.put("v", "c")) == (403, "quota_exceeded")
    assert connector.put("w", "a").status_code == 204  # not a new one
    connector.delete("b")
    assert connector.put("v", "c").status_code == 204


def test_policy__number_of_bytes(under_policy):
    connector = under_policy(max_bytes=10)
    assert connector.put("12345", "a").status_code == 204
    assert code_of(connector.put("123456", "b")) == (403, "quota_exceeded")
    assert connector.put("1234567890", "a").status_code == 204
    assert connector.put("1", "a").status_code == 204
    assert connector.put("123456789", "b").status_code == 204


def test_policy__expired_keys_do_not_count(under_policy):
    connector = under_policy(max_keys=150)
    redis = get_redis_connection()
    for number in range(150):
        connector.put("v", f"k{number}", "?ttl=100")
    assert code_of(connector.put("v", "one more")) == (403, "quota_exceeded")
    expiries = f"statekeep:{{{connector.uuid}}}:expiries"
    for member, _ in redis.zscan_iter(expiries):
        redis.delete(f"dsxconnect:connector_state:{tag(connector.uuid)}:{member.decode()}")
        redis.zadd(expiries, {member: 1})
    assert connector.put("v", "one more").status_code == 204


def test_policy__requests_per_second_are_429_with_retry_after(under_policy):
    connector = under_policy(max_requests_per_second=3)
    statuses = [connector.get().status_code for _ in range(8)]
    assert statuses[:3] == [200, 200, 200]
    assert 429 in statuses
    connector = under_policy(max_requests_per_second=1)
    response = [connector.get() for _ in range(3)][-1]
    assert code_of(response) == (429, "rate_limited")
    assert 1 <= int(response["Retry-After"]) <= 3


@pytest.mark.parametrize("limits", [Limits(max_keys=20), Limits(max_bytes=20)])
@pytest.mark.in_process("sends no request")
def test_quota__of_fifty_concurrent_writers_ends_exactly_at_the_limit(limits):
    outcomes = []

    def write(number: int) -> None:
        store = StateStore(UUID, Caller.operator("t", limits))
        try:
            store.put(Address("m365", f"k{number}"), b"v")
            outcomes.append(True)
        except Forbidden:
            outcomes.append(False)
        connection.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count(True), outcomes.count(False)) == (20, 30)
    assert len(list(get_redis_connection().scan_iter("dsxconnect:*"))) == 20


@pytest.mark.in_process("sends no request")
def test_quota__a_batch_counts_as_a_whole():
    store = StateStore(UUID, Caller.operator("t", Limits(max_keys=2)))
    puts = [Operation("put", Address("m365", f"k{n}"), b"v") for n in range(3)]
    with pytest.raises(Forbidden):
        store.operate(puts)
    assert not list(get_redis_connection().scan_iter("dsxconnect:*"))
