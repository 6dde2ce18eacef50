"""What a connector's values can be asked, and what comes of it."""

from dataclasses import dataclass
from typing import Literal

from connector_state.errors import Corrupt
from connector_state.store.keys import Address

TTL = int | Literal["keep"] | None


@dataclass(frozen=True, slots=True)
class Condition:
    """When a write may happen: "" (always), "*" or ETags. Decided atomically in Redis."""

    if_match: str = ""
    if_none_match: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One read or write of a batch.

    A put without `ttl_seconds` removes an expiry; with "keep" it leaves the one that it finds. An
    erase is a delete that forgets the key's earlier versions too. A version is a get of the value
    that has the ETag `etag`, or had it (store.history); it can't be part of a batch.
    """

    kind: Literal["get", "version", "put", "delete", "erase", "expire"]
    address: Address
    value: bytes = b""
    ttl_seconds: TTL = None
    condition: Condition = Condition()
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as it stands.

    `etag` is the SHA-1 of the bytes, hexadecimal; `ttl_seconds` None when it never expires.
    """

    value: bytes
    etag: str
    ttl_seconds: int | None

    @property
    def text(self) -> str:
        """The value as text.

        Raises:
            Corrupt: it is not UTF-8 (it was not written through this service).
        """
        try:
            return self.value.decode()
        except UnicodeDecodeError as error:
            raise Corrupt() from error


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a put."""

    etag: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """The outcome of a delete."""

    existed: bool


@dataclass(frozen=True, slots=True)
class Expiring:
    """The outcome of setting when a value expires."""

    existed: bool


Result = Entry | Written | Deleted | Expiring | None
