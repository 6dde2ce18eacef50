"""The stores that a chat may have, for tests that look past the service at the bytes."""

from dataclasses import dataclass
from typing import Any

from tests.chat.drive import ALICE


@dataclass(frozen=True)
class ChatStore:
    """What a chat is set to: Redis itself, or a real sidecar ("sidecar") with a Redis behind it.

    `client` is a client of that Redis, `environ` the settings for another process.
    """

    name: str
    client: Any
    environ: dict[str, str]

    def put_raw(self, raw: bytes, conversation: str = "c1", user: str = ALICE) -> None:
        """Put bytes in a conversation's place, past everything."""
        key = f"chat:{user}:{conversation}"
        if self.name == "redis":
            self.client.set(key, raw)
        else:  # as Dapr lays them out
            self.client.hset(f"chat||{key}", mapping={"data": raw, "version": 1, "first-write": 0})

    def get_raw(self, conversation: str = "c1", user: str = ALICE) -> bytes | None:
        """The bytes that are there."""
        key = f"chat:{user}:{conversation}"
        if self.name == "redis":
            return self.client.get(key)
        return self.client.hget(f"chat||{key}", "data")

    def forget_everything(self) -> None:
        """Be empty."""
        self.client.flushall()
