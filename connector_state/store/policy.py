"""A connector's policy: its namespaces, whether it may write, its quotas and its rate."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from django.conf import settings

from connector_state.errors import Forbidden, InvalidRequest
from connector_state.models import Connector
from connector_state.store.calls import Limits
from connector_state.store.keys import check_namespace

# The limits that can be set for one connector, and the highest value of each.
LIMITS = {"max_keys": 10**9, "max_bytes": 10**15, "max_requests_per_second": 10**6}

EFFECTIVE_SECONDS = 2  # after a change, until every worker goes by it (credentials.cache)

FIELDS = ("enabled", "read_only", "allowed_namespaces", *LIMITS)


def default_limit(name: str) -> int:
    """Return the value of one of LIMITS for connectors that have none of their own."""
    return int(getattr(settings, f"STATE_{name.upper()}"))


def clean_patterns(patterns: Iterable[str]) -> str:
    """Return patterns of namespaces as Connector.allowed_namespaces stores them: one per line.

    Raises:
        InvalidRequest: a pattern holds a space or a comma, or can't match any valid namespace.
    """
    cleaned = [pattern.strip() for pattern in patterns if pattern.strip()]
    for pattern in cleaned:
        check_namespace(pattern)
        # Namespaces may hold both, but who writes one in a pattern means two patterns.
        if len(pattern.split()) > 1 or "," in pattern:
            raise InvalidRequest(
                "A pattern may hold no space and no comma: write one pattern per line, and ? for a "
                "space or comma in a name."
            )
    return "\n".join(cleaned)


@dataclass(frozen=True, slots=True)
class Policy:
    """A connector's policy, with the settings' defaults filled in.

    `namespaces` are patterns as fnmatch has them; an empty tuple allows every namespace.
    """

    read_only: bool
    namespaces: tuple[str, ...]
    limits: Limits

    @classmethod
    def of(cls, connector: Connector) -> "Policy":
        """Return the policy of a connector, from its fields in the database."""

        # Not `own or default`: a connector's own 0 means no limit.
        def limit(name: str) -> int:
            own: int | None = getattr(connector, name)
            return default_limit(name) if own is None else own

        limits = Limits(limit("max_requests_per_second"), limit("max_keys"), limit("max_bytes"))
        return cls(connector.read_only, tuple(connector.allowed_namespaces.split()), limits)

    def allows(self, namespace: str) -> bool:
        """Tell whether the connector may use the namespace."""
        return not self.namespaces or any(fnmatchcase(namespace, p) for p in self.namespaces)

    def check_namespace(self, namespace: str) -> None:
        """Raise Forbidden (code `namespace_not_allowed`) unless it may use the namespace."""
        if not self.allows(namespace):
            raise Forbidden(
                "This connector may not use this namespace.", code="namespace_not_allowed"
            )

    def check_write(self, namespace: str) -> None:
        """Raise Forbidden (that code or `read_only`) unless it may write to the namespace."""
        self.check_namespace(namespace)
        if self.read_only:
            raise Forbidden("This connector may only read.", code="read_only")


def hold_writes(connector: Connector) -> None:
    """Make a connector read-only, and wait until every worker refuses its writes.

    One that is cut off from the database learns it later: so restore with a condition even then.
    """
    if not connector.read_only:
        connector.read_only = True
        connector.save(update_fields=["read_only"])
        time.sleep(EFFECTIVE_SECONDS)
