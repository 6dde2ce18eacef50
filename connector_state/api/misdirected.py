"""Take note of connectors that send here what only a dsx-connect does, such as scans.

A connector whose scans fail logs an error for each item and stores its cursor all the same, so
nobody would scan those items. An operator has to hear of it, and not once per item.
"""

import logging
import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError
from django.http import HttpRequest
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from common.client_ip import client_address
from connector_state.credentials import live, signing
from connector_state.errors import SignatureRefused, Unavailable

logger = logging.getLogger(__name__)

LOG_EVERY = timedelta(hours=1)
KEPT = timedelta(days=7)
ADDRESSES_MOST = 1000


class Addresses:
    """The addresses that were logged within the last hour, at most ADDRESSES_MOST of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logged_at: OrderedDict[str, float] = OrderedDict()

    def is_due(self, address: str) -> bool:
        """Return whether to log this address now, and remember that it was."""
        now = time.monotonic()
        with self._lock:
            while self._logged_at:
                oldest, at = next(iter(self._logged_at.items()))
                if now - at < LOG_EVERY.total_seconds():
                    break
                del self._logged_at[oldest]
            # Beyond the limit nothing is logged: strangers could fill the log as well.
            if address in self._logged_at or len(self._logged_at) >= ADDRESSES_MOST:
                return False
            self._logged_at[address] = now
            return True


_addresses = Addresses()


def note(request: HttpRequest) -> None:
    """Log whose request this is, once an hour, and mark its connector for admin's page.

    The signature is not verified, as nobody waits for the body. Key ids are no secret, so the line
    and the page say that a mark is no proof. A caller without a live key id is named by its
    address.
    """
    connector_uuid = _connector_of(request)
    if connector_uuid is None:
        who, is_due = "an unknown caller", _addresses.is_due(client_address(request))
    else:
        who = f"connector {connector_uuid} (by its key id; the signature was not checked)"
        is_due = _mark(connector_uuid)
    if is_due:
        logger.warning(
            "%s at %s sends scans or other calls here that only a dsx-connect answers: its items "
            "are not scanned (docs/connectors.md)",
            who,
            client_address(request),
        )


def last_at(connector_uuid: str) -> datetime | None:
    """Return when the connector was marked last, to the hour, within a week.

    None if it wasn't, or if Redis does not answer.
    """
    try:
        seconds = get_redis_connection().get(_key(connector_uuid))
    except RedisError:
        return None
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC)


def _connector_of(request: HttpRequest) -> str | None:
    try:
        header = signing.parse_authorization_header(request.META.get("HTTP_AUTHORIZATION", ""))
        credential = live.find_live(header.key_id, client_address(request)) if header else None
    except (SignatureRefused, Unavailable, DatabaseError):
        return None
    return credential.connector_uuid if credential else None


def _mark(connector_uuid: str) -> bool:
    """Mark the connector; return whether no process has done so within the hour."""
    key = _key(connector_uuid)
    try:
        redis = get_redis_connection()
        if not redis.set(f"{key}:logged", 1, ex=LOG_EVERY, nx=True):
            return False
        redis.set(key, int(time.time()), ex=KEPT)
    except RedisError:
        return False  # which is logged wherever a call needs Redis
    return True


def _key(connector_uuid: str) -> str:
    return f"statekeep:{{{connector_uuid}}}:misdirected"
