"""Our own calls: a certificate authority of the network's own, and its proxies."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chat import outgoing
from chat.api.bearer import jwks
from chat.assistant import reachable
from chat.deadline import Deadline
from chat.errors import ModelFailed, StoreMissing, StoreUnavailable, Unavailable
from chat.live.waiting import wait_for
from chat.live.words import Words
from chat.model_server import client
from chat.model_server.connections import model_server
from chat.model_server.refusals import ServerFailed
from chat.models import Turn
from chat.repository import conversation_repository
from tests.chat.key_set import KeySet
from tests.chat.samples import fresh_key, soon
from tests.chat.tls import Authority
from tests.environment import ENVIRONMENT
from tests.outages import AWAY
from tests.servers import ROOT

REPLY = {"role": "assistant", "content": "hello over TLS"}
COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": REPLY}],
}


class Others:
    """A sidecar without conversations and a model's server, as far as these tests ask them."""

    def __init__(self, authority: Authority | None = None) -> None:
        others = self
        self.targets: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                others.targets.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = COMPLETION if self.command == "POST" else {"data": [{"id": "m"}]}
                body = b"" if "/state/" in self.path else json.dumps(answer).encode()
                self.send_response(200 if body else 204)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if authority is not None:
            self.server.socket = authority.context.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def fresh_client() -> Iterator[None]:
    """No client of a model's server is kept open from before, or for later."""
    model_server.cache_clear()
    yield
    model_server.cache_clear()


@pytest.fixture
def others(authority, settings, fresh_client) -> Iterator[Others]:
    """All that we call, over TLS."""
    running = Others(authority)
    settings.CHAT_STATE_STORE, settings.DAPR_ENDPOINT = "dapr", running.url
    settings.OPENAI_BASE_URL, settings.CHAT_MODEL = f"{running.url}/v1", "m"
    yield running
    running.stop()


@pytest.fixture
def tls_keys(authority, settings) -> Iterator[KeySet]:
    keys = KeySet(authority.context)
    settings.JWT_JWKS_URL = keys.url
    yield keys
    keys.stop()


def ask_model(is_followed: bool = False) -> str:
    messages = [{"role": "user", "content": "hello"}]
    words = Words(Turn(), is_followed=is_followed)
    return wait_for(client.ask_once(messages, Deadline(10), may_call=False, words=words)).content


def test_own_authority__all_our_calls_trust_it(others, tls_keys, authority, settings):
    settings.CA_BUNDLE = str(authority.file)
    assert jwks.find_key("one", "RS256") == tls_keys.private.public_key()
    with pytest.raises(StoreMissing):
        conversation_repository().get(fresh_key(), soon())
    assert reachable.examine_assistant(5).problems == ()
    assert ask_model() == ask_model(is_followed=True) == "hello over TLS"


def test_own_authority__is_not_trusted_unless_it_is_named(others, tls_keys, settings, caplog):
    settings.CA_BUNDLE = ""
    with pytest.raises(Unavailable):
        jwks.find_key("one", "RS256")
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text  # the log says what is wrong
    with pytest.raises(StoreUnavailable):
        conversation_repository().get(fresh_key(), soon())
    with pytest.raises(ModelFailed):
        reachable.examine_assistant(5)
    for is_followed in (False, True):
        with pytest.raises(ServerFailed):
            ask_model(is_followed)
    assert others.targets == []


def setting_of(**environ: str) -> "subprocess.CompletedProcess[str]":
    """The setting that this environment makes."""
    clean = {
        k: v for k, v in os.environ.items() if k not in {"REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"}
    }
    code = "from config.settings import CA_BUNDLE; print(CA_BUNDLE)"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**clean, **ENVIRONMENT, **environ},
        capture_output=True,
        text=True,
    )


def test_own_authority__by_either_variable(authority, tmp_path: Path):
    ours, none = str(authority.file), str(tmp_path / "none.pem")
    assert setting_of(SSL_CERT_FILE=ours).stdout.strip() == ours
    both = setting_of(SSL_CERT_FILE=ours, REQUESTS_CA_BUNDLE=str(authority.file.parent))
    assert both.stdout.strip() == str(authority.file.parent)
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        refused = setting_of(**{name: none})
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"statekeep: {name}: must be a file or folder of CA")


# --- Proxies ---


@pytest.fixture
def proxy(monkeypatch, fresh_client) -> Iterator[Others]:
    """A proxy that the environment names for everything."""
    running = Others()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name.lower(), "" if name == "NO_PROXY" else running.url)
    yield running
    running.stop()


def test_proxy__is_used_for_the_model_and_the_identity_provider(proxy, settings):
    settings.OPENAI_BASE_URL, settings.CHAT_MODEL = "http://model.example/v1", "m"
    assert reachable.examine_assistant(5).problems == ()
    assert ask_model() == ask_model(is_followed=True) == "hello over TLS"
    with outgoing.session("http://issuer.example/keys") as session:
        session.get("http://issuer.example/keys", timeout=5)
    assert proxy.targets == [
        *["http://model.example/v1/chat/completions"] * 3,
        "http://issuer.example/keys",
    ]


def test_proxy__is_never_used_for_the_sidecar_or_a_loopback_address(
    sidecar, key_set, proxy, settings
):
    settings.CHAT_STATE_STORE, settings.DAPR_ENDPOINT = "dapr", sidecar.url
    with pytest.raises(StoreMissing):
        conversation_repository().get(fresh_key(), soon())
    assert jwks.find_key("one", "RS256")
    for host in ("127.0.0.1", "127.8.9.1", "[::1]", "localhost", "model.localhost"):
        assert outgoing.proxies_for(f"http://{host}:1234/v1") == {}
        assert outgoing.proxy_for(f"https://{host}/v1") is None
    assert proxy.targets == []


def test_proxy__no_proxy_holds(proxy, monkeypatch):
    monkeypatch.setenv("no_proxy", "model.example,10.0.0.0/8")
    assert outgoing.proxy_for("https://model.example/v1") is None
    assert outgoing.proxy_for("https://10.1.2.3/v1") is None
    assert outgoing.proxy_for("https://issuer.example/keys") == proxy.url
    monkeypatch.setenv("https_proxy", proxy.url.removeprefix("http://"))
    assert outgoing.proxy_for("https://issuer.example/keys") == proxy.url


@pytest.mark.parametrize(
    ("entry", "url", "is_direct"),
    [
        ("[fd00::2]", "http://[fd00::2]:8080/v1", True),
        ("fd00::2", "https://[fd00:0::2]/v1", True),
        ("fd00::/8", "http://[fd00::2]:8080/v1", True),
        ("fd00::/8", "http://[2001:db8::2]:8080/v1", False),
        ("[fd00::2]:8080", "http://[fd00::2]:8080/v1", True),
        ("[fd00::2]:8081", "http://[fd00::2]:8080/v1", False),
        ("10.1.2.3:8080", "http://10.1.2.3:8080/v1", True),
        ("10.1.2.3:8081", "http://10.1.2.3:8080/v1", False),
        ("model.example:443", "https://model.example/v1", True),
        ("model.example:443", "http://model.example/v1", False),
        (" .example , other", "https://model.example/v1", True),
        ("ample", "https://model.example/v1", False),
        (",", "https://model.example/v1", False),
    ],
)
def test_proxy__each_form_of_no_proxy(proxy, monkeypatch, entry, url, is_direct):
    monkeypatch.setenv("no_proxy", entry)
    assert outgoing.proxy_for(url) == (None if is_direct else proxy.url)


def test_proxy__that_does_not_answer_is_named(proxy, monkeypatch, settings):
    settings.OPENAI_BASE_URL, settings.CHAT_MODEL = "http://model.example/v1", "m"
    assert reachable.examine_assistant(5).description.startswith("m at model.example (by the proxy")
    monkeypatch.setenv("http_proxy", f"http://user:hunter2@127.0.0.1:{AWAY}")
    model_server.cache_clear()
    with pytest.raises(ModelFailed) as failed:
        reachable.examine_assistant(5)
    words = f"model.example (by the proxy 127.0.0.1:{AWAY}) does not answer."
    assert failed.value.detail == words
