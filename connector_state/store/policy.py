"""What a connector may do with its state."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from django.conf import settings

from connector_state.errors import Forbidden, InvalidRequest
from connector_state.models import Connector
from connector_state.store.calls import Limits
from connector_state.store.keys import check_namespace

# The limits that a connector can have of its own, and how high each may be.
LIMITS = {"max_keys": 10**9, "max_bytes": 10**15, "max_requests_per_second": 10**6}

FIELDS = ("enabled", "read_only", "allowed_namespaces", *LIMITS)


def clean_patterns(patterns: Iterable[str]) -> str:
    """Return patterns of namespaces as a connector keeps them: one a line, blank ones dropped.

    Raises:
        InvalidRequest: one could match no namespace, or holds a space.
    """
    cleaned = [pattern.strip() for pattern in patterns if pattern.strip()]
    for pattern in cleaned:
        check_namespace(pattern)
        if len(pattern.split()) > 1:
            raise InvalidRequest("A pattern may hold no space; use ? in its place.")
    return "\n".join(cleaned)


@dataclass(frozen=True, slots=True)
class Policy:
    """A connector's policy, with the settings' defaults filled in."""

    read_only: bool
    namespaces: tuple[str, ...]
    limits: Limits

    @classmethod
    def of(cls, connector: Connector) -> "Policy":
        """The policy of a connector as it is in the database."""

        def chosen(own: int | None, default: int) -> int:
            return default if own is None else own

        return cls(
            read_only=connector.read_only,
            namespaces=tuple(connector.allowed_namespaces.split()),
            limits=Limits(
                requests_per_second=chosen(
                    connector.max_requests_per_second, settings.STATE_MAX_REQUESTS_PER_SECOND
                ),
                max_keys=chosen(connector.max_keys, settings.STATE_MAX_KEYS),
                max_bytes=chosen(connector.max_bytes, settings.STATE_MAX_BYTES),
            ),
        )

    def allows(self, namespace: str) -> bool:
        """Whether the connector may use this namespace."""
        return not self.namespaces or any(fnmatchcase(namespace, p) for p in self.namespaces)

    def check_namespace(self, namespace: str) -> None:
        """Raise Forbidden unless the connector may use this namespace."""
        if not self.allows(namespace):
            raise Forbidden(
                "This connector may not use this namespace.", code="namespace_not_allowed"
            )

    def check_write(self, namespace: str) -> None:
        """Raise Forbidden unless the connector may write to this namespace."""
        self.check_namespace(namespace)
        if self.read_only:
            raise Forbidden("This connector may only read.", code="read_only")
