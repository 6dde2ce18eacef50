"""Disable a connector at once, enable it again, and let go of its writes."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from common.admin.pages import ConfirmationPage
from common.visible import visible_name
from connector_state.admin.pages import ConnectorPage
from connector_state.credentials import marks


class _SwitchPage(ConnectorPage):
    permissions = ("connector_state.change_connector",)

    def switch(self, *, enabled: bool, done: str) -> HttpResponse:
        """Enable or disable the connector, and say so."""
        if self.connector.enabled != enabled:
            self.connector.enabled = enabled
            with transaction.atomic():
                self.connector.save(update_fields=["enabled"])
                self.record("Enabled." if enabled else "Disabled.")
        marks.mark_enabled(self.connector.pk, partial(messages.warning, self.request))
        return self.leave(f"The connector is {done}.")


class DisablePage(ConfirmationPage, _SwitchPage):
    """Refuses everything that the connector asks for."""

    title = button = "Disable at once"

    def get(self, request: HttpRequest) -> HttpResponse:
        if not self.connector.enabled:
            return self.say("The connector is disabled already.")
        return super().get(request)

    def question(self) -> dict[str, Any]:
        name = visible_name(self.connector.name)
        words = (
            f"Every call of “{name}” will be refused at once (within 2 s if Redis does not answer),"
        )
        note = "Its keys and credentials stay as they are, and you can enable it again."
        return {"words": f"{words} and it can't enrol.", "note": note}

    def post(self, request: HttpRequest) -> HttpResponse:
        return self.switch(enabled=False, done="disabled")


class EnablePage(_SwitchPage):
    """Lets the connector in again."""

    title = "Enable again"

    def post(self, request: HttpRequest) -> HttpResponse:
        return self.switch(enabled=True, done="enabled: let in within 2 s on every worker")


class LetGoPage(ConnectorPage):
    """Lets the connector write again, after its writes were held."""

    permissions = ("connector_state.change_connector",)
    title = "Let go"

    def post(self, request: HttpRequest) -> HttpResponse:
        if self.connector.read_only:
            self.connector.read_only = False
            self.connector.save(update_fields=["read_only"])
            self.record("Let go of its writes.")
        return self.leave("The connector may write again, within 2 s on every worker.")
