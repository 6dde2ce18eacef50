"""GET with ?version=: an earlier value, or a 404."""

import pytest

from connector_state.operator_session import OperatorSession
from connector_state.store.calls import Limits
from connector_state.store.keys import Address
from tests.connector_state.api.test_conditions_and_ttl import code_of, etag_of
from tests.connectors import SigningConnector
from tests.servers import wait_until

GONE = (404, "version_gone")


def get(connector, query, key="delta", method="GET", **headers):
    return connector.call(method, connector.path(key=key) + query, **headers)


def test_version__is_an_earlier_value_or_the_current_one(connector):
    connector.put("one", query="?ttl=60")
    connector.put("")
    connector.put("three")
    for value in ("one", "", "three"):
        response = get(connector, f"?version={etag_of(value)}")
        assert response.json() == {"value": value}
        assert response["ETag"] == f'"{etag_of(value)}"'
        assert not response.has_header("State-TTL")
    quoted = get(connector, f"?version=%22{etag_of('one')}%22")
    assert quoted.json() == {"value": "one"}


def test_version__of_a_deleted_value(connector):
    connector.put("one")
    connector.delete()
    assert connector.get().json() == {"value": ""}
    assert get(connector, f"?version={etag_of('one')}").json() == {"value": "one"}


def test_version__outlives_a_value_with_a_ttl_that_replaced_it(connector):
    connector.put("good cursor")
    connector.put("oops", query="?ttl=1")
    wait_until(lambda: connector.get().json() == {"value": ""})
    connector.put("rescanned")
    found = get(connector, f"?version={etag_of('good cursor')}")
    assert found.json() == {"value": "good cursor"}
    assert code_of(get(connector, f"?version={etag_of('oops')}")) == GONE


def test_version__unknown_is_gone_and_never_an_empty_value(connector):
    unknown = f"?version={etag_of('never stored')}"
    assert code_of(get(connector, unknown)) == GONE
    connector.put("one")
    assert code_of(get(connector, unknown)) == GONE
    connector.put("of another key", "other")
    connector.put("changed", "other")
    theirs = f"?version={etag_of('of another key')}"
    assert code_of(get(connector, theirs)) == GONE
    assert get(connector, theirs, "other").json() == {"value": "of another key"}


@pytest.mark.parametrize("version", ["", "*", "x", "A" * 40, "a" * 39, "a" * 40 + "," + "b" * 40])
def test_version__that_is_no_etag_is_400(connector, version):
    connector.put("one")
    assert code_of(get(connector, f"?version={version}")) == (400, "invalid_parameter")
    twice = f"?version={etag_of('one')}&version={etag_of('one')}"
    assert code_of(get(connector, twice)) == (400, "invalid_parameter")


def test_version__head_and_not_modified(connector):
    connector.put("one")
    connector.put("two")
    query = f"?version={etag_of('one')}"
    response = get(connector, query, method="HEAD")
    assert (response.status_code, response.content) == (200, b"")
    assert response["ETag"] == f'"{etag_of("one")}"'
    gone = get(connector, f"?version={etag_of('x')}", method="HEAD")
    assert (gone.status_code, gone.content) == (404, b"")
    known = get(connector, query, HTTP_IF_NONE_MATCH=f'"{etag_of("one")}"')
    assert (known.status_code, known.content) == (304, b"")


def test_version__of_another_connector_is_refused(connector, stranger):
    connector.put("one")
    query = f"?version={etag_of('one')}"
    theirs = stranger.call("GET", connector.path() + query)
    assert code_of(theirs) == (403, "other_connector")
    assert code_of(get(stranger, query)) == GONE


@pytest.mark.parametrize("ns, status", [("m365", 200), ("sharepoint", 403)])
def test_version__is_under_the_policy(db, ns, status):
    connector = SigningConnector.create(allowed_namespaces="m365", read_only=True)
    session = OperatorSession(connector.uuid, "tests", Limits())
    for value in (b"one", b"two"):
        session.store.put(Address(ns, "delta"), value)
    response = connector.call("GET", f"{connector.path(ns)}?version={etag_of('one')}")
    assert response.status_code == status
    assert (b"namespace_not_allowed" in response.content) == (status == 403)


def test_version__is_for_get_alone(connector):
    query = f"?version={etag_of('one')}"
    assert code_of(connector.put("one", query=query)) == (400, "unknown_parameter")
    assert code_of(connector.delete(query=query)) == (400, "unknown_parameter")
