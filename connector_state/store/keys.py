"""The names of Redis keys, and the rules for namespaces and keys.

A value's key is the contract's (connector-state-kv.md). Statekeep's own keys have another prefix
and the connector's UUID as their hash tag (docs/decisions/0003).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from connector_state.errors import InvalidRequest

NAMESPACE_MAX_BYTES = 128
KEY_MAX_BYTES = 512

# Statekeep's own keys of a connector, in the order in which scripts take them: those of
# scripts/admit.lua, with which all begin, and those of scripts/index.lua.
ADMISSION_KEYS = ("revoked", "rate", "last_used")
INDEX_KEYS = ("index", "sizes", "expiries", "audit", "history")
OWN_KEYS = ADMISSION_KEYS + INDEX_KEYS

_ESCAPED_GLOB = str.maketrans({character: f"\\{character}" for character in "\\*?[]"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Address:
    """The namespace and key of a value within its connector.

    Raises:
        InvalidRequest: code `invalid_namespace` or `invalid_key`.
    """

    namespace: str
    key: str

    def __post_init__(self) -> None:
        check_namespace(self.namespace)
        _check("key", self.key, KEY_MAX_BYTES)

    @property
    def member(self) -> str:
        """Return the member of the index, `namespace:key`; a namespace never holds a ":"."""
        return f"{self.namespace}:{self.key}"

    @classmethod
    def from_member(cls, member: str) -> "Address":
        """Return the address of an index member; raise InvalidRequest if it has none."""
        namespace, _, key = member.partition(":")
        return cls(namespace, key)


def escape_pattern(text: str) -> str:
    """Return the pattern of Redis that matches this text alone."""
    return text.translate(_ESCAPED_GLOB)


def check_namespace(namespace: str) -> None:
    """Raise InvalidRequest (code `invalid_namespace`) unless the namespace is valid."""
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
        """Return the key that marks a nonce as used."""
        return f"{self.nonce_prefix}{key_id}:{nonce}"

    def named(self, name: str) -> str:
        """Return the full key for one of OWN_KEYS."""
        return self.own[OWN_KEYS.index(name)]

    @property
    def revoked(self) -> str:
        """A hash whose fields are the key ids that every script refuses, "*" for all of them."""
        return self.named("revoked")


@lru_cache(maxsize=1024)
def connector_keys(uuid: str) -> ConnectorKeys:
    """Return the Redis keys of a connector; `uuid` is in canonical form, lower case."""
    prefix = f"statekeep:{{{uuid}}}:"
    return ConnectorKeys(
        value_prefix=f"dsxconnect:connector_state:{uuid}:",
        nonce_prefix=f"{prefix}nonce:",
        own=tuple(prefix + name for name in OWN_KEYS),
        of_admission=tuple(prefix + name for name in ADMISSION_KEYS),
    )
