"""The key browser: a connector's namespaces, the keys of one, and deleting those selected."""

from dataclasses import asdict
from typing import Any, Literal

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from common.admin.pages import Link
from common.visible import visible_name
from connector_state.admin.keys.pages import KeysPage
from connector_state.errors import InvalidRequest
from connector_state.operator_session import named
from connector_state.store import index
from connector_state.store.finding import largest_keys
from connector_state.store.keys import Address, check_namespace
from connector_state.store.operations import Deleted, Operation
from connector_state.store.values import expires_at

PAGE = 100
NAMED_IN_HISTORY = 10
RESTORABLE = "What is deleted can be restored for some days, unless its history is deleted too."


class BrowserPage(KeysPage):
    """`?after=` pages through namespaces; `?namespace=&prefix=&after=` through keys of one.

    `?namespace=&prefix=&sort=size` has the largest keys of one.
    """

    permissions = ("connector_state.view_keys",)
    title = "Keys"
    template = "admin/connector_state/keys/keys.html"

    @property
    def trail(self) -> list[Link]:
        return super().trail if self.request.GET.get("namespace") else []

    def get(self, request: HttpRequest) -> HttpResponse:
        after = request.GET.get("after", "")
        if namespace := request.GET.get("namespace", ""):
            return self.keys(namespace, request.GET.get("prefix", ""), after)
        return self.namespaces(after)

    def namespaces(self, after: str) -> HttpResponse:
        """Return a page of the namespaces after one, with their numbers of keys."""
        page = index.list_namespaces(self.uuid, self.session.caller, after, PAGE)
        rows = [
            {**asdict(row), "url": self.url(namespace=row.namespace)} for row in page.namespaces
        ]
        context = {
            "rows": rows,
            "next_url": self.url(after=rows[-1]["namespace"]) if page.more else "",
            "first_url": self.url() if after else "",
        }
        return self.render(context, "admin/connector_state/keys/namespaces.html")

    def keys(self, namespace: str, prefix: str, after: str) -> HttpResponse:
        """Return a page of a namespace's keys that begin with `prefix` and come after one."""
        check_namespace(namespace)
        if len(prefix.encode()) > index.PREFIX_MAX_BYTES:
            raise InvalidRequest(f"A prefix has at most {index.PREFIX_MAX_BYTES} bytes.")
        if self.request.GET.get("sort") == "size":
            return self.largest(namespace, prefix)
        page = index.list_keys(self.uuid, self.session.caller, namespace, prefix, after, PAGE)
        query = {"namespace": namespace, "prefix": prefix}
        here = {**query, "after": after}
        context = {
            **query,
            "here": namespace,
            "rows": [self.row(namespace, k.key, k.size, k.ttl_seconds) for k in page.keys],
            "largest_url": self.url(**query, sort="size"),
            "next_url": self.url(**query, after=page.last) if page.more else "",
            "first_url": self.url(**query) if after else "",
            "all_selected": self.request.GET.get("selected") == "all",
            "select_url": self.url(**here, selected="all"),
            "unselect_url": self.url(**here),
        }
        return self.render(context)

    def largest(self, namespace: str, prefix: str) -> HttpResponse:
        """Return the PAGE largest keys of a namespace that begin with `prefix`."""
        found, is_complete = largest_keys(self.uuid, namespace, prefix, PAGE)
        stored = index.describe(self.uuid, [Address(namespace, key) for key, _ in found])
        rows = [
            self.row(namespace, key, about.size, about.ttl_seconds)
            for (key, _), about in zip(found, stored, strict=True)
            if about is not None
        ]
        query = {"namespace": namespace, "prefix": prefix}
        select = self.url(**query, sort="size", selected="all")
        context = {
            **query,
            "here": namespace,
            "rows": rows,
            "is_largest": True,
            "is_complete": is_complete,
            "by_name_url": self.url(**query),
            "all_selected": self.request.GET.get("selected") == "all",
            "select_url": select,
            "unselect_url": self.url(**query, sort="size"),
        }
        return self.render(context)

    def row(self, namespace: str, key: str, size: int, ttl_seconds: int | None) -> dict[str, Any]:
        """Return a row of the table."""
        url = self.url("key", namespace=namespace, key=key)
        # Without the ETag, from which a short value can be guessed.
        return {"key": key, "size": size, "expires_at": expires_at(ttl_seconds), "url": url}


class DeletePage(KeysPage):
    """Asks whether to delete the keys that are POSTed; a second POST, with `confirm`, does it."""

    permissions = ("connector_state.delete_keys",)
    title = "Delete keys?"
    template = "admin/confirmation.html"

    @property
    def namespace(self) -> str:
        return self.request.POST.get("namespace", "")

    @property
    def back_url(self) -> str:
        return self.url(namespace=self.namespace) if self.namespace else self.url()

    @property
    def trail(self) -> list[Link]:
        return [*super().trail, (self.back_url, self.namespace)]

    def post(self, request: HttpRequest) -> HttpResponse:
        keys = dict.fromkeys(request.POST.getlist("key"))
        addresses = [Address(self.namespace, key) for key in keys]
        if not addresses:
            words = "No key was selected. Tick those to delete."
            return self.leave(words, self.back_url, messages.WARNING)
        if len(addresses) > PAGE:
            raise InvalidRequest(f"At most {PAGE} keys are deleted at once.")
        if "confirm" not in request.POST:
            return self.render(_question(self.namespace, list(keys)))
        with_history = "with_history" in request.POST
        kind: Literal["erase", "delete"] = "erase" if with_history else "delete"
        operations = [Operation(kind, address) for address in addresses]
        results = self.session.store.operate(operations)
        existed = sum(isinstance(result, Deleted) and result.existed for result in results)
        history = ", with the history" if with_history else ""
        self.record(f"Deleted {_names(addresses)}{history}.")
        return self.leave(_outcome(existed, len(addresses)), self.back_url)


def _question(namespace: str, keys: list[str]) -> dict[str, Any]:
    these = "This value" if len(keys) == 1 else f"These {len(keys)} values"
    return {
        "words": f"{these} of namespace “{visible_name(namespace)}” will be deleted:",
        "items": [visible_name(key) for key in keys],
        "note": "A connector that loses its cursor may have to read everything again. "
        + (RESTORABLE if settings.STATE_KEEP_VERSIONS + settings.STATE_KEEP_DAYS else ""),
        "checks": [("with_history", "and its history (all earlier values)")],
        "hidden": [("namespace", namespace), ("confirm", "yes"), *(("key", key) for key in keys)],
        "button": "Delete 1 key" if len(keys) == 1 else f"Delete {len(keys)} keys",
    }


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
