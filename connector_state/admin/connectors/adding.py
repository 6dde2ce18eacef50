"""The page that adds a connector."""

import uuid

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from common.admin.pages import log_action
from connector_state.admin.form_token import make_token, show_secret, validate
from connector_state.credentials.issuing import create_connector
from connector_state.errors import InvalidRequest
from connector_state.models import Connector
from connector_state.names import NAME_MAX_LENGTH, clean_name

PERMISSIONS = ("connector_state.add_connector", "connector_state.add_credential")
PURPOSE = "add"
NAMESAKE = "Another connector has this name already; the UUID tells them apart."


class AddForm(forms.Form):
    """The name and UUID of a new connector."""

    name = forms.CharField(
        max_length=NAME_MAX_LENGTH,
        help_text="A name for people. Two connectors may have the same name.",
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
    )
    uuid = forms.UUIDField(
        label="UUID",
        required=False,
        help_text="Only if the connector already has one. Empty: a new UUID.",
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
    )

    def clean_name(self) -> str:
        try:
            return clean_name(self.cleaned_data["name"])
        except InvalidRequest as error:
            raise ValidationError(error.detail) from None


def is_permitted(request: HttpRequest) -> bool:
    """Whether this user may add a connector, which issues a credential."""
    return request.user.has_perms(PERMISSIONS)


def add_connector(request: HttpRequest) -> HttpResponse:
    """Show the form; add the connector, and show its credential.

    The form's token is the new connector's UUID, so a form that is sent twice finds it taken.
    """
    if not is_permitted(request):
        raise PermissionDenied
    if request.method != "POST":
        return _show(request, AddForm())
    form = AddForm(request.POST)
    token = validate(request, PURPOSE, form)
    if form.errors:
        return _show(request, form)
    wanted = form.cleaned_data["uuid"] or uuid.UUID(token)
    name = form.cleaned_data["name"]
    has_namesake = Connector.objects.filter(name=name).exists()
    try:
        with transaction.atomic():
            issued = create_connector(name, wanted)
            message = f"Added, with credential {issued.key_id}."
            log_action(request, issued.connector, message, ADDITION)
    except IntegrityError:
        return _show(request, form, Connector.objects.get(pk=wanted), 409)
    if has_namesake:
        messages.warning(request, NAMESAKE)
    return show_secret(request, issued, "Connector added")


def _show(
    request: HttpRequest, form: AddForm, taken: Connector | None = None, status: int = 200
) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "opts": Connector._meta,
        "title": "Add a connector",
        "form": form,
        "token": make_token(request, PURPOSE, str(uuid.uuid4())),
        "taken": taken,
    }
    return render(request, "admin/connector_state/add.html", context, status=status)
