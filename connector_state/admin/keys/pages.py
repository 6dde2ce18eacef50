"""What the pages about keys have in common: their URLs, their breadcrumbs, the key in the query."""

import re
from functools import cached_property
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.http import urlencode

from common.admin.pages import Link
from connector_state.admin.pages import ConnectorPage
from connector_state.errors import InvalidRequest
from connector_state.store import audit
from connector_state.store.index import KeyDescription, describe
from connector_state.store.keys import Address
from connector_state.store.operations import Entry
from connector_state.store.values import expires_at

CURSOR_MAX = 2**64 - 1


def keys_url(uuid: str, page: str = "keys", **query: Any) -> str:
    """Return the URL of connector_state_PAGE of a connector, with a query."""
    path = reverse(f"admin:connector_state_{page}", args=[uuid])
    return f"{path}?{urlencode(query)}" if query else path


class KeysPage(ConnectorPage):
    """A page beneath the key browser."""

    asks_redis = True

    def url(self, page: str = "keys", **query: Any) -> str:
        """Return the URL of a page of this connector: see keys_url."""
        return keys_url(self.uuid, page, **query)

    @property
    def back_url(self) -> str:
        return self.url()

    @property
    def trail(self) -> list[Link]:
        return [(self.url(), "Keys")]

    def number(self, name: str) -> int:
        """Return a whole number of the query, 0 if it is not there."""
        text = self.request.GET.get(name, "0")
        if not re.fullmatch("[0-9]{1,20}", text) or int(text) > CURSOR_MAX:
            raise InvalidRequest("This link is not valid. Start from the beginning.")
        return int(text)


class KeyPage(KeysPage):
    """A page about one key, at …?namespace=&key=."""

    @property
    def query(self) -> dict[str, str]:
        """The namespace and the key as they came, valid or not."""
        return {name: self.request.GET.get(name, "") for name in ("namespace", "key")}

    @cached_property
    def address(self) -> Address:
        """The key, validated as by the API."""
        return Address(**self.query)

    @property
    def back_url(self) -> str:
        return self.url("key", **self.query)

    @property
    def trail(self) -> list[Link]:
        namespace, key = self.query.values()
        return [*super().trail, (self.url(namespace=namespace), namespace), (self.back_url, key)]

    def stored(self) -> KeyDescription | None:
        """Return what is stored under the key, without its value."""
        (stored,) = describe(self.uuid, [self.address])
        return stored

    def read(self) -> Entry | None:
        """Return the value with its ETag and expiry; the audit records the read first."""
        session = self.session
        audit.record_read(self.uuid, session.username, self.address, session.address)
        return session.store.get(self.address)

    def version_id(self, etag: str) -> str:
        """Return a name for a value of this key. Unlike its ETag it lets nobody guess the value."""
        return salted_hmac(__name__, f"{self.uuid}:{self.address.member}:{etag}").hexdigest()

    def about(self, stored: KeyDescription | None) -> dict[str, Any]:
        """Return what templates show of the key."""
        return {
            "address": self.address,
            "stored": stored,
            "expires_at": stored and expires_at(stored.ttl_seconds),
        }

    def done(self, message: str) -> HttpResponse:
        """Record what was done to this key, say it, and go to the key's page."""
        self.record(message)
        return self.leave(message, self.back_url)
