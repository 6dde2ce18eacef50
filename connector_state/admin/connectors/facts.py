"""Facts about a connector for its page: use of Redis, quotas, credentials, enrolment."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Case, QuerySet, Value, When

from connector_state.admin.connectors.accepting import dsx_connect_facts
from connector_state.admin.connectors.listing import UNKNOWN, usage_or_none
from connector_state.admin.connectors.policy_form import limit_in_words
from connector_state.api import misdirected
from connector_state.models import Connector, Credential
from connector_state.store.policy import Policy
from connector_state.store.usage import Usage, last_seen_at, never_signed

CREDENTIALS_SHOWN = 20
CHANGES_SHOWN = 20


def facts_of(connector: Connector) -> dict[str, Any]:
    """Return the context of a connector's page."""
    usage = usage_of_one(connector)
    credentials = live_first(connector)
    return {
        "usage": usage,
        "never_signed": usage is not None and never_signed(connector, usage),
        "misdirected_at": misdirected.last_at(str(connector.pk)) if usage else None,
        "last_seen_at": last_seen_at(connector, usage) if usage else connector.last_seen_at,
        "quotas": _quotas(connector, usage),
        "rate": limit_in_words(
            Policy.of(connector).limits.requests_per_second,
            connector.max_requests_per_second is None,
        ),
        "credentials": with_last_use(credentials[:CREDENTIALS_SHOWN], usage),
        "credentials_total": connector.credentials.count(),
        "dsx_connect": dsx_connect_facts(connector),
        "enrolment_changes": connector.enrolment_changes.all()[:CHANGES_SHOWN],
    }


def usage_of_one(connector: Connector) -> Usage | None:
    """Return what a connector uses, or None when Redis does not answer."""
    usage = usage_or_none([connector])
    return usage[str(connector.pk)] if usage else None


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


def _quotas(connector: Connector, usage: Usage | None) -> list[dict[str, Any]]:
    """Return each limit and how much of it is used: None when Redis does not answer."""

    def quota(label: str, used: int | None, limit: int, own: int | None) -> dict[str, Any]:
        found = {"label": label, "used": used, "limit": limit}
        used_in_words = UNKNOWN if used is None else f"{used:,}"
        most = limit_in_words(limit, is_default=own is None)
        return {**found, "used_in_words": used_in_words, "limit_in_words": most}

    limits = Policy.of(connector).limits
    keys, size, earlier = (
        (usage.keys, usage.bytes, usage.history_bytes) if usage else (None, None, None)
    )
    history_limit = settings.STATE_HISTORY_MAX_BYTES  # for each connector the same
    return [
        quota("Keys", keys, limits.max_keys, connector.max_keys),
        quota("Bytes", size, limits.max_bytes, connector.max_bytes),
        quota("Bytes of earlier values", earlier, history_limit, history_limit),
    ]
