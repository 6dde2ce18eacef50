"""Pages through the bridge, by a real granian: streams, bodies, stops, connections."""

import hashlib
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest
import requests

from tests import servers
from tests.test_servers import Product

THREADS = 4

CREATE_SESSION = """
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
user = get_user_model().objects.create_user("sender", password="x" * 20, is_staff=True)
session = SessionStore()
session.update({"_auth_user_id": str(user.pk), "_auth_user_hash": user.get_session_auth_hash(),
                "_auth_user_backend": "django.contrib.auth.backends.ModelBackend"})
session.save()
print(session.session_key)
"""


def start(environ, log, workers, threads):
    environ = {**environ, "DJANGO_SETTINGS_MODULE": "tests.config.door.settings"}
    return servers.granian(environ, log, workers=1, threads=THREADS)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    product = Product(start, tmp_path_factory.mktemp("site"))
    yield product
    product.stop()


@pytest.fixture(scope="module")
def session_cookie(site):
    key = site.manage("shell", "--no-imports", "-c", CREATE_SESSION).split()[-1]
    return {"Cookie": f"sessionid={key}"}


def url(site, path):
    return f"{site.server.url}/test/{path}"


def connect(site):
    return socket.create_connection(("127.0.0.1", site.server.port), timeout=10)


def read_until(peer, wanted):
    received = b""
    while wanted not in received:
        piece = peer.recv(65536)
        assert piece, received
        received += piece
    return received


# --- Streams --------------------------------------------------------------------------------------


def test_stream__each_piece_goes_out_when_it_is_made(site, tmp_path):
    go = tmp_path / "go"
    with requests.get(url(site, f"export?go={go}"), stream=True, timeout=10) as answer:
        lines = answer.iter_lines(chunk_size=1)
        assert next(lines) == b"first"  # the other is not even made
        go.touch()
        assert list(lines) == [b"last"]


def test_stream__its_generator_ends_when_the_client_leaves(site, tmp_path):
    mark = tmp_path / "mark"
    answer = requests.get(url(site, f"events?mark={mark}"), stream=True, timeout=10)
    assert next(answer.iter_lines()) == b"data: x"
    assert not mark.exists()
    answer.close()
    servers.wait_until(mark.exists, what="the end of the generator")


def test_stream__of_events_ends_where_nobody_reads_them(site, tmp_path):
    mark = tmp_path / "mark"
    with connect(site) as peer:
        peer.sendall(f"GET /test/flood?mark={mark} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        servers.wait_until(mark.exists, what="the end of the generator")


def test_stream__a_head_makes_none_of_it(site, tmp_path):
    answer = requests.head(url(site, f"export?go={tmp_path / 'never'}"), timeout=10)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("view", ["events", "silent"])
def test_stop__ends_event_streams_and_lets_running_requests_end(site, tmp_path, view):
    mark, begun = tmp_path / "mark", tmp_path / "begun"
    with (
        requests.get(url(site, f"{view}?mark={mark}"), stream=True, timeout=10) as stream,
        ThreadPoolExecutor(1) as pool,
    ):
        lines = stream.iter_lines()
        assert next(lines) == b"data: x"
        running = pool.submit(requests.get, url(site, f"slow?seconds=1&mark={begun}"), timeout=10)
        servers.wait_until(begun.exists, what="the running request")
        site.server.process.terminate()
        assert set(lines) <= {b"", b"data: x"}  # it ends, and in order: no broken chunk
        assert running.result().text == "done"
        assert site.server.process.wait(10) == 0
    assert "Killing" not in site.server.log.read_text()
    assert mark.exists() == (view == "events")
    site.start()


# --- Bodies ---------------------------------------------------------------------------------------


def echoed(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("size", [0, 1, 65_536])
def test_body__of_anybody_up_to_64_kib(site, size):
    body = b"x" * size
    found = echoed(requests.post(url(site, "echo"), data=body, timeout=10))
    assert found["sha256"] == hashlib.sha256(body).hexdigest()


def test_body__larger_ones_are_taken_of_those_who_logged_in(site, session_cookie):
    body = b"x" * 1_048_576
    refused = requests.post(url(site, "echo"), data=body, timeout=10)
    assert refused.status_code == 413
    assert "was not received" in refused.text
    found = echoed(requests.post(url(site, "echo"), data=body, headers=session_cookie, timeout=10))
    assert found["sha256"] == hashlib.sha256(body).hexdigest()


def test_body__of_an_invented_session_is_that_of_anybody(site):
    cookie = {"Cookie": "sessionid=" + "a" * 32}
    answer = requests.post(url(site, "echo"), data=b"x" * 65_537, headers=cookie, timeout=10)
    assert answer.status_code == 413


def test_body__in_chunks_arrives_with_its_length(site):
    found = echoed(requests.post(url(site, "echo"), data=iter([b"ab", b"c"]), timeout=10))
    assert found == {
        "method": "POST",
        "sha256": hashlib.sha256(b"abc").hexdigest(),
        "length": "3",
    }


def test_body__is_asked_for_by_100_continue(site):
    with connect(site) as peer:
        peer.sendall(
            b"POST /test/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
            b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        assert read_until(peer, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        peer.sendall(b"abc")
        assert hashlib.sha256(b"abc").hexdigest().encode() in read_until(peer, b"}")


def test_body__is_not_asked_for_where_the_headers_are_refused(site):
    register = "/dsx-connect/api/v1/connectors/register"
    for method, path in (
        ("PUT", site.connector.path()),
        ("POST", register),
        ("POST", "/api/u/chat"),
    ):
        with connect(site) as peer:
            peer.sendall(
                f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
                "Authorization: Bearer nonsense\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            status = read_until(peer, b"\r\n\r\n").split(b" ")[1]
            assert status in (b"401", b"403"), (path, status)  # 403: no enrolment tokens are set


def test_http_1_0__gets_an_answer_and_the_end(site):
    with connect(site) as peer:
        peer.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        received = b"".join(iter(lambda: peer.recv(65536), b""))
    assert received.startswith(b"HTTP/1.0 200")
    assert received.endswith(b'{"status": "ok"}')


@pytest.mark.parametrize("path", ["/livez", "/test/echo", "/admin/login/"])
def test_head__is_a_get_without_its_body(site, path):
    peer = HTTPConnection("127.0.0.1", site.server.port, timeout=10)
    peer.request("HEAD", path, headers={"Host": "localhost"})
    answer = peer.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    assert int(answer.getheader("Content-Length")) > 0
    peer.request("GET", "/livez", headers={"Host": "localhost"})  # the connection is in step
    assert json.loads(peer.getresponse().read()) == {"status": "ok"}
    peer.close()


def test_path__that_is_no_utf8_is_a_400_on_a_listing_and_another_path_on_pages(site):
    for path in ("/dsx-connect/api/v1/connectors/state/%FF", "/api/%FF/chat"):
        answer = requests.get(site.server.url + path, timeout=10)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_path")
    assert requests.get(site.server.url + "/test/%FF", timeout=10).status_code == 404


# --- Threads --------------------------------------------------------------------------------------


def test_database__connections_last_as_long_as_their_threads(site):
    with ThreadPoolExecutor(8) as pool:
        answers = [
            answer.json()
            for answer in pool.map(
                lambda _: requests.get(url(site, "database"), timeout=30), range(40)
            )
        ]
    assert len({answer["thread"] for answer in answers}) <= THREADS
    assert len({tuple(answer.items()) for answer in answers}) <= THREADS


def test_threads__all_taken_keep_neither_value_calls_nor_health_waiting(site, tmp_path):
    with ThreadPoolExecutor(THREADS) as pool:
        marks = [tmp_path / str(number) for number in range(THREADS)]
        running = [
            pool.submit(requests.get, url(site, f"slow?seconds=5&mark={mark}"), timeout=20)
            for mark in marks
        ]
        servers.wait_until(lambda: all(mark.exists() for mark in marks), what="slow requests")
        request = site.raw_request("GET", site.connector.path().encode())
        assert site.raw(request)[0] == 200
        assert requests.get(f"{site.server.url}/readyz", timeout=10).status_code == 200
        assert not any(job.done() for job in running)
        assert {job.result().text for job in running} == {"done"}
