"""Deleting keys: one, or those selected in the key browser."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern

from connector_state.admin.keys.listing import PAGE
from connector_state.admin.keys.pages import keys_url, named
from connector_state.admin.pages import ConnectorPage
from connector_state.errors import InvalidRequest
from connector_state.store.keys import Address
from connector_state.store.values import Deleted, Operation

NAMED_IN_HISTORY = 10


class DeletePage(ConnectorPage):
    """Names what will be gone; the second POST, with `confirm`, deletes it."""

    permission = "connector_state.delete_keys"
    title = "Delete keys?"
    template = "admin/connector_state/keys/delete.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Go to the list, for a browser that comes back here."""
        return HttpResponseRedirect(keys_url(self.uuid))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Ask, or delete."""
        namespace, keys = request.POST.get("namespace", ""), request.POST.getlist("key")
        addresses = [Address(namespace, key) for key in dict.fromkeys(keys)]
        back = keys_url(self.uuid, namespace=namespace)
        if not addresses:
            messages.warning(request, "No key was selected. Tick those to delete.")
            return HttpResponseRedirect(back)
        if len(addresses) > PAGE:
            raise InvalidRequest(f"At most {PAGE} keys are deleted at once.")
        if "confirm" not in request.POST:
            return self.render({"namespace": namespace, "addresses": addresses, "back": back})
        results = self.session.store.operate(
            [Operation("delete", address) for address in addresses]
        )
        existed = sum(isinstance(result, Deleted) and result.existed for result in results)
        self.record(f"Deleted {_names(addresses)}.")
        messages.success(request, _outcome(existed, len(addresses)))
        return HttpResponseRedirect(back)


def _names(addresses: list[Address]) -> str:
    names = ", ".join(named(address) for address in addresses[:NAMED_IN_HISTORY])
    others = len(addresses) - NAMED_IN_HISTORY
    return f"{names} and {others} others" if others > 0 else names


def _outcome(existed: int, asked: int) -> str:
    if asked == 1:
        return "Deleted the key." if existed else "The key was gone already."
    if existed == asked:
        return f"Deleted {asked} keys."
    return f"Deleted {existed} of {asked} keys; the others were gone already."


def urls() -> list[URLPattern]:
    """The paths of these pages."""
    return [DeletePage.at("keys/delete/", "delete_keys")]
