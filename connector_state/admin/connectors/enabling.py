"""Disable a connector at once, and enable it again."""

from functools import partial

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern

from connector_state.admin.pages import ConnectorPage
from connector_state.credentials import marks


class DisablePage(ConnectorPage):
    """Refuses a connector everything, after a confirmation."""

    permission = "connector_state.change_connector"
    title = "Disable at once"
    template = "admin/connector_state/disable.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        """What that means."""
        return self.render({})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Disable it."""
        return _switch(self, enabled=False, done="disabled")


class EnablePage(ConnectorPage):
    """Lets a connector in again."""

    permission = "connector_state.change_connector"
    title = "Enable again"

    def post(self, request: HttpRequest) -> HttpResponse:
        """Enable it."""
        return _switch(self, enabled=True, done="enabled: let in within 2 s on every worker")


def _switch(page: ConnectorPage, *, enabled: bool, done: str) -> HttpResponse:
    connector = page.connector
    if connector.enabled != enabled:
        connector.enabled = enabled
        with transaction.atomic():
            connector.save(update_fields=["enabled"])
            page.record("Enabled." if enabled else "Disabled.")
    marks.mark_enabled(connector.pk, partial(messages.warning, page.request))
    messages.success(page.request, f"The connector is {done}.")
    return redirect("admin:connector_state_connector_change", connector.pk)


def urls() -> list[URLPattern]:
    """Their paths."""
    return [DisablePage.at("disable/", "disable"), EnablePage.at("enable/", "enable")]
