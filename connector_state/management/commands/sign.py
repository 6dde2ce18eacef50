"""`manage.py sign METHOD URL --credentials FILE`: the Authorization header of one request."""

import secrets
import shlex
import time
from argparse import ArgumentParser
from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError

from common import strict_json
from common.visible import printable
from connector_state.credentials import signing
from connector_state.management.files import read_file


class Command(BaseCommand):
    help = (
        "Print the Authorization header of one request, or with --curl the whole curl command. "
        "The header can be used once, within the server's timestamp window (60 s)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("method", metavar="METHOD", type=str.upper)
        parser.add_argument("url", metavar="URL", help="exactly as it is sent")
        parser.add_argument(
            "--credentials",
            required=True,
            metavar="FILE",
            help="what `create_connector --json` printed; - for standard input",
        )
        body = parser.add_mutually_exclusive_group()
        body.add_argument("--data", default="", help="the body, as text")
        body.add_argument("--data-file", metavar="FILE", help="the body, as a file")
        parser.add_argument("--curl", action="store_true", help="print the whole curl command")

    def handle(self, *args: Any, **options: Any) -> None:
        key_id, secret = _read_credentials(options["credentials"])
        file = options["data_file"]
        body = options["data"].encode() if file is None else read_file(file)
        header = _header(key_id, secret, options["method"], options["url"], body)
        if not options["curl"]:
            self.stdout.write(header)
            return
        # Else curl would expand {} and [], and resolve "..": not the path that is signed.
        line = ["curl", "-i", "--globoff", "--path-as-is"]
        # After `-X HEAD` it would wait for a body.
        line += ["--head"] if options["method"] == "HEAD" else ["-X", options["method"]]
        line += ["-H", header]
        if file is not None:
            line += ["--data-binary", f"@{file}"]
        elif options["data"]:
            line += ["--data-raw", options["data"]]
        self.stdout.write(shlex.join([*line, options["url"]]))


def _read_credentials(source: str) -> tuple[str, bytes]:
    try:
        credentials = strict_json.loads(read_file(source).decode())
    except ValueError:
        raise _no_credentials(source, "it is no JSON") from None
    if not isinstance(credentials, dict):
        raise _no_credentials(source, "it is no JSON object")
    for name in ("hmac_key_id", "hmac_secret"):
        if not isinstance(credentials.get(name), str):
            raise _no_credentials(source, f"it has no text {name}")
    return credentials["hmac_key_id"], credentials["hmac_secret"].encode()


def _no_credentials(source: str, why: str) -> CommandError:
    return CommandError(f"{printable(source)} is not what `create_connector --json` prints: {why}.")


def _header(key_id: str, secret: bytes, method: str, url: str, body: bytes) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise CommandError(f"URL: {error}.") from None
    if not parts.netloc or not parts.path:
        raise CommandError("URL must be absolute, such as http://127.0.0.1:8000/dsx-connect/…")
    # urlsplit and curl leave out what follows a #, and would address another key.
    if "#" in url or " " in url or not url.isprintable():
        raise CommandError("URL: percent-encode it; '#' is %23, and a space %20.")
    target = (parts.path + (f"?{parts.query}" if parts.query else "")).encode()
    ts, nonce = str(int(time.time())), b64encode(secrets.token_bytes(12)).decode()
    signature = signing.sign(secret, method, target, ts, nonce, body)
    return (
        f"Authorization: {signing.SCHEME} key_id={key_id}, ts={ts}, nonce={nonce}, sig={signature}"
    )
