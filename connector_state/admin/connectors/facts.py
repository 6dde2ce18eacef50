"""What a connector's page shows above and below the form of its policy."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, QuerySet, Value, When
from redis.exceptions import RedisError

from connector_state.admin.connectors.listing import UNKNOWN
from connector_state.admin.connectors.policy_form import limit_in_words
from connector_state.models import Connector, Credential
from connector_state.store.policy import Policy
from connector_state.store.usage import Usage, last_seen_at, usage_of

logger = logging.getLogger(__name__)

CREDENTIALS_SHOWN = 20
CHANGES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit of a connector, and how much of it is used (None: Redis does not answer)."""

    label: str
    used: int | None
    limit: int
    is_default: bool

    @property
    def used_in_words(self) -> str:
        """How much is used."""
        return UNKNOWN if self.used is None else f"{self.used:,}"

    @property
    def limit_in_words(self) -> str:
        """The limit, and where it comes from."""
        return limit_in_words(self.limit, self.is_default)


def facts_of(connector: Connector) -> dict[str, Any]:
    """Return the context of a connector's page."""
    usage = usage_or_none(connector)
    credentials = live_first(connector)
    return {
        "usage": usage,
        "last_seen_at": last_seen_at(connector, usage) if usage else connector.last_seen_at,
        "quotas": _quotas(connector, usage),
        "rate": limit_in_words(
            Policy.of(connector).limits.requests_per_second,
            connector.max_requests_per_second is None,
        ),
        "credentials": with_last_use(credentials[:CREDENTIALS_SHOWN], usage),
        "credentials_total": connector.credentials.count(),
        "enrolment_changes": connector.enrolment_changes.all()[:CHANGES_SHOWN],
    }


def usage_or_none(connector: Connector) -> Usage | None:
    """Return what a connector uses, or None when Redis does not answer."""
    uuid = str(connector.pk)
    try:
        return usage_of([uuid])[uuid]
    except RedisError as error:
        logger.error("a connector's page had no answer of Redis: %r", error)
        return None


def live_first(connector: Connector) -> QuerySet[Credential]:
    """Return a connector's credentials: the live ones, then the others, newest first."""
    live = Credential.objects.live().filter(connector=connector).values("pk")
    ended = Case(When(pk__in=live, then=Value(0)), default=Value(1))
    return connector.credentials.order_by(ended, "-created_at", "-pk")


def with_last_use(
    credentials: Iterable[Credential], usage: Usage | None
) -> list[tuple[Credential, datetime | None]]:
    """Pair credentials with when each was used last."""
    used = usage.last_used if usage else {}
    return [(credential, used.get(credential.key_id)) for credential in credentials]


def _quotas(connector: Connector, usage: Usage | None) -> list[Quota]:
    limits = Policy.of(connector).limits
    keys, size = (usage.keys, usage.bytes) if usage else (None, None)
    return [
        Quota("Keys", keys, limits.max_keys, connector.max_keys is None),
        Quota("Bytes", size, limits.max_bytes, connector.max_bytes is None),
    ]
