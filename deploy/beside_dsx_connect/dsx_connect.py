"""A stand-in of a dsx-connect: the routes and the Redis layout that Statekeep meets beside one.

It stores credentials as the public dsx-connect does, and checks signatures as that one does: over
the decoded path. It scans nothing.

    python dsx_connect.py PORT REDIS_URL ENVIRONMENT ENROLMENT_TOKEN
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from redis import Redis

API = "/dsx-connect/api/v1"
REGISTER = f"{API}/connectors/register"
UNREGISTER = f"{API}/connectors/unregister/"
SCAN_REQUEST = f"{API}/scan/request"
SKEW_SECONDS = 60


class DsxConnect:
    """The state of the stand-in: all of it is in Redis."""

    def __init__(self, redis: Redis, environment: str, token: str) -> None:
        self._redis, self._environment, self.token = redis, environment, token

    def register(self, uuid: str) -> tuple[dict[str, str], bool]:
        """Return the connector's credential, and whether it was made now."""
        config = self._key("config", uuid)
        key_id, secret = self._redis.hmget(config, "hmac_key_id", "hmac_secret")
        is_new = not (key_id and secret)
        if is_new:
            key_id, secret = _random_base64(12), _random_base64(32)
            self._redis.hset(config, mapping={"hmac_key_id": key_id, "hmac_secret": secret})
            self._redis.set(f"dsxconnect:hmac:kid:{key_id}", uuid)
        self._redis.set(self._key("presence", uuid), "1", ex=120)
        return {"hmac_key_id": key_id, "hmac_secret": secret}, is_new

    def unregister(self, uuid: str) -> None:
        """Forget that the connector is there; its credential stays."""
        self._redis.delete(self._key("presence", uuid))

    def is_signed(self, method: str, target: str, body: bytes, header: str) -> bool:
        """Return whether a live credential has signed this."""
        scheme, _, rest = header.partition(" ")
        fields = dict(field.strip().partition("=")[::2] for field in rest.split(","))
        if scheme != "DSX-HMAC" or not {"key_id", "ts", "nonce", "sig"} <= fields.keys():
            return False
        uuid = self._redis.get(f"dsxconnect:hmac:kid:{fields['key_id']}")
        secret = uuid and self._redis.hget(self._key("config", uuid), "hmac_secret")
        if not secret or abs(time.time() - int(fields["ts"])) > SKEW_SECONDS:
            return False
        path, question, query = target.partition("?")
        signed = f"{method}|{unquote(path)}{question}{query}|{fields['ts']}|{fields['nonce']}|"
        digest = hmac.digest(secret.encode(), signed.encode() + body, hashlib.sha256)
        return hmac.compare_digest(base64.b64encode(digest).decode(), fields["sig"])

    def _key(self, kind: str, uuid: str) -> str:
        return f"{self._environment}:dsx-connect:connectors:{kind}:{uuid}"


class Handler(BaseHTTPRequestHandler):
    """The routes of the stand-in; main gives it its DsxConnect."""

    protocol_version = "HTTP/1.1"
    here: DsxConnect

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == REGISTER:
            self._register(json.loads(body))
        elif self.path == SCAN_REQUEST:
            self._scan(body)
        else:
            self._answer(404, {"detail": "Not Found"})

    def do_DELETE(self) -> None:
        header = self.headers.get("Authorization", "")
        is_known = self._has_token or self.here.is_signed("DELETE", self.path, b"", header)
        if not self.path.startswith(UNREGISTER):
            self._answer(404, {"detail": "Not Found"})
        elif not is_known:
            self._answer(401, {"detail": "unauthorized"})
        else:
            self.here.unregister(self.path.removeprefix(UNREGISTER))
            self._answer(204)

    @property
    def _has_token(self) -> bool:
        return self.headers.get("X-Enrollment-Token") == self.here.token

    def _register(self, connector: dict[str, Any]) -> None:
        if not self._has_token:
            self._answer(401, {"detail": "invalid enrollment token"})
            return
        credential, is_new = self.here.register(connector["uuid"])
        message = "registered" if is_new else "refreshed"
        about = {"connector_uuid": connector["uuid"], "description": connector["name"]}
        answer = {"status": "success", "message": message, **about, **credential}
        self._answer(201 if is_new else 200, answer)

    def _scan(self, body: bytes) -> None:
        header = self.headers.get("Authorization", "")
        if self.here.is_signed("POST", self.path, body, header):
            self._answer(200, {"status": "success", "message": "Scan request queued"})
        else:
            self._answer(401, {"detail": "unauthorized"})

    def _answer(self, status: int, answer: dict[str, str] | None = None) -> None:
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


def _random_base64(length: int) -> str:
    return base64.b64encode(os.urandom(length)).decode()


def main() -> None:
    """Serve on loopback until the process is stopped."""
    port, redis_url, environment, token = sys.argv[1:]
    redis = Redis.from_url(redis_url, decode_responses=True)
    Handler.here = DsxConnect(redis, environment, token)
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
