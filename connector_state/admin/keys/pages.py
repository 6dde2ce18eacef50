"""What the pages about one key have in common: its address, which stands in the query."""

from functools import cached_property
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode

from common.visible import visible_name
from connector_state.admin.pages import ConnectorPage
from connector_state.store import audit
from connector_state.store.index import Stored, describe
from connector_state.store.keys import Address
from connector_state.store.values import Entry, expires_at

AUDIT_ENTRIES_SHOWN = 10


def key_url(uuid: str, page: str, namespace: str, key: str) -> str:
    """Return the path of a page about a key, named connector_state_PAGE."""
    query = urlencode({"namespace": namespace, "key": key})
    return f"{reverse(f'admin:connector_state_{page}', args=[uuid])}?{query}"


def keys_url(uuid: str, **query: str) -> str:
    """Return the path of a page of the key browser."""
    path = reverse("admin:connector_state_keys", args=[uuid])
    return f"{path}?{urlencode(query)}" if query else path


def named(address: Address) -> str:
    """Return an address for people to read."""
    return f"{visible_name(address.namespace)} / {visible_name(address.key)}"


class KeyPage(ConnectorPage):
    """A page at …?namespace=&key=."""

    @cached_property
    def address(self) -> Address:
        """The key that the page is about, validated as by the API."""
        query = self.request.GET
        return Address(query.get("namespace", ""), query.get("key", ""))

    def stored(self) -> Stored | None:
        """Return what stands at the address, without its value."""
        (stored,) = describe(self.uuid, [self.address])
        return stored

    def read(self) -> Entry | None:
        """Return the value and all that belongs to it, after recording that it is looked at."""
        audit.record_read(self.uuid, self.request.user.get_username(), self.address)
        return self.session.store.get(self.address)

    def about(self, stored: Stored | None) -> dict[str, Any]:
        """Return what templates tell of the key."""
        return {
            "title": named(self.address),
            "address": self.address,
            "stored": stored,
            "expires_at": stored and expires_at(stored.ttl_seconds),
            "list_url": keys_url(self.uuid, namespace=self.address.namespace),
            "urls": {
                page: key_url(self.uuid, page, self.address.namespace, self.address.key)
                for page in ("key", "value", "download", "edit", "expiry")
            },
        }

    def to_key(self) -> HttpResponseRedirect:
        """Go to the key's page."""
        address = self.address
        return HttpResponseRedirect(key_url(self.uuid, "key", address.namespace, address.key))

    def done(self, message: str) -> HttpResponseRedirect:
        """Enter into admin's history what was done to this key, say it, and go to its page."""
        self.record(message)
        messages.success(self.request, message)
        return self.to_key()


class KeyDetails(KeyPage):
    """The page of one key. Its value is shown by ValuePage."""

    permission = "connector_state.view_keys"
    title = "Key"
    template = "admin/connector_state/keys/key.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Size, expiry, and who did what with it."""
        return self.details(self.stored())

    def details(self, stored: Stored | None, **context: Any) -> HttpResponse:
        """Return the page."""
        entries = audit.entries_of(self.uuid, self.address, AUDIT_ENTRIES_SHOWN)
        return self.render(
            {
                **self.about(stored),
                "entries": entries,
                "looked_at": audit.LOOKED_AT,
                **context,
            }
        )
