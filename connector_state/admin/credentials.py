"""The pages of a connector's credentials: all of them, issue, rotate, revoke."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.formats import date_format

from common.admin.pages import ConfirmationPage
from common.events.models import Event
from connector_state.admin.connectors.facts import live_first
from connector_state.admin.connectors.use import Use, is_only_used
from connector_state.admin.form_token import make_token, show_secret, validate
from connector_state.admin.pages import ConnectorPage
from connector_state.credentials import issuing, marks
from connector_state.credentials.issuing import IssuedCredential
from connector_state.errors import InvalidRequest

PAGE = 100
SURE = "even_so"  # the box to tick before the only credential in use is revoked
MAX_DAYS = 3650
MAX_OVERLAP_HOURS = 24 * 90


class IssueForm(forms.Form):
    """The expiry of a new credential."""

    expires_in_days = forms.IntegerField(
        label="Days until it expires",
        required=False,
        min_value=1,
        max_value=MAX_DAYS,
        help_text="Empty: it never expires.",
    )

    @property
    def expires_at(self) -> datetime | None:
        days = self.cleaned_data["expires_in_days"]
        return None if days is None else timezone.now() + timedelta(days=days)


class RotateForm(IssueForm):
    """The expiry of a new credential, and of the others."""

    overlap_hours = forms.IntegerField(
        label="Hours until the others end",
        initial=24,
        min_value=0,
        max_value=MAX_OVERLAP_HOURS,
        help_text="Until then, give the connector the new one. 0 ends the others now.",
    )

    def clean(self) -> None:
        if not self.errors:
            try:
                issuing.check_overlap(self.overlap, self.expires_at)
            except InvalidRequest as error:
                raise forms.ValidationError(error.detail) from error

    @property
    def overlap(self) -> timedelta:
        return timedelta(hours=self.cleaned_data["overlap_hours"])


class CredentialsPage(ConnectorPage):
    """All credentials of a connector, in pages, the live ones first."""

    permissions = ("connector_state.view_connector",)
    title = "Credentials"
    template = "admin/connector_state/credentials.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        page = Paginator(live_first(self.connector), PAGE).get_page(request.GET.get("page"))
        use = Use.of(self.connector)
        credentials = use.of_credentials(page.object_list)
        return self.render({"usage": use.usage, "page": page, "credentials": credentials})


class IssuePage(ConnectorPage):
    """Issues one more credential, and shows it in the answer to the POST."""

    permissions: ClassVar[tuple[str, ...]] = ("connector_state.add_credential",)
    title = "Issue a credential"
    template = "admin/connector_state/issue.html"
    form_class: type[IssueForm] = IssueForm
    what_it_does = (
        "The connector gets one more credential. Its others stay as they are. "
        "The secret is shown once, on the next page."
    )

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.form(self.form_class())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = self.form_class(request.POST)
        newest = validate(request, self._purpose, form)
        if form.errors:
            return self.form(form)
        try:
            with transaction.atomic():
                issuing.check_newest_credential(self.connector, newest)
                issued = self.issue(form)
        except issuing.IssuedMeanwhile:
            newest = self.connector.credentials.latest("pk")
            template = "admin/connector_state/issued_meanwhile.html"
            return self.render({"newest": newest}, template, 409)
        # After the commit: of the mark and the database, the database comes first.
        marks.mark_revoked(self.connector.pk, issued.ended, partial(messages.warning, request))
        return show_secret(request, issued, "Credential issued")

    def issue(self, form: Any) -> IssuedCredential:
        """Issue the credential and record it. The caller holds the transaction."""
        issued = issuing.issue_credential(self.connector, form.expires_at)
        self.record(f"Issued credential {issued.key_id}.", Event.Kind.CREDENTIAL)
        return issued

    def form(self, form: forms.Form) -> HttpResponse:
        """Return the page with this form and a new token."""
        newest = issuing.newest_credential_id(self.connector)
        token = make_token(self.request, self._purpose, newest)
        use = Use.of(self.connector)
        context = {"form": form, "token": token, "what_it_does": self.what_it_does}
        return self.render({**context, "usage": use.usage, "live": use.live(self.connector)})

    @property
    def _purpose(self) -> str:
        return f"{type(self).__name__}:{self.uuid}"


class RotatePage(IssuePage):
    """Issues a credential, and lets the live ones end."""

    permissions = (*IssuePage.permissions, "connector_state.change_credential")
    title = "Rotate credentials"
    form_class = RotateForm
    what_it_does = (
        "The connector gets a new credential, and those that are live now end after the overlap. "
        "The secret is shown once, on the next page; a connector that enrols by token fetches it "
        "with its next heartbeat."
    )

    def issue(self, form: Any) -> IssuedCredential:
        issued = issuing.rotate_credential(self.connector, form.overlap, form.expires_at)
        hours = form.cleaned_data["overlap_hours"]
        words = f"Issued credential {issued.key_id}; the others end after {hours} h."
        self.record(words, Event.Kind.CREDENTIAL)
        return issued


class RevokePage(ConfirmationPage, ConnectorPage):
    """Ends one credential at once."""

    permissions = ("connector_state.change_credential",)
    title = "Revoke a credential"
    template = "admin/connector_state/revoke.html"
    button = "Revoke it"

    def handle(self, request: HttpRequest, credential_id: int) -> HttpResponseBase:
        self.credential = get_object_or_404(self.connector.credentials, pk=credential_id)
        return super().handle(request)

    def get(self, request: HttpRequest) -> HttpResponse:
        if self.credential.revoked_at is not None:
            at = date_format(self.credential.revoked_at, "DATETIME_FORMAT")
            words = f"Credential {self.credential.key_id} was revoked at {at}."
            return self.say(f"{words} There is nothing left to do.")
        return super().get(request)

    def question(self) -> dict[str, Any]:
        use = Use.of(self.connector)
        key_id, live = self.credential.key_id, use.live(self.connector)
        (used,) = use.of_credentials([self.credential])
        is_needed = is_only_used(key_id, live)
        return {
            "credential": self.credential,
            "usage": use.usage,
            "used": used,
            "others": [one for one in live if one.credential.key_id != key_id],
            "is_needed": is_needed,
            "checks": [(SURE, "Revoke it even so: its calls will be refused")] * is_needed,
        }

    def post(self, request: HttpRequest) -> HttpResponse:
        key_id = self.credential.key_id
        if self.credential.is_live and SURE not in request.POST:
            question = self.question()
            if question["is_needed"]:
                words = "Nothing was revoked: tick the box if you are sure."
                return self.render({"button": self.button, **question, "unsure": words})
        if self.credential.revoked_at is None:
            with transaction.atomic():
                issuing.revoke_credential(key_id)
                self.record(f"Revoked credential {key_id}.", Event.Kind.CREDENTIAL)
        marks.mark_revoked(self.connector.pk, [key_id], partial(messages.warning, request))
        return self.leave(f"Credential {key_id} is revoked.")
