"""Admin, with the overview on its start page."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse

from overview.growth import WINDOWS, window
from overview.panels import panels_for

# The order of apps on the start page and in the sidebar.
APPS = ("connector_state", "chat", "auth", "axes")
NAMES = {"axes": "Log-in attempts"}


class OverviewSite(admin.AdminSite):
    """The pages of operators."""

    site_header = site_title = "Statekeep"
    index_title = "Overview"
    index_template = "admin/overview.html"
    site_url = None

    def get_urls(self) -> list[Any]:
        """Without the redirect to pages of objects on another site: there is none."""
        return [url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """What Statekeep is about comes first, then accounts."""
        found = super().get_app_list(request, app_label)
        for app in found:
            app["name"] = NAMES.get(app["app_label"], app["name"])
        rank = {label: number for number, label in enumerate(APPS)}
        return sorted(found, key=lambda app: rank.get(app["app_label"], len(rank)))

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """The list of apps, beneath the panels."""
        panels = panels_for(request.user, window(request.GET.get("days")))
        context = {**(extra_context or {}), "panels": panels, "windows": WINDOWS}
        return super().index(request, context)
