"""What each call does, against the real server, over each HTTP library."""

import asyncio
import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import requests

from client.statekeep_client import (
    AsyncStateClient,
    ClockSkew,
    Delete,
    Get,
    NamespaceInfo,
    PreconditionFailed,
    Put,
    Refused,
    StateClient,
    StateError,
    Value,
    VersionGone,
)


def sha1(value: str) -> str:
    return hashlib.sha1(value.encode()).hexdigest()


def test_get__of_nothing_is_none(state, ns):
    assert state.get(ns, "k") is None


def test_get__of_a_version(state, ns):
    old = state.put(ns, "k", "old", ttl=60)
    state.put(ns, "k", "new")
    assert state.get(ns, "k", version=old) == Value("old", old, None)
    assert state.get(ns, "k", version=sha1("new")).value == "new"
    state.delete(ns, "k")
    assert state.get(ns, "k") is None
    assert state.get(ns, "k", version=old).value == "old"


def test_get__of_a_version_that_is_gone_raises(state, ns):
    state.put(ns, "k", "v")
    with pytest.raises(VersionGone) as gone:
        state.get(ns, "k", version=sha1("never stored"))
    assert (gone.value.status, gone.value.code) == (404, "version_gone")
    with pytest.raises(StateError) as refused:
        state.get(ns, "k", version="no ETag")
    assert refused.value.code == "invalid_parameter"


@pytest.mark.parametrize("value", ["v", "", "Zażółć 日本", 'a|b"\\\r\n\x00', " 1 ", "x" * 65_536])
def test_put__is_read_back_exactly(state, ns, value):
    etag = state.put(ns, "k", value)
    assert etag == sha1(value)
    assert state.get(ns, "k") == Value(value, etag, None)


def test_put__etag_is_that_of_the_server(connect, product, ns):
    etag = connect().put(ns, "k", "v")
    target = product.connector.path(ns, "k")
    headers = {"Authorization": product.connector.authorization("GET", target)}
    assert httpx.get(product.server.url + target, headers=headers).headers["ETag"] == f'"{etag}"'


@pytest.mark.parametrize(
    "key",
    [
        *("delta:user@contoso", "a/b c", "/", "//", "a/../b", "./a", "...", "%41", "%2F", "%"),
        *(
            "naïve/ключ",
            "日本",
            "🗝",
            "it's(1)!*",
            "a|b",
            "a?b=c&d",
            "#x",
            "a;b,c=+$",
            "~-_.",
            "k" * 512,
        ),
        *('"\\<>^`{}', " ", "a+b", "é", "é"),
    ],
)
def test_key__is_kept_apart_whatever_it_holds(state, ns, key):
    state.put(ns, "other", "other")
    state.put(ns, key, f"value of {key}")
    assert state.get(ns, key).value == f"value of {key}"
    assert {found.key for found in state.keys(ns)} == {"other", key}
    state.delete(ns, key)
    assert state.get(ns, key) is None
    assert state.get(ns, "other").value == "other"


@pytest.mark.parametrize("key", ["a\nb", "k" * 513])
def test_key__that_the_service_refuses_is_an_error_and_not_none(state, ns, key):
    with pytest.raises(StateError) as caught:
        state.get(ns, key)
    assert (caught.value.status, caught.value.code) == (400, "invalid_key")


def test_put__with_a_ttl(state, ns):
    state.put(ns, "k", "v", ttl=1000)
    assert 990 <= state.get(ns, "k").ttl_seconds <= 1000


def test_put__conditions(state, ns):
    first = state.put(ns, "k", "1", if_none_match="*")
    with pytest.raises(PreconditionFailed) as caught:
        state.put(ns, "k", "2", if_none_match="*")
    assert (caught.value.status, caught.value.code) == (412, "precondition_failed")
    state.put(ns, "k", "2", if_match=first)
    with pytest.raises(PreconditionFailed):
        state.put(ns, "k", "3", if_match=first)
    assert state.get(ns, "k").value == "2"


def test_delete__with_a_condition(state, ns):
    etag = state.put(ns, "k", "1")
    with pytest.raises(PreconditionFailed):
        state.delete(ns, "k", if_match=sha1("other"))
    state.delete(ns, "k", if_match=etag)
    assert state.get(ns, "k") is None
    state.delete(ns, "k")  # deleting nothing is no error


def test_keys__come_page_by_page(state, ns):
    for number in range(5):
        state.put(ns, f"a{number}", "v", ttl=None if number else 100)
    state.put(ns, "b", "vv")
    found = list(state.keys(ns, "a", page_size=2))
    assert [key.key for key in found] == [f"a{number}" for number in range(5)]
    assert found[0].ttl_seconds in (99, 100)
    (b,) = state.keys(ns, prefix="b")
    assert (b.size, b.etag, b.ttl_seconds) == (2, sha1("vv"), None)
    assert list(state.keys("no-such-namespace")) == []


def test_namespaces__come_page_by_page(state, ns):
    for number in range(3):
        state.put(f"{ns}-{number}", "k", "v")
    state.put(f"{ns}-0", "k2", "v")
    found = [row for row in state.namespaces(page_size=2) if row.namespace.startswith(f"{ns}-")]
    assert found == [NamespaceInfo(f"{ns}-{number}", 1 + (number == 0)) for number in range(3)]


def test_batch__reads_and_writes(state, ns):
    state.put(ns, "old", "1")
    results = state.batch(
        ns,
        [
            *(Get("old"), Get("missing"), Put("new", "é", ttl=50), Put("..", "v")),
            *(Put("once", "", if_none_match="*"), Delete("missing too")),
        ],
    )
    assert results == [Value("1", sha1("1"), None), None, sha1("é"), sha1("v"), sha1(""), False]
    results = state.batch(ns, [Delete("old", if_match=sha1("1")), Get("once"), Get("..")])
    assert results == [True, Value("", sha1(""), None), Value("v", sha1("v"), None)]


def test_batch__writes_nothing_when_one_condition_fails(state, ns):
    state.put(ns, "a", "1")
    with pytest.raises(PreconditionFailed):
        state.batch(ns, [Put("b", "2"), Put("a", "2", if_none_match="*")])
    assert state.get(ns, "b") is None


def test_update__creates_changes_and_deletes(state, ns):
    seen = []

    def fn(old):
        seen.append(old)
        return {None: "1", "1": "2"}.get(old)

    assert state.update(ns, "k", fn, ttl=70) == Value("1", sha1("1"), 70)
    assert state.update(ns, "k", fn).value == "2"
    assert state.get(ns, "k") == Value("2", sha1("2"), None)
    assert state.update(ns, "k", fn) is None
    assert state.get(ns, "k") is None
    assert state.update(ns, "k", lambda old: None) is None
    assert seen == [None, "1", "2"]


def test_update__that_always_comes_second_gives_up(state, another, ns):
    def fn(old):
        another.put(ns, "k", f"{old}+")
        return "mine"

    with pytest.raises(PreconditionFailed):
        state.update(ns, "k", fn, attempts=3)
    assert state.get(ns, "k").value == "None+++"


def increment(old):
    return str(int(old or 0) + 1)


def test_update__of_twenty_at_once_loses_nothing(connect, product, ns):
    client = connect(deadline_seconds=100)
    if isinstance(client, StateClient):
        barrier = threading.Barrier(20)

        def count(_):
            barrier.wait()
            for _ in range(3):
                client.update(ns, "counter", increment)

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(count, range(20)))
    else:
        client.gather(lambda real: real.update(ns, "counter", increment), 20, 3)
    assert client.get(ns, "counter").value == "60"


def test_credential__that_is_wrong_is_refused_and_not_shown(connect, ns):
    client = connect(secret="not the secret")
    with pytest.raises(Refused) as caught:
        client.get(ns, "k")
    assert (caught.value.status, caught.value.code) == (401, "bad_signature")
    assert "not the secret" not in repr(caught.value) + str(caught.value)


def test_connector__of_another_is_refused(product, ns):
    other = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"
    connector = product.connector
    with (
        StateClient(product.server.url, other, connector.key_id, connector.secret) as client,
        pytest.raises(Refused) as caught,
    ):
        client.get(ns, "k")
    assert (caught.value.status, caught.value.code) == (403, "other_connector")


@pytest.mark.parametrize(("off", "way"), [(600, "ahead of"), (-600, "behind")])
def test_clock__that_is_off_is_named(connect, ns, off, way):
    client = connect(clock=lambda: time.time() + off)
    for call in (lambda: client.get(ns, "k"), lambda: client.put(ns, "k", "v")):
        with pytest.raises(ClockSkew, match=rf"clock is \d+ s {way} the server's. Fix") as caught:
            call()
        assert abs(caught.value.skew_seconds - off) < 5
        assert caught.value.code == "timestamp_out_of_window"


def test_netrc__and_the_sessions_own_login_do_not_replace_the_signature(
    product, ns, tmp_path, monkeypatch
):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    connector = product.connector
    credential = (product.server.url, connector.uuid, connector.key_id, connector.secret)
    with StateClient(*credential) as client:
        assert client.get(ns, "k") is None
    with requests.Session() as session:
        session.auth = ("me", "word")
        assert StateClient(*credential, session=session).get(ns, "k") is None
    with httpx.Client(auth=("me", "word"), follow_redirects=True) as session:
        assert StateClient(*credential, session=session).get(ns, "k") is None


def test_async__client_as_the_readme_shows_it(product, ns):
    connector = product.connector
    credential = (product.server.url, connector.uuid, connector.key_id, connector.secret)

    async def main():
        async with AsyncStateClient(*credential) as state:
            await state.put(ns, "delta", "token")
            keys = [found.key async for found in state.keys(ns)]
            return (await state.get(ns, "delta")).value, keys

    assert asyncio.run(main()) == ("token", ["delta"])


def test_server_log__shows_no_secret(product):
    log = product.server.log.read_text()
    assert product.connector.secret not in log
    assert "sig=" not in log
