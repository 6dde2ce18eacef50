"""The pages of a connector's credentials: all of them, issue, rotate, revoke."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern
from django.utils import timezone

from connector_state.admin.connectors.facts import live_first, usage_or_none, with_last_use
from connector_state.admin.form_token import STALE, StaleForm, make_token, read_token, show_secret
from connector_state.admin.pages import ConnectorPage
from connector_state.credentials import marks
from connector_state.credentials.issuing import (
    IssuedCredential,
    IssuedMeanwhile,
    check_newest_credential,
    check_overlap,
    issue_credential,
    newest_credential_id,
    revoke_credential,
    rotate_credential,
)
from connector_state.errors import InvalidRequest

PAGE = 100
MAX_DAYS = 3650
MAX_OVERLAP_HOURS = 24 * 90


class IssueForm(forms.Form):
    """When a new credential ends."""

    expires_in_days = forms.IntegerField(
        label="Days until it expires",
        required=False,
        min_value=1,
        max_value=MAX_DAYS,
        help_text="Empty: it never expires.",
    )

    @property
    def expires_at(self) -> datetime | None:
        """When it ends, by what was entered."""
        days = self.cleaned_data["expires_in_days"]
        return None if days is None else timezone.now() + timedelta(days=days)


class RotateForm(IssueForm):
    """When a new credential ends, and when the others do."""

    overlap_hours = forms.IntegerField(
        label="Hours until the others end",
        initial=24,
        min_value=0,
        max_value=MAX_OVERLAP_HOURS,
        help_text="Time to give the connector the new one. 0 ends them now.",
    )

    def clean(self) -> None:
        """The new one has to be the last to end."""
        if not self.errors:
            try:
                check_overlap(self.overlap, self.expires_at)
            except InvalidRequest as error:
                raise forms.ValidationError(error.detail) from error

    @property
    def overlap(self) -> timedelta:
        """How long the others live on, by what was entered."""
        return timedelta(hours=self.cleaned_data["overlap_hours"])


class CredentialsPage(ConnectorPage):
    """All credentials of a connector."""

    permission = "connector_state.view_connector"
    title = "Credentials"
    template = "admin/connector_state/credentials.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page of them, the live ones first."""
        page = Paginator(live_first(self.connector), PAGE).get_page(request.GET.get("page"))
        usage = usage_or_none(self.connector)
        return self.render(
            {
                "usage": usage,
                "page": page,
                "credentials": with_last_use(page.object_list, usage),
            }
        )


class IssuePage(ConnectorPage):
    """One more credential, shown in the answer to the POST that makes it."""

    permission = "connector_state.add_credential"
    title = "Issue a credential"
    template = "admin/connector_state/issue.html"
    form_class: type[IssueForm] = IssueForm
    what_it_does = (
        "The connector gets one more credential. Its others stay as they are. "
        "The secret is shown once, on the next page."
    )

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form."""
        return self._show(self.form_class())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Issue, unless somebody has since the form was shown."""
        form = self.form_class(request.POST)
        is_valid = form.is_valid()
        try:
            newest = read_token(request, self._purpose)
        except StaleForm:
            form.add_error(None, STALE)
            return self._show(form)
        if not is_valid:
            return self._show(form)
        try:
            with transaction.atomic():
                check_newest_credential(self.connector, newest)
                issued = self.issue(form)
        except IssuedMeanwhile:
            newest_one = self.connector.credentials.order_by("pk").last()
            template = "admin/connector_state/issued_meanwhile.html"
            return self.render({"newest": newest_one}, template, 409)
        context = {**admin.site.each_context(request), "opts": self.connector._meta}
        return show_secret(request, issued, context | {"title": "Credential issued"})

    def issue(self, form: Any) -> IssuedCredential:
        """Issue and record it, in one transaction."""
        issued = issue_credential(self.connector, form.expires_at)
        self.record(f"Issued credential {issued.key_id}.")
        return issued

    @property
    def _purpose(self) -> str:
        return f"{type(self).__name__}:{self.uuid}"

    def _show(self, form: forms.Form) -> HttpResponse:
        token = make_token(self.request, self._purpose, newest_credential_id(self.connector))
        context = {"form": form, "token": token, "what_it_does": self.what_it_does}
        return self.render({**context, "live": self.connector.credentials.live().count()})


class RotatePage(IssuePage):
    """A credential in place of the live ones."""

    title = "Rotate credentials"
    form_class = RotateForm
    what_it_does = (
        "The connector gets a new credential, and those that are live now end after the overlap. "
        "The secret is shown once, on the next page; a connector that enrols by token fetches it "
        "with its next heartbeat."
    )

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """It ends credentials as well."""
        if not request.user.has_perm("connector_state.change_credential"):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def issue(self, form: Any) -> IssuedCredential:
        """Rotate and record it, in one transaction."""
        issued = rotate_credential(self.connector, form.overlap, form.expires_at)
        hours = form.cleaned_data["overlap_hours"]
        self.record(f"Issued credential {issued.key_id}; the others end after {hours} h.")
        return issued


class RevokePage(ConnectorPage):
    """Ends one credential, after a confirmation."""

    permission = "connector_state.change_credential"
    title = "Revoke a credential"
    template = "admin/connector_state/revoke.html"

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What will be refused."""
        credential = get_object_or_404(self.connector.credentials, pk=pk)
        usage = usage_or_none(self.connector)
        others = self.connector.credentials.live().exclude(pk=pk).count()
        return self.render(
            {
                "credential": credential,
                "usage": usage,
                "last_used_at": usage.last_used.get(credential.key_id) if usage else None,
                "others": others,
            }
        )

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Revoke it."""
        credential = get_object_or_404(self.connector.credentials, pk=pk)
        if credential.revoked_at is None:
            with transaction.atomic():
                revoke_credential(credential.key_id)
                self.record(f"Revoked credential {credential.key_id}.")
        marks.mark_revoked(credential, partial(messages.warning, request))
        messages.success(request, f"Credential {credential.key_id} is revoked.")
        return redirect("admin:connector_state_connector_change", self.connector.pk)


def urls() -> list[URLPattern]:
    """Their paths."""
    return [
        CredentialsPage.at("credentials/", "credentials"),
        IssuePage.at("credentials/issue/", "issue"),
        RotatePage.at("credentials/rotate/", "rotate"),
        RevokePage.at("credentials/<int:pk>/revoke/", "revoke"),
    ]
