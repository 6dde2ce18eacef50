"""Keys that stand in Redis and that the index does not know."""

import re
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.http import urlencode

from connector_state.admin.pages import ConnectorPage
from connector_state.errors import InvalidRequest
from connector_state.store import index
from connector_state.store.keys import Address
from connector_state.store.unindexed import Unindexed, find_unindexed
from connector_state.store.values import expires_at

CURSOR_MAX = 2**64 - 1
TAKEN_IN_AT_ONCE = 900  # more than a page shows, and fewer than the fields that Django takes


class UnindexedPage(ConnectorPage):
    """`?cursor=&looked_at=` goes on with a scan."""

    permission = "connector_state.view_keys"
    title = "Keys that the index does not know"
    template = "admin/connector_state/keys/unindexed.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        """What the next step of the scan finds."""
        cursor, before = self.number("cursor"), self.number("looked_at")
        page = find_unindexed(self.uuid, cursor)
        looked_at = min(before + page.looked_at, page.of_keys)
        rows = [_row(unindexed) for unindexed in page.found]
        return self.render(
            {
                "rows": rows,
                "can_take_in": any(row["member"] for row in rows),
                "looked_at": f"{looked_at:,}",
                "of_keys": f"{page.of_keys:,}",
                "percent": 100 * looked_at // max(page.of_keys, 1),
                "next_url": self.url(cursor=page.cursor, looked_at=looked_at)
                if page.cursor
                else "",
                "first_url": self.url() if cursor else "",
            }
        )

    def number(self, name: str) -> int:
        """A whole number of the query, 0 if it is not there."""
        text = self.request.GET.get(name, "0")
        if not re.fullmatch("[0-9]{1,20}", text) or int(text) > CURSOR_MAX:
            raise InvalidRequest("This link is not one of this page. Begin anew.")
        return int(text)

    def url(self, **query: int) -> str:
        """The path of a step."""
        path = reverse("admin:connector_state_unindexed", args=[self.uuid])
        return f"{path}?{urlencode(query)}" if query else path


class TakeInPage(ConnectorPage):
    """Takes the keys of a page into the index."""

    permission = "connector_state.change_keys"
    title = "Take in"
    template = UnindexedPage.template

    def get(self, request: HttpRequest) -> HttpResponse:
        """Go to the page, for a browser that comes back here."""
        return HttpResponseRedirect(reverse("admin:connector_state_unindexed", args=[self.uuid]))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Take in those named, as they stand in Redis now."""
        members = request.POST.getlist("member")
        if len(members) > TAKEN_IN_AT_ONCE:
            raise InvalidRequest("These are more keys than a page shows.")
        addresses = [Address.from_member(member) for member in members]
        total = index.take_in(self.uuid, request.user.get_username(), addresses)
        noun = "key" if total.added == 1 else "keys"
        message = f"Took {total.added} {noun} into the index."
        self.record(message)
        messages.success(request, message)
        return HttpResponseRedirect(reverse("admin:connector_state_unindexed", args=[self.uuid]))


def _row(unindexed: Unindexed) -> dict[str, Any]:
    """A row of the table; one with a `problem` can't be taken in."""
    stored, address, member, problem = unindexed.stored, unindexed.address, "", ""
    if not stored.is_value:
        problem = f"It is a {stored.kind}, which no value is."
    elif address is None:
        problem = "It has no namespace, or a key that the API does not take."
    else:
        member = address.member
    return {
        "name": unindexed.name,
        "member": member,
        "problem": problem,
        "size": stored.size,
        "expires_at": expires_at(stored.ttl_seconds),
    }


def urls() -> list[URLPattern]:
    """The paths of these pages."""
    return [
        UnindexedPage.at("keys/unindexed/", "unindexed"),
        TakeInPage.at("keys/unindexed/take-in/", "take_in"),
    ]
