"""The page at /: what this is, and where to go from here."""

from typing import NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.views.decorators.http import require_safe


class Door(NamedTuple):
    """A page that readers may want to go on to."""

    path: str
    title: str
    words: str


DOORS = (
    Door("/admin/", "Admin pages", "For operators, who log in: connectors, conversations, health."),
    Door("/api/docs/", "API", "All calls of the API, with their errors and examples."),
    Door("/chat/", "Chat", "Talk to the assistant in the browser."),
)


@require_safe
def front_page(request: HttpRequest) -> HttpResponse:
    """Return the page. Strangers read it: it tells nothing about this installation."""
    doors = [door for door in DOORS if _is_served(door.path)]
    return render(request, "front_page.html", {"doors": doors})


def _is_served(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True
