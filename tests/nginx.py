"""A real nginx for the tests, with the files of deploy/nginx on free ports of loopback."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.servers import ROOT, wait_until

CONFIGURATION = """\
daemon off;
master_process off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{servers}
}}
"""


def nginx_binary() -> str:
    """Return the path of nginx, or skip the test."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip("nginx is not installed")
    return found


def make_certificate(folder: Path) -> Path:
    """Make a certificate of 127.0.0.1 and its key in one file, and return that."""
    key, certificate, both = (folder / name for name in ("key", "certificate", "both.pem"))
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=tests"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    both.write_text(key.read_text() + certificate.read_text())
    return both


def deployed(name: str, replaced: dict[str, str]) -> str:
    """Return a file of deploy/nginx with words replaced, each of which it has to hold."""
    text = (ROOT / "deploy/nginx" / name).read_text()
    for before, after in replaced.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


class Nginx:
    """An nginx with these server blocks, until `stop`."""

    def __init__(self, folder: Path, servers: str, port: int) -> None:
        """Start it, and wait until it listens on `port`."""
        path = folder / "nginx.conf"
        path.write_text(CONFIGURATION.format(folder=folder, servers=servers))
        command = [nginx_binary(), "-p", str(folder), "-c", str(path), "-e", str(folder / "log")]
        self.process = subprocess.Popen(command)
        wait_until(lambda: self._has_ended or _listens(port), what="nginx's start")
        assert not self._has_ended, (folder / "log").read_text()

    @property
    def _has_ended(self) -> bool:
        return self.process.poll() is not None

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
