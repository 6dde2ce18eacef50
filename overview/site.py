"""The admin site, with the overview as its start page."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import actions
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import path

from common.events.changes import AREAS
from common.events.models import Event, record
from overview.happened import happened_page
from overview.panels.growth import WINDOWS, window
from overview.panels.page import panels_for
from overview.search import search_page

# The order of apps on the start page and in the sidebar: the product first, then accounts.
APPS = ("connector_state", "chat", "auth", "axes")
NAMES = {"axes": "Log-in attempts"}


@admin.action(
    permissions=["delete"],
    description=actions.delete_selected.short_description,  # type: ignore[attr-defined]
)
def delete_selected(
    model_admin: Any, request: HttpRequest, rows: QuerySet[Any]
) -> TemplateResponse | None:
    """Delete rows as Django does, and record it: of several rows its history sends no signal."""
    names = [str(row) for row in rows]
    question = actions.delete_selected(model_admin, request, rows)
    if question is None and len(names) > 1:
        area = AREAS.get(model_admin.opts.app_label, Event.Area.ACCOUNTS)
        words = f"{model_admin.opts.verbose_name_plural} deleted: {', '.join(names)}."
        record(Event.Kind.CHANGE, area, words, request.user.get_username())
    return question


class OverviewSite(admin.AdminSite):
    """Django's admin with an overview, in the order of APPS."""

    site_header = site_title = "Statekeep"
    index_title = "Overview"
    index_template = "admin/overview.html"
    site_url = None

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.disable_action("delete_selected")
        self.add_action(delete_selected)

    def get_urls(self) -> list[Any]:
        # No object has a page outside admin, so there is nothing that this could lead to.
        urls = [url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"]
        happened = self.admin_view(happened_page)
        search = self.admin_view(search_page)
        return [
            path("overview/happened/", happened, name="overview_happened"),
            path("overview/search/", search, name="overview_search"),
            *urls,
        ]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        found = super().get_app_list(request, app_label)
        for app in found:
            app["name"] = NAMES.get(app["app_label"], app["name"])
        rank = {label: number for number, label in enumerate(APPS)}
        return sorted(found, key=lambda app: rank.get(app["app_label"], len(rank)))

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        panels = panels_for(request.user, window(request.GET.get("days")))
        context = {**(extra_context or {}), "panels": panels, "windows": WINDOWS}
        return super().index(request, context)
