"""Facts about a connector for its page: calls, use of Redis, quotas, credentials, enrolment."""

import logging
from typing import Any

from django.conf import settings
from django.db.models import Case, QuerySet, Value, When
from django.template.defaultfilters import filesizeformat
from redis.exceptions import RedisError

from connector_state.admin.connectors.accepting import dsx_connect_facts
from connector_state.admin.connectors.calls import Calls, calls_of, linked
from connector_state.admin.connectors.listing import UNKNOWN
from connector_state.admin.connectors.policy_form import Words, limit_in_words
from connector_state.admin.connectors.use import Use
from connector_state.api import misdirected
from connector_state.models import Connector, Credential
from connector_state.store.policy import Policy
from connector_state.store.usage import Usage, last_seen_at, never_signed

logger = logging.getLogger(__name__)

CREDENTIALS_SHOWN = 20
CHANGES_SHOWN = 20


def facts_of(connector: Connector, *, sees_keys: bool) -> dict[str, Any]:
    """Return the context of a connector's page.

    Args:
        connector: whose page it is.
        sees_keys: whether the reader may see the names of keys.
    """
    use = Use.of(connector)
    usage, calls = use.usage, _calls(connector, use)
    unreadable = linked(str(connector.pk), calls.unreadable) if calls and sees_keys else []
    live = use.live(connector)
    return {
        "usage": usage,
        "calls": calls,
        "unreadable": unreadable,
        "newest": live[0] if live else None,
        "older": live[1:],
        "never_signed": usage is not None and never_signed(connector, usage),
        "misdirected_at": misdirected.last_at(str(connector.pk)) if usage else None,
        "last_seen_at": last_seen_at(connector, usage) if usage else connector.last_seen_at,
        "quotas": _quotas(connector, usage),
        "rate": limit_in_words(
            Policy.of(connector).limits.requests_per_second,
            connector.max_requests_per_second is None,
        ),
        "credentials": use.of_credentials(live_first(connector)[:CREDENTIALS_SHOWN]),
        "credentials_total": connector.credentials.count(),
        "dsx_connect": dsx_connect_facts(connector),
        "enrolment_changes": connector.enrolment_changes.all()[:CHANGES_SHOWN],
    }


def _calls(connector: Connector, use: Use) -> Calls | None:
    if use.recorded is None:
        return None
    try:
        return calls_of(str(connector.pk), use.recorded)
    except RedisError as error:
        logger.error("a connector's page had no answer of Redis: %r", error)
        return None


def live_first(connector: Connector) -> QuerySet[Credential]:
    """Return a connector's credentials: the live ones, then the others, newest first."""
    live = Credential.objects.live().filter(connector=connector).values("pk")
    ended = Case(When(pk__in=live, then=Value(0)), default=Value(1))
    return connector.credentials.order_by(ended, "-created_at", "-pk")


def _quotas(connector: Connector, usage: Usage | None) -> list[dict[str, Any]]:
    """Return each limit and how much of it is used: None when Redis does not answer."""

    def quota(
        label: str, used: int | None, limit: int, own: int | None, words: Words = filesizeformat
    ) -> dict[str, Any]:
        found = {"label": label, "used": used, "limit": limit}
        used_in_words = UNKNOWN if used is None else words(used)
        most = limit_in_words(limit, is_default=own is None, words=words)
        return {**found, "used_in_words": used_in_words, "limit_in_words": most}

    limits = Policy.of(connector).limits
    keys, size, earlier = (
        (usage.keys, usage.bytes, usage.history_bytes) if usage else (None, None, None)
    )
    history_limit = settings.STATE_HISTORY_MAX_BYTES  # for each connector the same
    return [
        quota("Keys", keys, limits.max_keys, connector.max_keys, "{:,}".format),
        quota("Size", size, limits.max_bytes, connector.max_bytes),
        quota("Size of earlier values", earlier, history_limit, history_limit),
    ]
