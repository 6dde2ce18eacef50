"""Admin, with the overview on its start page."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse

from overview.growth import WINDOWS, window
from overview.panels import panels_for


class OverviewSite(admin.AdminSite):
    """The pages of operators."""

    site_header = site_title = "Statekeep"
    index_title = "Overview"
    index_template = "admin/overview.html"
    site_url = None

    def get_urls(self) -> list[Any]:
        """Without the redirect to pages of objects on another site: there is none."""
        return [url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"]

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """The list of apps, beneath the panels."""
        panels = panels_for(request.user, window(request.GET.get("days")))
        context = {**(extra_context or {}), "panels": panels, "windows": WINDOWS}
        return super().index(request, context)
