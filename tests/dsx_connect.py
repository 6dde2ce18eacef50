"""The Redis of a dsx-connect, laid out as its public code does it, and its connectors."""

import base64
import os
from pathlib import Path
from uuid import uuid4

from redis import Redis

from tests.connectors import SigningConnector
from tests.servers import free_port, start_valkey

ENV = "prod"
USER, PASSWORD = "statekeep", "for-tests-alone"
KEYS = ("~dsxconnect:hmac:kid:*", f"~{ENV}:dsx-connect:connectors:config:*")


class DsxConnect:
    """A Valkey with a dsx-connect's keys, and the user that Statekeep is given.

    `url` logs in as this user, who may GET and HMGET the keys of credentials, and nothing else.
    `administrators_url` logs in as one who may do anything.
    """

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.process = start_valkey(folder, "--port", str(port))
        self.redis = Redis(port=port)
        self.administrators_url = f"redis://127.0.0.1:{port}/0"
        self.url = f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}/0"
        user = (USER, "on", f">{PASSWORD}", *KEYS, "+get", "+hmget")
        self.redis.execute_command("ACL", "SETUSER", *user)

    def stop(self) -> None:
        self.redis.close()
        self.process.terminate()
        self.process.wait(10)

    def config_key(self, uuid: str) -> str:
        return f"{ENV}:dsx-connect:connectors:config:{uuid}"

    def provision(self, uuid: str) -> tuple[str, str]:
        """What its register call does: give out the pair of the hash, or make one."""
        config = self.config_key(uuid)
        key_id, secret = self.redis.hmget(config, "hmac_key_id", "hmac_secret")
        if key_id and secret:
            return key_id.decode(), secret.decode()
        new = (_random_base64(12), _random_base64(32))
        self.redis.hset(config, mapping=dict(zip(("hmac_key_id", "hmac_secret"), new, strict=True)))
        self.redis.set(f"dsxconnect:hmac:kid:{new[0]}", uuid)
        return new

    def register(self, uuid: str | None = None) -> SigningConnector:
        """A connector that has registered there, and signs with what it was given."""
        uuid = uuid or str(uuid4())
        return SigningConnector(uuid, *self.provision(uuid))

    def store(self, uuid: str, ns: str, key: str, value: str) -> None:
        """What its PUT of a value does."""
        self.redis.set(f"dsxconnect:connector_state:{uuid}:{ns}:{key}", value)


def _random_base64(length: int) -> str:
    return base64.b64encode(os.urandom(length)).decode()
