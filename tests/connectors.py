"""Connectors as the tests play them: they sign by code of their own, not by ours."""

import base64
import hashlib
import hmac
import os
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.test import Client
from django_redis import get_redis_connection

from common.redis_cluster import routes
from connector_state.credentials.issuing import create_connector

PREFIX = "/dsx-connect/api/v1/connectors"


def tag(uuid: str) -> str:
    """The UUID as the keys of values have it: on a cluster alone it is a hash tag."""
    return f"{{{uuid}}}" if settings.REDIS_CLUSTER else uuid


def redis_servers() -> list[Any]:
    """Return a client of each Redis server that has keys: one, or the primaries of a cluster."""
    redis: Any = get_redis_connection()
    if not settings.REDIS_CLUSTER:
        return [redis]
    return [redis.get_redis_connection(node) for node in redis.get_primaries()]


def redis_server_of(key: str) -> Any:
    """Return a client of the one Redis server that has a key."""
    return routes.client_for(key) if settings.REDIS_CLUSTER else get_redis_connection()


def redis_keys(pattern: str) -> list[bytes]:
    """Return the keys of all servers that match."""
    return [key for server in redis_servers() for key in server.keys(pattern)]


def redis_total(section: str, field: str) -> int:
    """Return the sum over all servers of one of INFO's numbers."""
    return sum(int(server.info(section)[field]) for server in redis_servers())


@dataclass
class SigningConnector:
    """A connector with a credential."""

    uuid: str
    key_id: str
    secret: str
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    @classmethod
    def create(cls, name: str = "a connector", **fields: Any) -> "SigningConnector":
        """A new one, in the database."""
        issued = create_connector(name, **fields)
        return cls(str(issued.connector.uuid), issued.key_id, issued.secret)

    def path(self, ns: str = "m365", key: str = "delta") -> str:
        """The path of a value, encoded the way real connectors do it."""
        return f"{PREFIX}/state/{self.uuid}/{quote(ns, safe='')}/{quote(key, safe='')}"

    def authorization(
        self,
        method: str,
        target: str | bytes,
        body: bytes = b"",
        ts: str | None = None,
        nonce: str | None = None,
    ) -> str:
        """The header for one request."""
        ts = str(int(time.time())) if ts is None else ts
        nonce = base64.b64encode(os.urandom(12)).decode() if nonce is None else nonce
        raw = target.encode() if isinstance(target, str) else target
        message = b"|".join([method.encode(), raw, ts.encode(), nonce.encode(), body])
        digest = hmac.new(self.secret.encode(), message, hashlib.sha256).digest()
        signature = base64.b64encode(digest).decode()
        return f"DSX-HMAC key_id={self.key_id}, ts={ts}, nonce={nonce}, sig={signature}"

    def call(self, method: str, target: str, body: bytes = b"", **headers: Any) -> Any:
        """Send a signed request through Django's test client."""
        authorization = self.authorization(method, target, body)
        return self.send(method, target, body, authorization, **headers)

    def send(
        self, method: str, target: str, body: bytes, authorization: str | None, **headers: Any
    ) -> Any:
        """Send a request with the header given."""
        extra = {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}
        return self.client.generic(method, target, body, "text/plain", **extra, **headers)

    def put(self, value: str, key: str = "delta", query: str = "", ns: str = "m365") -> Any:
        """Store a value."""
        return self.call("PUT", self.path(ns, key) + query, value.encode())

    def get(self, key: str = "delta", ns: str = "m365", **headers: Any) -> Any:
        """Read a value."""
        return self.call("GET", self.path(ns, key), **headers)

    def delete(self, key: str = "delta", query: str = "", ns: str = "m365") -> Any:
        """Delete a value."""
        return self.call("DELETE", self.path(ns, key) + query)
