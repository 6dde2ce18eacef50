"""Keys that are in Redis and not in the index."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize

from connector_state.admin.keys.pages import KeysPage
from connector_state.errors import InvalidRequest
from connector_state.store import index
from connector_state.store.keys import Address
from connector_state.store.unindexed import Unindexed, find_unindexed
from connector_state.store.values import expires_at

TAKEN_IN_AT_ONCE = 900  # more than a page shows, and fewer than the fields that Django takes


class UnindexedPage(KeysPage):
    """The keys that a step of a scan finds. `?cursor=&looked_at=` is the next step."""

    permissions = ("connector_state.view_keys",)
    title = "Keys that the index does not know"
    template = "admin/connector_state/keys/unindexed.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        cursor, before = self.number("cursor"), self.number("looked_at")
        page = find_unindexed(self.uuid, cursor)
        looked_at = min(before + page.looked_at, page.of_keys)
        rows = [_row(unindexed) for unindexed in page.found]
        following = {"cursor": page.cursor, "looked_at": looked_at}
        context = {
            "rows": rows,
            "can_take_in": any(row["member"] for row in rows),
            "looked_at": f"{looked_at:,}",
            "of_keys": f"{page.of_keys:,}",
            "percent": 100 * looked_at // max(page.of_keys, 1),
            "next_url": self.url("unindexed", **following) if page.cursor else "",
            "first_url": self.url("unindexed") if cursor else "",
        }
        return self.render(context)


class TakeInPage(KeysPage):
    """Takes the keys of a page into the index, as they are in Redis now."""

    permissions = ("connector_state.change_keys",)
    title = "Take in"

    @property
    def back_url(self) -> str:
        return self.url("unindexed")

    def post(self, request: HttpRequest) -> HttpResponse:
        members = request.POST.getlist("member")
        if len(members) > TAKEN_IN_AT_ONCE:
            raise InvalidRequest("These are more keys than a page shows.")
        addresses = [Address.from_member(member) for member in members]
        total = index.take_in(self.uuid, request.user.get_username(), addresses)
        message = f"Took {total.added} key{pluralize(total.added)} into the index."
        self.record(message)
        return self.leave(message, self.back_url)


def _row(unindexed: Unindexed) -> dict[str, Any]:
    """Return a row of the table; one with a `problem` can't be taken in."""
    stored, address, member, problem = unindexed.stored, unindexed.address, "", ""
    if not stored.is_value:
        problem = f"It is a {stored.kind}, and a value is a string."
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
