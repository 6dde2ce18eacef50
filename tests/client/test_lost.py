"""What the client makes of lost messages: a proxy loses them, the server behind it is real."""

import hashlib
import socket
import time

import pytest

from client import statekeep_client
from client.statekeep_client import (
    Delete,
    Get,
    OutcomeUnknown,
    PreconditionFailed,
    Put,
    StateError,
    Unavailable,
    Value,
)
from tests.client.proxy import cut_in_the_middle, lose_answer, lose_request, send_twice


def sha1(value: str) -> str:
    return hashlib.sha1(value.encode()).hexdigest()


def methods(proxy) -> list[str]:
    return [request.split(b" ", 1)[0].decode() for request in proxy.seen]


@pytest.fixture(params=[lose_answer, lose_request], ids=lambda fault: fault.__name__)
def lose(request):
    return request.param


def test_get__is_sent_again_signed_anew(far, state, proxy, ns, lose):
    state.put(ns, "k", "v")
    proxy.faults += [lose, lose]
    assert far.get(ns, "k").value == "v"
    assert methods(proxy) == ["GET"] * 3
    assert len({request.lower().partition(b"nonce=")[2][:16] for request in proxy.seen}) == 3


def test_get__is_never_none_when_the_answers_are_lost(connect, proxy, ns):
    far = connect(proxy.url, attempts=3)
    proxy.faults += [lose_answer] * 3
    with pytest.raises(Unavailable):
        far.get(ns, "nothing there")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"value":null}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /livez\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_get__is_never_none_for_an_answer_that_is_not_of_the_api(far, proxy, ns, answer):
    proxy.faults += [lambda forward: answer]
    with pytest.raises(StateError):
        far.get(ns, "k")
    assert len(proxy.seen) == 1


def test_get__answer_cut_in_the_middle_is_asked_for_again(far, state, proxy, ns):
    state.put(ns, "k", "v")
    proxy.faults += [cut_in_the_middle]
    assert far.get(ns, "k").value == "v"
    assert len(proxy.seen) == 2


def test_put__is_sent_again(far, state, proxy, ns, lose):
    proxy.faults += [lose]
    assert far.put(ns, "k", "v") == sha1("v")
    assert state.get(ns, "k").value == "v"
    assert methods(proxy) == ["PUT"] * 2


def test_put__on_a_kept_connection_that_the_server_closed(far, proxy, ns):
    far.put(ns, "k", "1")
    proxy.faults += [lose_request]
    far.put(ns, "k", "2")
    assert far.get(ns, "k").value == "2"


def test_put__that_was_refused_for_good_after_a_lost_answer_is_unknown(far, proxy, ns):
    refusal = b'{"detail": "no", "code": "forbidden"}'
    answer = b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n%b" % (len(refusal), refusal)
    proxy.faults += [lose_answer, lambda forward: answer]
    with pytest.raises(OutcomeUnknown) as caught:
        far.put(ns, "k", "v")
    assert (caught.value.status, caught.value.code) == (403, "forbidden")


def test_put__whose_answers_are_all_lost_is_unknown(connect, state, proxy, ns):
    far = connect(proxy.url, attempts=2)
    proxy.faults += [lose_answer] * 2
    with pytest.raises(OutcomeUnknown):
        far.put(ns, "k", "v")
    assert state.get(ns, "k").value == "v"


def test_put__that_is_redirected_is_refused_and_not_followed(far, state, proxy, ns):
    answer = b"HTTP/1.1 307 Go\r\nLocation: /livez\r\nContent-Length: 0\r\n\r\n"
    proxy.faults += [lambda forward: answer]
    with pytest.raises(StateError, match="base_url") as caught:
        far.put(ns, "k", "v")
    assert type(caught.value) is StateError
    assert len(proxy.seen) == 1


def test_put__answered_by_something_else_is_unknown(far, proxy, ns):
    proxy.faults += [lambda forward: b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"]
    with pytest.raises(OutcomeUnknown):
        far.put(ns, "k", "v")


def test_put__that_never_left_is_not_unknown_but_unavailable(connect, ns):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    far = connect(url, attempts=2)
    with pytest.raises(Unavailable):
        far.put(ns, "k", "v", if_none_match="*")


def test_put__sent_twice_by_a_proxy_is_done_and_no_refusal(far, state, proxy, ns):
    etag = state.put(ns, "k", "old")
    proxy.faults += [send_twice]  # the second copy is answered 401 replayed
    assert far.put(ns, "k", "new", if_match=etag) == sha1("new")
    assert state.get(ns, "k").value == "new"


@pytest.mark.parametrize("existing", [True, False])
def test_conditional_put__is_recognised_as_ours(far, state, proxy, ns, lose, existing):
    condition = {"if_match": state.put(ns, "k", "old")} if existing else {"if_none_match": "*"}
    proxy.faults += [lose]
    assert far.put(ns, "k", "new", **condition) == sha1("new")
    assert state.get(ns, "k").value == "new"
    # Not carried out, the second succeeds; carried out, it meets a 412, and a read tells.
    assert methods(proxy) == (["PUT", "PUT", "GET"] if lose is lose_answer else ["PUT", "PUT"])


def test_conditional_put__of_what_stands_there_renews_its_ttl(far, state, proxy, ns, lose):
    etag = state.put(ns, "k", "same")
    proxy.faults += [lose]
    far.put(ns, "k", "same", if_match=etag, ttl=60)
    assert state.get(ns, "k").ttl_seconds


def test_conditional_put__overwritten_before_we_look_is_unknown(
    far, state, another, proxy, ns, lose
):
    etag = state.put(ns, "k", "old")

    def then_another_writes(forward):
        lose(forward)
        another.put(ns, "k", "another's")

    proxy.faults += [then_another_writes]
    with pytest.raises(OutcomeUnknown):
        far.put(ns, "k", "new", if_match=etag)
    assert state.get(ns, "k").value == "another's"


def test_conditional_put__of_a_value_that_another_wrote_too(far, state, another, proxy, ns):
    def another_writes_the_same(forward):
        another.put(ns, "k", "6")

    etag = state.put(ns, "k", "5")
    proxy.faults += [another_writes_the_same]
    with pytest.raises(OutcomeUnknown):
        far.put(ns, "k", "6", if_match=etag, equal_is_ours=False)
    etag = state.put(ns, "k", "5")
    proxy.faults += [another_writes_the_same]
    far.put(ns, "k", "6", if_match=etag)  # the documented limit of what an ETag can tell


def test_conditional_put__that_arrives_late_does_no_harm(far, state, proxy, ns):
    held = []
    etag = state.put(ns, "k", "1")
    proxy.faults += [held.append]
    far.put(ns, "k", "2", if_match=etag)
    far.put(ns, "k", "3")
    assert b" 412 " in held[0]()
    assert state.get(ns, "k").value == "3"


def test_conditional_put__without_loss_is_just_refused(far, state, proxy, ns):
    state.put(ns, "k", "1")
    with pytest.raises(PreconditionFailed):
        far.put(ns, "k", "2", if_none_match="*")
    assert methods(proxy) == ["PUT"]


def test_conditional_delete__is_recognised_as_ours(far, state, proxy, ns, lose):
    etag = state.put(ns, "k", "1")
    proxy.faults += [lose]
    far.delete(ns, "k", if_match=etag)
    assert state.get(ns, "k") is None


def test_delete__is_sent_again(far, state, proxy, ns, lose):
    state.put(ns, "k", "1")
    proxy.faults += [lose]
    far.delete(ns, "k")
    assert state.get(ns, "k") is None
    assert methods(proxy) == ["DELETE"] * 2


def increment(old):
    return str(int(old or 0) + 1)


def test_update__counts_once_whatever_is_lost(far, state, proxy, ns, lose):
    for number in range(1, 4):
        proxy.faults += [lose, lambda forward: forward(), lose]  # the read, and the write
        assert far.update(ns, "k", increment).value == str(number)
    assert state.get(ns, "k").value == "3"


def test_update__that_deletes_is_recognised(far, state, proxy, ns, lose):
    state.put(ns, "k", "1")
    proxy.faults += [lambda forward: forward(), lose]
    assert far.update(ns, "k", lambda old: None) is None
    assert state.get(ns, "k") is None


def test_batch__with_conditions_is_recognised_as_ours(far, state, proxy, ns, lose):
    etag = state.put(ns, "old", "1")
    state.put(ns, "read", "r")
    proxy.faults += [lose]
    results = far.batch(
        ns, [Get("read"), Put("old", "2", if_match=etag), Put("new", "3"), Delete("read too")]
    )
    assert results[:3] == [Value("r", sha1("r"), None), sha1("2"), sha1("3")]
    assert state.get(ns, "old").value == "2"
    assert methods(proxy) == ["POST"] * (3 if lose is lose_answer else 2)


def test_batch__of_reads_is_sent_again_and_never_unknown(connect, proxy, ns):
    far = connect(proxy.url, attempts=2)
    proxy.faults += [lose_answer]
    assert far.batch(ns, [Get("k")]) == [None]
    proxy.faults += [lose_answer] * 2
    with pytest.raises(Unavailable):
        far.batch(ns, [Get("k")])


def test_batch__that_was_overwritten_is_unknown(far, another, proxy, ns):
    def then_another_writes(forward):
        forward()
        another.put(ns, "k", "another's")

    proxy.faults += [then_another_writes]
    with pytest.raises(OutcomeUnknown):
        far.batch(ns, [Put("k", "1", if_none_match="*"), Put("k2", "2", if_none_match="*")])


def test_deadline__bounds_a_server_that_never_answers(connect, proxy, ns):
    far = connect(proxy.url, deadline_seconds=2, attempts=100)
    proxy.faults += [lambda forward: b""] * 99
    began = time.monotonic()
    with pytest.raises(Unavailable):
        far.get(ns, "k")
    assert time.monotonic() - began < 4.5
    assert len(proxy.seen) > 1


# --- The store behind the server is down --------------------------------------------------------


def test_valkey_held__is_unavailable_and_never_none(connect, state, valkey, ns):
    client = connect(deadline_seconds=2)
    valkey.hold()
    with pytest.raises(Unavailable) as caught:
        client.get(ns, "k")
    assert (caught.value.status, caught.value.code) == (503, "store_unavailable")
    assert caught.value.retry_after_seconds == 2
    valkey.go_on()
    assert state.get(ns, "k") is None


def test_valkey_held__a_write_is_unknown_for_it_may_be_done_later(connect, state, valkey, ns):
    client = connect(deadline_seconds=2)
    valkey.hold()
    with pytest.raises(OutcomeUnknown) as caught:
        client.put(ns, "k", "v")
    assert (caught.value.status, caught.value.code) == (503, "store_unavailable")
    valkey.go_on()
    # It is done now if the server had a connection, in whose buffer it waited; else it is not.
    assert state.get(ns, "k") in (Value("v", sha1("v"), None), None)


@pytest.mark.parametrize("condition", [{}, {"if_none_match": "*"}])
def test_valkey_held__and_back_during_the_pause(state, valkey, ns, pauses, condition):
    valkey.hold()
    pauses.then = valkey.go_on
    state.put(ns, "k", "v", **condition)
    assert pauses.seconds[0] >= 2  # Retry-After
    valkey.hold()
    assert state.get(ns, "k").value == "v"


class Pauses:
    """Instead of pausing: notes the seconds and calls `then`."""

    def __init__(self) -> None:
        self.seconds = []
        self.then = lambda: None

    def __call__(self, seconds):
        self.seconds.append(seconds)
        self.then()

    async def asynchronous(self, seconds):
        self(seconds)


@pytest.fixture
def pauses(monkeypatch):
    pauses = Pauses()

    class Clock:
        sleep = staticmethod(pauses)
        monotonic = staticmethod(statekeep_client.time.monotonic)

    class Loop:
        sleep = staticmethod(pauses.asynchronous)

    monkeypatch.setattr(statekeep_client, "time", Clock)
    monkeypatch.setattr(statekeep_client, "asyncio", Loop)
    return pauses
