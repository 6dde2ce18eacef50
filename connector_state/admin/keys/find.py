"""Keys of a connector by any part of their name."""

from django.http import HttpRequest, HttpResponse

from connector_state.admin.keys.pages import KeysPage
from connector_state.store.finding import find_keys
from connector_state.store.keys import check_namespace


class FindPage(KeysPage):
    """`?text=` is looked for in the keys, `?namespace=` in those of one namespace alone.

    `?cursor=` goes on where the time was up.
    """

    permissions = ("connector_state.view_keys",)
    title = "Search keys"
    template = "admin/connector_state/keys/find.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        text, namespace = request.GET.get("text", ""), request.GET.get("namespace", "")
        if namespace:
            check_namespace(namespace)
        query, cursor = {"text": text, "namespace": namespace}, self.number("cursor")
        found = None
        if text:
            found = find_keys([self.uuid], text, namespace=namespace, cursor=cursor)
        rows = [
            (address, self.url("key", namespace=address.namespace, key=address.key))
            for _, address in (found.keys if found else ())
        ]
        next_url = ""
        if found and found.cursor:
            next_url = self.url("find_keys", **query, cursor=found.cursor)
        return self.render({**query, "found": found, "rows": rows, "next_url": next_url})
