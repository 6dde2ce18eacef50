"""Where things are in Redis, and what an address of a value may hold.

The value's key is the contract's. All other keys are ours: they carry the connector's UUID as
hash tag, and never begin like the contract's.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from connector_state.errors import InvalidRequest

NAMESPACE_MAX_BYTES = 128
KEY_MAX_BYTES = 512

# The keys of our own of each connector, in the order in which scripts take them: those of
# scripts/admit.lua, which all begin with, and those of scripts/index.lua.
ADMISSION_KEYS = ("revoked", "rate", "last_used")
INDEX_KEYS = ("index", "sizes", "expiries", "audit")
OWN_KEYS = ADMISSION_KEYS + INDEX_KEYS

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Address:
    """Where one value stands: namespace and key within a connector, validated."""

    namespace: str
    key: str

    def __post_init__(self) -> None:
        check_namespace(self.namespace)
        _check("key", self.key, KEY_MAX_BYTES)

    @property
    def member(self) -> str:
        """Its name in the connector's index. A namespace holds no ":", so it is unambiguous."""
        return f"{self.namespace}:{self.key}"

    @classmethod
    def from_member(cls, member: str) -> "Address":
        """The address that an index member names."""
        namespace, _, key = member.partition(":")
        return cls(namespace, key)


def check_namespace(namespace: str) -> None:
    """Raise InvalidRequest unless this is a namespace."""
    _check("namespace", namespace, NAMESPACE_MAX_BYTES)
    if ":" in namespace or "/" in namespace:
        raise InvalidRequest("A namespace may hold no ':' and no '/'.", code="invalid_namespace")


def _check(what: str, text: str, max_bytes: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidRequest(f"The {what} is not valid UTF-8.", code=f"invalid_{what}") from None
    if not 0 < size <= max_bytes:
        raise InvalidRequest(
            f"A {what} is 1 to {max_bytes} bytes of UTF-8; this one is {size}.",
            code=f"invalid_{what}",
        )
    if _CONTROL.search(text):
        raise InvalidRequest(f"A {what} may hold no control characters.", code=f"invalid_{what}")


@dataclass(frozen=True, slots=True)
class ConnectorKeys:
    """The Redis keys of one connector."""

    value_prefix: str
    nonce_prefix: str
    own: tuple[str, ...]
    of_admission: tuple[str, ...]

    def nonce(self, key_id: str, nonce: str) -> str:
        """Remembers that a nonce was used."""
        return f"{self.nonce_prefix}{key_id}:{nonce}"

    def named(self, name: str) -> str:
        """One of OWN_KEYS."""
        return self.own[OWN_KEYS.index(name)]

    @property
    def revoked(self) -> str:
        """A hash whose fields are the key ids that every script refuses, "*" for all of them."""
        return self.named("revoked")


@lru_cache(maxsize=1024)
def connector_keys(uuid: str) -> ConnectorKeys:
    """Return the keys of the connector with this UUID (canonical, lower case)."""
    prefix = f"statekeep:{{{uuid}}}:"
    return ConnectorKeys(
        value_prefix=f"dsxconnect:connector_state:{uuid}:",
        nonce_prefix=f"{prefix}nonce:",
        own=tuple(prefix + name for name in OWN_KEYS),
        of_admission=tuple(prefix + name for name in ADMISSION_KEYS),
    )
