"""The key browser: a connector's namespaces, and the keys of one, in pages from the index."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern

from connector_state.admin.keys.pages import key_url, keys_url
from connector_state.admin.pages import ConnectorPage
from connector_state.errors import InvalidRequest
from connector_state.store import index
from connector_state.store.keys import check_namespace
from connector_state.store.values import expires_at

PAGE = 100


class KeysPage(ConnectorPage):
    """`?after=` namespaces; `?namespace=&prefix=&after=` keys of one."""

    permission = "connector_state.view_keys"
    title = "Keys"
    template = "admin/connector_state/keys/keys.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page of namespaces, or of keys."""
        after = request.GET.get("after", "")
        if namespace := request.GET.get("namespace", ""):
            return self.keys(namespace, request.GET.get("prefix", ""), after)
        return self.namespaces(after)

    def namespaces(self, after: str) -> HttpResponse:
        """The namespaces that come after one, with their numbers of keys."""
        page = index.list_namespaces(self.uuid, self.session.caller, after, PAGE)
        last = page.namespaces[-1].namespace if page.more else ""
        rows = [
            {
                "namespace": row.namespace,
                "keys": row.keys,
                "url": keys_url(self.uuid, namespace=row.namespace),
            }
            for row in page.namespaces
        ]
        context = {
            "rows": rows,
            "next_url": keys_url(self.uuid, after=last) if last else "",
            "first_url": keys_url(self.uuid) if after else "",
        }
        return self.render(context, "admin/connector_state/keys/namespaces.html")

    def keys(self, namespace: str, prefix: str, after: str) -> HttpResponse:
        """The keys of a namespace that begin with `prefix` and come after one."""
        check_namespace(namespace)
        if len(prefix.encode()) > index.PREFIX_MAX_BYTES:
            raise InvalidRequest(f"A prefix has at most {index.PREFIX_MAX_BYTES} bytes.")
        page = index.list_keys(self.uuid, self.session.caller, namespace, prefix, after, PAGE)
        query = {"namespace": namespace, "prefix": prefix}
        here = {**query, "after": after}
        return self.render(
            {
                "namespace": namespace,
                "prefix": prefix,
                "rows": [self.row(namespace, key) for key in page.keys],
                "next_url": keys_url(self.uuid, **query, after=page.last) if page.more else "",
                "first_url": keys_url(self.uuid, **query) if after else "",
                "all_selected": self.request.GET.get("selected") == "all",
                "select_url": keys_url(self.uuid, **here, selected="all"),
                "unselect_url": keys_url(self.uuid, **here),
            }
        )

    def row(self, namespace: str, key: index.KeySummary) -> dict[str, Any]:
        """A row of the table. The ETag stays here: of a flag, it is the flag."""
        return {
            "key": key.key,
            "size": key.size,
            "expires_at": expires_at(key.ttl_seconds),
            "url": key_url(self.uuid, "key", namespace, key.key),
        }


def urls() -> list[URLPattern]:
    """The paths of these pages."""
    return [KeysPage.at("keys/", "keys")]
