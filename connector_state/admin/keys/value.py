"""The page of one key: what stands there, and its value for those who may see it."""

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern

from connector_state.admin.keys.pages import KeyDetails
from connector_state.admin.presentation import show
from connector_state.store.values import Entry


class ValuePage(KeyDetails):
    """The page of a key with its value, in the answer to a POST."""

    permission = "connector_state.view_values"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Go to the page without the value, for a browser that comes back here."""
        return self.to_key()

    def post(self, request: HttpRequest) -> HttpResponse:
        """Record the read, and answer with the value."""
        stored = self.stored()
        if stored is None or not stored.is_value:
            return self.details(stored)
        entry = self.read()
        return self.details(None) if entry is None else self.answer(entry)

    def answer(self, entry: Entry) -> HttpResponse:
        """Show it."""
        return self.details(self.stored(), shown=show(entry.value), etag=entry.etag)


class DownloadPage(ValuePage):
    """The bytes of a value, as a file: a browser saves it, whatever it is."""

    def answer(self, entry: Entry) -> HttpResponse:
        """Send it."""
        return HttpResponse(
            entry.value,
            content_type="application/octet-stream",
            headers={
                "Content-Disposition": 'attachment; filename="value.bin"',
                "X-Content-Type-Options": "nosniff",
            },
        )


def urls() -> list[URLPattern]:
    """The paths of these pages."""
    return [
        KeyDetails.at("keys/key/", "key"),
        ValuePage.at("keys/key/value/", "value"),
        DownloadPage.at("keys/key/download/", "download"),
    ]
