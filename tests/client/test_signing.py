"""The client signs as the connectors' own public code does, and keeps the secret to itself."""

import base64
import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import requests
from urllib3.exceptions import InvalidHeader

from client import statekeep_client
from client.statekeep_client import OutcomeUnknown, StateClient, StateError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "dsx_hmac.json").read_text())
UUID = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"


@pytest.fixture
def client():
    with StateClient("http://localhost", UUID, VECTORS["key_id"], VECTORS["secret"]) as client:
        yield client


def body_of(case) -> bytes:
    if "body_repeat" in case:
        text, times = case["body_repeat"]
        return text.encode() * times
    return base64.b64decode(case["body_base64"])


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_authorization__is_that_of_the_vectors(client, case):
    assert case["authorization"] == client._authorization(
        case["method"], case["path_and_query"], body_of(case), case["ts"], case["nonce"]
    )


def test_target__is_encoded_as_connectors_do(client):
    call = statekeep_client._Call(client)
    expected = f"/dsx-connect/api/v1/connectors/state/{UUID}/m365/delta%3Auser%40contoso%2F%7C%25"
    assert call._target("m365", "delta:user@contoso/|%") == expected
    assert call._target("a", "b", query={"ttl": 5, "if_match": None}).endswith("/a/b?ttl=5")
    assert call._target("a", "b", query={"if_none_match": "*"}).endswith("?if_none_match=%2A")


@pytest.mark.parametrize("key", ["", ".", ".."])
def test_target__that_would_lead_elsewhere_is_refused(client, key):
    with pytest.raises(ValueError, match="batch"):
        client.get("m365", key)


def test_namespace__with_a_slash_is_refused_here(client):
    with pytest.raises(ValueError, match="namespace"):
        client.get("a/b", "c")


def test_value__that_is_no_text_is_refused_with_advice(client):
    for value in (b"bytes", None):
        with pytest.raises(TypeError, match="base64"):
            client.put("a", "b", value)


@pytest.mark.parametrize(
    "url",
    [
        "localhost",
        "ftp://localhost",
        "http://",
        "http:///x",
        "http://me:word@localhost",
        "http://localhost?a=b",
    ],
)
def test_base_url__that_is_none_is_refused_and_not_repeated(url):
    with pytest.raises(ValueError, match="base_url") as caught:
        StateClient(url, UUID, "kid", "secret")
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("key_id", ["kid\n", " kid", "", "é", "k" * 65])
def test_key_id__that_no_header_holds_is_refused(key_id):
    with pytest.raises(ValueError, match="key_id is"):
        StateClient("http://localhost", UUID, key_id, "secret")


def test_uuid__may_be_one_already(client):
    assert (
        StateClient("http://localhost", uuid.UUID(UUID), "kid", "x")._root
        == StateClient("http://localhost", UUID, "kid", "x")._root
    )


@pytest.mark.parametrize(
    ("cause", "raised", "number"),
    [("of ours", StateError, 1), (InvalidHeader("of the answer"), OutcomeUnknown, 2)],
)
def test_put__that_can_not_be_sent_is_not_tried_again_and_not_unknown(cause, raised, number):
    sent = []

    class Session(requests.Session):
        def request(self, *args: object, **kwargs: object) -> requests.Response:
            sent.append(args)
            raise requests.exceptions.InvalidHeader(cause)

    client = StateClient("http://localhost", UUID, "kid", "secret", session=Session(), attempts=2)
    with pytest.raises(StateError, match="InvalidHeader") as caught:
        client.put("a", "b", "c")
    assert (type(caught.value), len(sent)) == (raised, number)


def test_secret__is_in_no_attribute_and_no_repr(client):
    shown = repr(client) + repr(vars(client)) + repr(statekeep_client._Call(client))
    assert VECTORS["secret"] not in shown


def test_value__and_request_do_not_show_what_they_carry():
    request = statekeep_client.Request("PUT", "/x", b"cursor", {"Authorization": "sig=x"}, 1.0)
    value = statekeep_client.Value("cursor", "0" * 40, None)
    shown = repr((request, value, statekeep_client.Put("k", "cursor")))
    assert "cursor" not in shown
    assert "sig=" not in shown


def test_import__takes_the_standard_library_alone():
    code = (
        "import sys; sys.path.insert(0, 'client'); import statekeep_client;"
        "sys.exit(any(name in sys.modules for name in ('requests', 'httpx', 'urllib3')))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
