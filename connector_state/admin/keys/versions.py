"""Earlier values of a key: looked at and restored; and the keys that were deleted."""

from contextlib import suppress
from typing import Any

from django.http import HttpRequest, HttpResponse

from common.admin.pages import as_attachment
from connector_state.admin.keys.pages import KeyPage, KeysPage
from connector_state.admin.keys.value import DetailsPage
from connector_state.admin.presentation import show
from connector_state.errors import PreconditionFailed, VersionGone
from connector_state.operator_session import GONE, named
from connector_state.store import audit
from connector_state.store.history import Version, find_deleted
from connector_state.store.operations import Entry
from connector_state.store.policy import hold_writes

STORED_ALREADY = "This value is stored already; nothing was changed."


class _VersionPage(KeyPage):
    """A page about one version, which a POST names by its `version_id`."""

    def version(self) -> Version:
        """Return the version that the form names.

        Raises:
            VersionGone: it is not kept.
        """
        wanted = self.request.POST.get("version", "")
        for version in self.session.history(self.address).versions:
            if self.version_id(version.etag) == wanted:
                return version
        raise VersionGone(GONE)


class VersionPage(_VersionPage, DetailsPage):
    """The key's page with an earlier value, or that as a file."""

    permissions = ("connector_state.view_values",)

    def post(self, request: HttpRequest) -> HttpResponse:
        version = self.version()
        session = self.session
        audit.record_read(self.uuid, session.username, self.address, session.address)
        value = session.version(self.address, version.etag)
        if "download" in request.POST:
            return as_attachment(HttpResponse(value), "value.bin")
        return self.details(self.stored(), shown=show(value), shown_version=version)


class RestorePage(_VersionPage):
    """Asks whether to restore a version that is POSTed; a second POST, with `confirm`, does it.

    The form says what it replaces, and nothing is written if that is not stored any more.
    """

    permissions = ("connector_state.change_keys",)
    title = "Restore this value?"
    template = "admin/connector_state/keys/restore.html"

    def post(self, request: HttpRequest) -> HttpResponse:
        is_confirmed = "confirm" in request.POST
        current = self.session.store.get(self.address)
        if current and self.version_id(current.etag) == request.POST.get("version"):
            return self.leave(STORED_ALREADY, self.back_url)
        version = self.version()  # one that is gone changes no policy
        if is_confirmed and "hold" in request.POST and self.may_hold:
            self.hold_writes()
            current = self.session.store.get(self.address)
        if is_confirmed and request.POST.get("replaces") == self.id_of(current):
            with suppress(PreconditionFailed):
                self.session.restore(self.address, version.etag, current.etag if current else None)
                return self.done(f"Restored an earlier value of {named(self.address)}.")
            current = self.session.store.get(self.address)
        return self.question(version, current, conflict=is_confirmed)

    @property
    def may_hold(self) -> bool:
        """Whether the operator may hold the connector's writes."""
        return self.request.user.has_perm("connector_state.change_connector")

    def hold_writes(self) -> None:
        """Make the connector read-only. That stays so, even if nothing is restored."""
        if not self.connector.read_only:
            hold_writes(self.connector)
            self.record(f"Held its writes, to restore {named(self.address)}.")

    def id_of(self, entry: Entry | None) -> str:
        """Return what the form says of the value that is replaced; "" if there is none."""
        return self.version_id(entry.etag) if entry else ""

    def question(self, version: Version, current: Entry | None, conflict: bool) -> HttpResponse:
        """Return the page that asks, with both values for those who may see them."""
        context: dict[str, Any] = {
            **self.about(self.stored()),
            "version": version,
            "conflict": conflict,
            "button": "Restore",
            "hidden": [
                ("version", self.version_id(version.etag)),
                ("replaces", self.id_of(current)),
                ("confirm", "yes"),
            ],
        }
        if self.may_hold and not self.connector.read_only:
            context["checks"] = [("hold", "Hold the connector's writes until you let go")]
        if self.request.user.has_perm("connector_state.view_values"):
            session = self.session
            audit.record_read(self.uuid, session.username, self.address, session.address)
            context["shown"] = show(session.version(self.address, version.etag))
            context["shown_now"] = current and show(current.value)
        return self.render(context, status=409 if conflict else 200)


class DeletedPage(KeysPage):
    """The deleted keys that can be restored, in steps. `?cursor=` is the next step."""

    permissions = ("connector_state.view_keys",)
    title = "Deleted keys"
    template = "admin/connector_state/keys/deleted.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        cursor = self.number("cursor")
        found, following = find_deleted(self.uuid, cursor)
        rows = [
            {
                "deleted": deleted,
                "url": self.url(
                    "key", namespace=deleted.address.namespace, key=deleted.address.key
                ),
            }
            for deleted in found
        ]
        context = {
            "rows": rows,
            "next_url": self.url("deleted", cursor=following) if following else "",
            "first_url": self.url("deleted") if cursor else "",
        }
        return self.render(context)
