"""DELETE, HEAD, compare-and-swap and TTL."""

import hashlib
import json
import threading

import pytest
from django.db import connection
from django_redis import get_redis_connection

from connector_state.errors import PreconditionFailed
from connector_state.store.calls import Caller
from connector_state.store.keys import Address
from connector_state.store.operations import Condition
from connector_state.store.values import StateStore
from tests.connectors import tag


def etag_of(value: str) -> str:
    return hashlib.sha1(value.encode()).hexdigest()


def code_of(response):
    return response.status_code, json.loads(response.content)["code"]


def raw_ttl(connector) -> int:
    return get_redis_connection().ttl(
        f"dsxconnect:connector_state:{tag(connector.uuid)}:m365:delta"
    )


def test_delete__is_204_also_when_missing(connector):
    connector.put("v")
    assert connector.delete().status_code == 204
    assert connector.delete().status_code == 204
    assert connector.get().json() == {"value": ""}
    assert not list(get_redis_connection().scan_iter("dsxconnect:*"))


def test_head__tells_etag_and_ttl_without_a_body(connector):
    connector.put("v", query="?ttl=60")
    response = connector.call("HEAD", connector.path())
    assert (response.status_code, response.content) == (200, b"")
    assert response["ETag"] == f'"{etag_of("v")}"'
    assert response["State-TTL"] == "60"


def test_etag__of_put_and_get_is_strong_and_the_same(connector):
    stored = connector.put("v")
    assert stored["ETag"] == connector.get()["ETag"] == f'"{etag_of("v")}"'


def test_get__not_modified(connector):
    etag = connector.put("v")["ETag"]
    for header in (etag, f"W/{etag}", "*", f'"other", {etag}'):
        response = connector.get(HTTP_IF_NONE_MATCH=header)
        assert (response.status_code, response.content) == (304, b"")
        assert response["ETag"] == etag
    assert connector.get(HTTP_IF_NONE_MATCH='"other"').status_code == 200
    assert connector.get("missing", HTTP_IF_NONE_MATCH="*").json() == {"value": ""}
    assert connector.get(HTTP_IF_NONE_MATCH=f'"a,b", , {etag},').status_code == 304


def test_get__ignores_an_if_none_match_that_is_of_no_use(connector):
    etag = connector.put("v")["ETag"]
    bare = etag.strip('"')
    of_no_use = ("", ",", bare, '"a,b"', f'"a,{bare}"', f'"{bare},b"', f'"{bare}', "*,", '*, "x"')
    for header in of_no_use:
        response = connector.get(HTTP_IF_NONE_MATCH=header)
        assert (response.status_code, response.json()) == (200, {"value": "v"}), header


@pytest.mark.parametrize("quoted", [True, False])
def test_if_match__query(connector, quoted):
    etag = connector.put("one")["ETag"].strip('"')
    sent = f"%22{etag}%22" if quoted else etag
    assert connector.put("two", query=f"?if_match={sent}").status_code == 204
    assert code_of(connector.put("three", query=f"?if_match={sent}")) == (
        412,
        "precondition_failed",
    )
    assert connector.get().json() == {"value": "two"}
    assert code_of(connector.delete(query=f"?if_match={sent}")) == (412, "precondition_failed")
    assert connector.delete(query=f"?if_match={etag_of('two')}").status_code == 204
    assert connector.delete(query=f"?if_match={etag_of('two')}").status_code == 412


def test_if_match__star_needs_a_value(connector):
    assert connector.put("v", query="?if_match=*").status_code == 412
    connector.put("v")
    assert connector.put("w", query="?if_match=*").status_code == 204


def test_if_none_match__star_only_creates(connector):
    assert connector.put("one", query="?if_none_match=*").status_code == 204
    assert connector.put("two", query="?if_none_match=*").status_code == 412
    assert connector.get().json() == {"value": "one"}


def test_conditions__of_an_empty_value(connector):
    connector.put("")
    assert connector.put("x", query="?if_none_match=*").status_code == 412
    assert connector.put("x", query=f"?if_match={etag_of('')}").status_code == 204


def test_headers__mean_the_same(connector):
    etag = connector.put("one")["ETag"]
    path = connector.path()
    assert connector.call("PUT", path, b"x", HTTP_IF_MATCH='"stale"').status_code == 412
    assert connector.call("PUT", path, b"x", HTTP_IF_MATCH=f"W/{etag}").status_code == 412
    assert connector.call("PUT", path, b"x", HTTP_IF_MATCH='"*"').status_code == 412
    assert connector.call("PUT", path, b"x", HTTP_IF_NONE_MATCH="*").status_code == 412
    assert connector.call("PUT", path, b"x", HTTP_IF_NONE_MATCH=f"W/{etag}").status_code == 412
    assert connector.call("PUT", path, b"x", HTTP_IF_MATCH=f'"a", {etag}').status_code == 204


def test_headers__that_disagree_with_the_query_are_400(connector):
    etag = connector.put("one")["ETag"]
    target = connector.path() + f"?if_match={etag_of('other')}"
    response = connector.call("PUT", target, b"x", HTTP_IF_MATCH=etag)
    assert code_of(response) == (400, "conflicting_conditions")
    agreeing = connector.path() + f"?if_match={etag_of('one')}"
    assert connector.call("PUT", agreeing, b"x", HTTP_IF_MATCH=etag).status_code == 204


@pytest.mark.parametrize(
    "query", ["if_match=", "if_match=abc", "if_match=W/%22a%22", "if_none_match=x", "if_match=a,b"]
)
def test_conditions__malformed_are_400_and_never_taken_for_none(connector, query):
    assert code_of(connector.put("v", query=f"?{query}")) == (400, "invalid_parameter")
    assert connector.get().json() == {"value": ""}


@pytest.mark.parametrize("name", ["HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"])
@pytest.mark.parametrize("header", ["", ",", "abc", "W/abc", '"x', '*, "x"', '"x",*', 'abc, "x"'])
def test_headers__malformed_are_400_even_in_part(connector, header, name):
    connector.put("lock")
    for method in ("PUT", "DELETE"):
        response = connector.call(method, connector.path(), b"", **{name: header})
        assert code_of(response) == (400, "invalid_parameter")
    assert connector.get().json() == {"value": "lock"}


def test_if_none_match__without_its_quotes_is_not_left_out_of_a_list(connector):
    etag = connector.put("lock")["ETag"].strip('"')
    response = connector.call("PUT", connector.path(), b"v", HTTP_IF_NONE_MATCH=f'{etag}, "x"')
    assert code_of(response) == (400, "invalid_parameter")
    assert connector.get().json() == {"value": "lock"}


def test_headers__an_etag_may_hold_a_comma(connector):
    etag = connector.put("one")["ETag"]
    other = f'"a,{etag[1:]}'
    for header in ({"HTTP_IF_MATCH": other}, {"HTTP_IF_NONE_MATCH": f'"a,b", {etag}'}):
        assert connector.call("PUT", connector.path(), b"x", **header).status_code == 412
    sent = {"HTTP_IF_MATCH": f'"a,b", {etag}'}
    assert connector.call("PUT", connector.path(), b"x", **sent).status_code == 204


def test_condition__that_fails_spends_the_nonce(connector):
    target = connector.path() + "?if_match=*"
    authorization = connector.authorization("PUT", target, b"v")
    assert connector.send("PUT", target, b"v", authorization).status_code == 412
    assert code_of(connector.send("PUT", target, b"v", authorization)) == (401, "replayed")


def test_ttl__is_reported_and_removed_by_a_put_without_one(connector):
    connector.put("v", query="?ttl=60")
    assert raw_ttl(connector) == 60
    assert connector.get()["State-TTL"] == "60"
    connector.put("v")
    assert raw_ttl(connector) == -1
    assert "State-TTL" not in connector.get()


def test_ttl__ends_the_value(connector):
    connector.put("v", query="?ttl=1")
    get_redis_connection().pexpire(
        f"dsxconnect:connector_state:{tag(connector.uuid)}:m365:delta", 0
    )
    assert connector.get().json() == {"value": ""}


@pytest.mark.parametrize("ttl", ["0", "-1", "1.5", "", "x", "1e3", "+1", "99999999999", "\uff11"])
def test_ttl__that_is_none_is_400(connector, ttl):
    from urllib.parse import quote

    response = connector.put("v", query=f"?ttl={quote(ttl)}")
    assert code_of(response) == (400, "invalid_parameter")


def test_parameter__twice_is_400(connector):
    assert code_of(connector.put("v", query="?ttl=1&ttl=2")) == (400, "invalid_parameter")


@pytest.mark.in_process("sends no request")
def test_compare_and_swap__a_counter_of_twenty_writers_ends_exact():
    uuid, address = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11", Address("m365", "counter")

    def increment() -> None:
        while True:
            store = StateStore(uuid, Caller.operator("t"))
            entry = store.get(address)
            condition = Condition(if_match=entry.etag) if entry else Condition(if_none_match="*")
            value = str(int(entry.text if entry else "0") + 1).encode()
            try:
                StateStore(uuid, Caller.operator("t")).put(address, value, condition=condition)
                return
            except PreconditionFailed:
                continue

    def work() -> None:
        for _ in range(10):
            increment()
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert StateStore(uuid, Caller.operator("t")).get(address).text == "200"
