"""The page that adds a connector."""

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from connector_state.admin.form_token import STALE, StaleForm, make_token, read_token, show_secret
from connector_state.credentials.issuing import IssuedCredential, create_connector
from connector_state.errors import InvalidRequest
from connector_state.models import Connector
from connector_state.names import NAME_MAX_LENGTH, clean_name

PERMISSIONS = ("connector_state.add_connector", "connector_state.add_credential")
PURPOSE = "add"
NAMESAKE = "Another connector has this name already; the UUID tells them apart."


class AddForm(forms.Form):
    """A new connector."""

    name = forms.CharField(
        max_length=NAME_MAX_LENGTH,
        help_text="For people; two connectors may have the same.",
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
    )
    uuid = forms.UUIDField(
        label="UUID",
        required=False,
        help_text="Only if the connector has one already. Empty: a new one.",
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
    )

    def clean_name(self) -> str:
        """As `manage.py create_connector` takes it."""
        try:
            return clean_name(self.cleaned_data["name"])
        except InvalidRequest as error:
            raise ValidationError(error.detail) from None


def is_permitted(request: HttpRequest) -> bool:
    """Whether this user may add a connector, which issues a credential."""
    return request.user.has_perms(PERMISSIONS)


def add_connector(request: HttpRequest) -> HttpResponse:
    """Show the form; add the connector, and show its credential.

    The form's token is the new connector's UUID, so a form sent twice meets a taken one.
    """
    if not is_permitted(request):
        raise PermissionDenied
    if request.method != "POST":
        return _show(request, AddForm())
    form = AddForm(request.POST)
    is_valid = form.is_valid()
    try:
        proposed = uuid.UUID(read_token(request, PURPOSE))
    except StaleForm:
        form.add_error(None, STALE)
        return _show(request, form)
    if not is_valid:
        return _show(request, form)
    wanted = form.cleaned_data["uuid"] or proposed
    name = form.cleaned_data["name"]
    has_namesake = Connector.objects.filter(name=name).exists()
    try:
        issued = _create(request, name, wanted)
    except IntegrityError:
        return _show(request, form, {"taken": Connector.objects.get(pk=wanted)}, 409)
    if has_namesake:
        messages.warning(request, NAMESAKE)
    return show_secret(request, issued, _context(request) | {"title": "Connector added"})


def _create(request: HttpRequest, name: str, connector_uuid: uuid.UUID) -> IssuedCredential:
    user_id = request.user.pk
    assert user_id is not None  # who has a permission has logged in
    with transaction.atomic():
        issued = create_connector(name, connector_uuid)
        message = f"Added, with credential {issued.key_id}."
        LogEntry.objects.log_actions(
            user_id, [issued.connector], ADDITION, message, single_object=True
        )
    return issued


def _show(
    request: HttpRequest, form: AddForm, more: dict[str, Any] | None = None, status: int = 200
) -> HttpResponse:
    token = make_token(request, PURPOSE, str(uuid.uuid4()))
    context = _context(request) | {"form": form, "token": token} | (more or {})
    return render(request, "admin/connector_state/add.html", context, status=status)


def _context(request: HttpRequest) -> dict[str, Any]:
    return {
        **admin.site.each_context(request),
        "opts": Connector._meta,
        "title": "Add a connector",
    }
