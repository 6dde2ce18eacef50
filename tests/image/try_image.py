"""The running image, with PostgreSQL, Valkey and a sidecar: `.ci/image` builds it and runs this.

Its name is not test_*.py, so that pytest takes it only when it is named.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack

import jwt
import pytest
import requests

from tests.connectors import SigningConnector
from tests.environment import ENVIRONMENT
from tests.image.container import Image
from tests.servers import free_port, wait_until
from tests.sidecar.binary import daprd
from tests.sidecar.daprd import Sidecar
from tests.sidecar.stores import PostgreSQLStore, RedisStore

SECRETS = ("SECRET_KEY", "CONNECTOR_SECRET_KEYS", "JWT_SIGNING_KEY")
STOP_SECONDS_MAX = 20


class Product:
    """The image's own command, serving."""

    def __init__(self, image: Image, port: int) -> None:
        self.image = image
        self.url = f"http://127.0.0.1:{port}"
        self.log = image.folder / "server.log"
        created = self.manage("create_connector", "tests", "--json")
        issued = json.loads(created.splitlines()[-1])
        self.connector = SigningConnector(
            issued["connector_uuid"], issued["hmac_key_id"], issued["hmac_secret"]
        )
        self.process = image.start(log=self.log)
        wait_until(self._is_live_or_dead, 60, "the server's start")
        assert self.process.poll() is None, self.log.read_text()

    def manage(self, *arguments: str) -> str:
        status, output = self.image.run("python", "manage.py", *arguments)
        assert status == 0, output
        return output

    def _is_live_or_dead(self) -> bool:
        return self.process.poll() is not None or self.is_healthy()

    def is_healthy(self) -> bool:
        """What the image's health check says."""
        kind, *command = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.image.run(*command)[0] == 0

    def call(self, method: str, target: str, body: bytes = b"", signed: str | None = None):
        signed = signed or self.connector.authorization(method, target, body)
        headers = {"Authorization": signed}
        return requests.request(method, self.url + target, data=body, headers=headers, timeout=30)

    def chat(self, message: str, **more: object) -> requests.Response:
        claims = {"sub": "alice", "exp": time.time() + 600}
        bearer = jwt.encode(claims, ENVIRONMENT["JWT_SIGNING_KEY"], "HS256")
        return requests.post(
            f"{self.url}/api/alice/chat",
            json={"message": message, **more},
            headers={"Authorization": f"Bearer {bearer}"},
            timeout=60,
        )


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("image")
    with ExitStack() as stack:
        database, redis = PostgreSQLStore(), RedisStore(folder, durable=True)
        stack.callback(database.remove)
        database.start()
        stack.callback(redis.stop)
        redis.start()
        sidecar = Sidecar(daprd(), folder / "sidecar", database.component).start()
        stack.callback(sidecar.stop)
        port = free_port()
        environ = {name: ENVIRONMENT[name] for name in SECRETS} | {
            "DATABASE_URL": database.url,
            "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
            "DAPR_HTTP_PORT": str(sidecar.port),
            "TRUSTED_PROXY_COUNT": "1",
            "GRANIAN_HOST": "127.0.0.1",
            "GRANIAN_PORT": str(port),
        }
        image = Image(os.environ["IMAGE"], folder, environ)
        stack.callback(image.close)
        status, output = image.run("python", "manage.py", "migrate", "--verbosity", "0")
        assert status == 0, output
        product = Product(image, port)
        stack.callback(end, product.process)
        yield product


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(STOP_SECONDS_MAX)


def test_state__put_get_and_delete(product):
    target = product.connector.path(key="delta:user@contoso")
    stored = product.call("PUT", target, b"deltaLink-token")
    assert (stored.status_code, stored.content) == (204, b"")
    read = product.call("GET", target)
    assert read.json() == {"value": "deltaLink-token"}
    assert read.headers["ETag"] == stored.headers["ETag"]
    assert product.call("DELETE", target).status_code == 204
    assert product.call("GET", target).json() == {"value": ""}


def test_state__a_replay_a_wrong_signature_and_another_connector_are_refused(product):
    target = product.connector.path(key="refused")
    header = product.connector.authorization("PUT", target, b"v")
    assert product.call("PUT", target, b"v", header).status_code == 204
    assert product.call("PUT", target, b"v", header).json()["code"] == "replayed"
    assert product.call("PUT", target, b"other", header).json()["code"] == "bad_signature"
    other = target.replace(product.connector.uuid, "00000000-0000-4000-8000-000000000000")
    assert product.call("GET", other).json()["code"] == "other_connector"


def test_chat__goes_on_in_the_conversation_that_the_sidecar_keeps(product):
    first = product.chat("add buy milk")
    assert first.status_code == 200, first.text
    assert "X-Chat-Degraded" not in first.headers
    again = product.chat("list my tasks", conversation_id=first.json()["conversation_id"])
    assert again.status_code == 200, again.text
    assert "milk" in again.json()["reply"]


def test_stores__answer(product):
    answer = requests.get(f"{product.url}/readyz", timeout=10)
    assert set(answer.json().values()) == {"ready", "ok"}


def test_version__is_the_revision_that_it_was_built_of(product):
    answer = requests.get(f"{product.url}/version", timeout=10).json()
    assert answer["revision"] == os.environ["REVISION"]


def test_pages__have_their_static_files(product):
    through_a_proxy = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1"}
    page = requests.get(f"{product.url}/", headers=through_a_proxy, timeout=10)
    styles = re.findall(r'href="(/static/[^"]+)"', page.text)
    assert styles
    for path in styles:
        answer = requests.get(product.url + path, headers=through_a_proxy, timeout=10)
        assert answer.status_code == 200, path


def test_container__is_not_root_and_writes_nothing_but_temporary_files(product):
    code = "import os; print(os.getuid()); open('/tmp/x', 'w'); open('x', 'w')"
    status, output = product.image.run("python", "-c", code)
    assert status == 1
    assert "10001" in output
    assert "Read-only file system: 'x'" in output


@pytest.mark.parametrize("tool", ["pip", "pip3", "gcc", "cc", "make", "git"])
def test_container__has_no_build_tools(product, tool):
    code = f"import shutil, sys; sys.exit(shutil.which('{tool}') is not None)"
    assert product.image.run("python", "-c", code)[0] == 0


def test_container__holds_nothing_of_a_developer(product):
    found = {path.name for path in (product.image.root / "opt/statekeep").iterdir()}
    assert not found & {".git", ".venv", ".cache", "var", "tests", "connector.json"}


def test_stop__ends_it_soon_and_cleanly(product):
    assert product.is_healthy()
    end(product.process)
    assert product.process.returncode == 0, product.log.read_text()[-2000:]
    assert not product.is_healthy()
    assert "Traceback" not in product.log.read_text()
