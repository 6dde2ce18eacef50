"""The loop and the threads answer alike: the same status, headers (but Date) and body."""

import hashlib
import io
import time
from urllib.parse import quote, unquote_to_bytes

import pytest
from django_redis import get_redis_connection
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config.wsgi import application as wsgi
from tests.connectors import PREFIX, SigningConnector
from tests.door import door_in_one_thread, serve

ETAG = hashlib.sha1(b"stored").hexdigest()
TEXT = st.text(st.sampled_from("ab:/%?é\x00 |.,(~"), min_size=1, max_size=8)
VALUES = st.builds("state/{{uuid}}/{}/{}".format, st.sampled_from(["m365", "a:b"]), TEXT.map(quote))
OTHERS = (
    "state/{uuid}/m365/delta state/{other}/m365/delta state/{uuid}/m365 state/{uuid} state/x/y/z "
    "state/{uuid}/m365/%FF state/{uuid}/m365/a%2Fb state/{uuid}/m%2F365/k state/{uuid}//k "
    "nowhere register"
)
QUERIES = st.sampled_from(
    [
        *("", "ttl=60", "ttl=0", "ttl=60&ttl=60", "x=1", "a|b", "%FF", "if_match=*"),
        *("if_none_match=*", f"if_match={ETAG}", "if_match=nonsense", "limit=1", "cursor=%%"),
    ]
)
METHODS = st.sampled_from(
    ["GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS", "PATCH", "get", "FOO"]
)
BATCH = b'{"operations": [{"op": "get", "key": "delta"}, {"op": "put", "key": "k", "value": "v"}]}'
BODIES = st.sampled_from([b"", b"", b"value", b"a|b", b"\xff", BATCH, b"x" * 70_000])
HEADERS = st.dictionaries(
    st.sampled_from(["if-none-match", "if-match", "accept", "transfer-encoding", "x-odd", "host"]),
    st.sampled_from([f'"{ETAG}"', "*", "text/html", "chunked", "nonsense", 'W/"x", "y"', ""]),
    max_size=2,
)
SIGNED = st.sampled_from(
    ["well", "well", "well", "wrongly", "late", "malformed", "nobody", "Bearer"]
)


@pytest.fixture
def loop_runner(db, monkeypatch):
    with door_in_one_thread(monkeypatch) as runner:
        yield runner


@pytest.fixture
def connector(db):
    return SigningConnector.create()


def authorization(connector, how, method, target, body):
    if how == "nobody":
        return []
    if how == "Bearer":
        return [("authorization", "Bearer abc")]
    if how == "malformed":
        return [("authorization", "DSX-HMAC key_id=")]
    ts = "1" if how == "late" else str(int(time.time()))
    signed_body = body + b"more" if how == "wrongly" else body
    return [("authorization", connector.authorization(method.upper(), target, signed_body, ts=ts))]


def in_order(status, headers, body):
    kept = {name.lower(): value for name, value in headers if name != "Date"}
    assert kept.pop("x-request-id")  # each request has another
    return status, sorted(kept.items()), body


def by_wsgi(method, path, query, headers, body):
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": f"{path}?{query}" if query else path,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_LENGTH" else f"HTTP_{key}"] = value
    answer: list = []
    body = b"".join(wsgi(environ, lambda *head: answer.extend(head)))
    return in_order(int(answer[0].split()[0]), answer[1], body)


def by_the_door(runner, method, path, query, headers, body):
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    return in_order(*runner.run(serve(scope, io.BytesIO(body))))


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(METHODS, VALUES | st.sampled_from(OTHERS.split()), QUERIES, HEADERS, SIGNED, BODIES)
@example("PUT", "state/{uuid}/m365/delta", "ttl=60", {}, "well", b"value")
@example("GET", "state/{uuid}/m365/delta", "", {"if-none-match": f'"{ETAG}"'}, "well", b"")
@example("POST", "state/{uuid}/m365", "", {}, "well", BATCH)
@example("HEAD", "state/{uuid}/m365/delta", "", {}, "well", b"")
@example("DELETE", "state/{uuid}/m365/delta", f"if_match={ETAG}", {}, "well", b"")
def test_answers__of_the_door_and_of_wsgi_are_the_same(
    loop_runner, connector, method, path, query, headers, how, body
):
    path = f"{PREFIX}/{path.format(uuid=connector.uuid, other='0' * 8 + connector.uuid[8:])}"
    target = f"{path}?{query}" if query else path
    key = f"dsxconnect:connector_state:{connector.uuid}:m365:delta"
    answers = []
    for answer in (by_wsgi, lambda *request: by_the_door(loop_runner, *request)):
        get_redis_connection().flushall()
        get_redis_connection().set(key, b"stored")
        # Each request is signed anew, as a nonce is good for one.
        sent = [*headers.items(), *authorization(connector, how, method, target, body)]
        if body:
            sent.append(("content-length", str(len(body))))
        answers.append(answer(method, path, query, sent, body))
    assert answers[0] == answers[1]
