"""Serve docs/openapi.yaml, and the page that shows it."""

from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from common.json_answers import json_bytes
from config.health import for_reading

JSON, YAML = "application/json", "application/yaml"


@for_reading
def schema(request: HttpRequest) -> HttpResponse:
    """Return the document: `?format=yaml` or `?format=json`, else what the client prefers."""
    by_name = {"json": JSON, "yaml": YAML}.get(request.GET.get("format", ""))
    kind = by_name or request.get_preferred_type([JSON, YAML]) or JSON
    return HttpResponse(_encoded(kind), kind)


@lru_cache(maxsize=2)
def _encoded(kind: str) -> bytes:
    import yaml  # takes 50 ms, which no start needs

    document = (settings.BASE_DIR / "docs/openapi.yaml").read_bytes()
    return document if kind == YAML else json_bytes(yaml.load(document, yaml.CSafeLoader))


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the document, without anything that comes from elsewhere."""
    return render(request, "api_docs.html")
