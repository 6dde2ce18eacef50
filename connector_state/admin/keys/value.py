"""The page of one key, and its value for those who may see it."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from common.admin.pages import Link, as_attachment
from connector_state.admin.keys.pages import KeyPage
from connector_state.admin.presentation import show
from connector_state.operator_session import named
from connector_state.store import audit
from connector_state.store.index import KeyDescription
from connector_state.store.operations import Entry

AUDIT_ENTRIES_SHOWN = 10


class DetailsPage(KeyPage):
    """The page of one key: what is stored, its earlier values, and who did what with it."""

    title = "Key"
    template = "admin/connector_state/keys/key.html"

    @property
    def trail(self) -> list[Link]:
        return super().trail[:-1]

    def details(self, stored: KeyDescription | None, **context: Any) -> HttpResponse:
        """Return the page of the key."""
        pages = ("value", "download", "edit", "expiry", "version", "restore")
        history = self.session.history(self.address)
        about = {
            **self.about(stored),
            "title": named(self.address),
            "here": self.address.key,
            "urls": {page: self.url(page, **self.query) for page in pages},
            "versions": [(self.version_id(it.etag), it) for it in history.versions],
            "deleted_at": history.deleted_at,
            "entries": audit.entries_of(self.uuid, self.address, AUDIT_ENTRIES_SHOWN),
            "looked_at": audit.LOOKED_AT,
        }
        return self.render({**about, **context})


class KeyDetails(DetailsPage):
    """Size and expiry of a key, and who did what with it, without its value."""

    permissions = ("connector_state.view_keys",)

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.details(self.stored())


class ValuePage(DetailsPage):
    """The same page with the value, in the answer to a POST."""

    permissions = ("connector_state.view_values",)

    def post(self, request: HttpRequest) -> HttpResponse:
        stored = self.stored()
        if stored is None or not stored.is_value:
            return self.details(stored)
        entry = self.read()
        return self.details(None) if entry is None else self.answer(entry)

    def answer(self, entry: Entry) -> HttpResponse:
        """Return the page with the value."""
        return self.details(self.stored(), shown=show(entry.value), etag=entry.etag)


class DownloadPage(ValuePage):
    """The bytes of a value as a file."""

    def answer(self, entry: Entry) -> HttpResponse:
        return as_attachment(HttpResponse(entry.value), "value.bin")
