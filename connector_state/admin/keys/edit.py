"""Changing values: edit by compare-and-swap, a new key, and when one expires."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.utils.formats import date_format

from connector_state.admin.keys.pages import KeyPage, KeysPage
from connector_state.admin.keys.uploads import is_upload_too_large
from connector_state.admin.keys.value_forms import (
    KEEP,
    REPLACEMENT,
    EditForm,
    ExpiryForm,
    NewForm,
)
from connector_state.admin.presentation import show, survives_a_text_area
from connector_state.errors import Corrupt, Forbidden, InvalidRequest, PreconditionFailed
from connector_state.operator_session import named
from connector_state.store.operations import Condition, Entry
from connector_state.store.values import expires_at

EDIT_TEMPLATE = "admin/connector_state/keys/edit.html"


class EditPage(KeyPage):
    """Edits a value. The form holds it, so the form comes in the answer to a POST too."""

    permissions = ("connector_state.change_keys", "connector_state.view_values")
    title = "Edit"
    template = EDIT_TEMPLATE

    def post(self, request: HttpRequest) -> HttpResponse:
        if "save" in request.POST:
            return self.save(request)
        entry = self.read()
        if entry is None:
            return self.get(request)
        initial, kept = {"etag": entry.etag, "expiry": KEEP}, _kept(entry.ttl_seconds)
        if _fits_a_text_area(entry):
            initial["value"] = entry.value.decode()
            return self.form(EditForm(kept=kept, initial=initial))
        form = EditForm(kept=kept, is_replacement=True, initial=initial)
        return self.form(form, shown=show(entry.value))

    def save(self, request: HttpRequest) -> HttpResponse:
        """Store what was typed, unless the value was changed since it was shown."""
        _check_file_came(request)
        stored, is_replacement = self.stored(), request.POST["save"] == REPLACEMENT
        if stored is not None and not stored.is_value:
            raise Corrupt
        kept = _kept(stored.ttl_seconds if stored else None)
        form = EditForm(request.POST, request.FILES, kept=kept, is_replacement=is_replacement)
        if not form.is_valid():
            return self.form(form)
        etag = form.cleaned_data["etag"]
        condition = Condition(if_match=etag) if etag else Condition(if_none_match="*")
        try:
            self.session.store.put(self.address, form.value_bytes, form.ttl, condition)
        except PreconditionFailed:
            return self.conflict(request, is_replacement)
        except Forbidden as error:
            form.add_error(None, error.detail)
            return self.form(form)
        return self.done(f"Changed {named(self.address)}.")

    def conflict(self, request: HttpRequest, is_replacement: bool) -> HttpResponse:
        """Show the stored value beside what was typed. Saving again replaces it."""
        entry = self.read()
        data = request.POST.copy()
        data["etag"] = entry.etag if entry else ""
        kept = _kept(entry.ttl_seconds if entry else None)
        form = EditForm(data, request.FILES, kept=kept, is_replacement=is_replacement)
        now = show(entry.value) if entry else None
        return self.form(form, status=409, conflict=True, shown=now)

    def form(self, form: EditForm, status: int = 200, **context: Any) -> HttpResponse:
        """Return the page with this form."""
        form.ask_for_file_again()
        context |= {
            "address": self.address,
            "title": f"Edit {named(self.address)}",
            "form": form,
            "max_bytes": settings.STATE_MAX_VALUE_BYTES,
        }
        return self.render(context, status=status)


class NewPage(KeysPage):
    """Stores a value under a new key. The query fills in the form."""

    permissions = ("connector_state.change_keys",)
    title = "Add a key"
    template = EDIT_TEMPLATE

    def get(self, request: HttpRequest) -> HttpResponse:
        initial = {name: request.GET.get(name, "") for name in ("namespace", "key")}
        return self.form(NewForm(initial=initial))

    def post(self, request: HttpRequest) -> HttpResponse:
        _check_file_came(request)
        form = NewForm(request.POST, request.FILES)
        if not form.is_valid():
            return self.form(form)
        address, is_new = form.address, Condition(if_none_match="*")
        try:
            self.session.store.put(address, form.value_bytes, form.ttl_seconds, is_new)
        except PreconditionFailed:
            form.add_error("key", "Something is stored under this key already: open it to edit it.")
            return self.form(form, 409)
        except Forbidden as error:
            form.add_error(None, error.detail)
            return self.form(form)
        message = f"Added {named(address)}."
        self.record(message)
        key_url = self.url("key", namespace=address.namespace, key=address.key)
        return self.leave(message, key_url)

    def form(self, form: NewForm, status: int = 200) -> HttpResponse:
        """Return the page with this form."""
        form.ask_for_file_again()
        context = {"form": form, "max_bytes": settings.STATE_MAX_VALUE_BYTES}
        return self.render(context, status=status)


class ExpiryPage(KeyPage):
    """Sets when a value expires. The value is neither needed nor sent."""

    permissions = ("connector_state.change_keys",)
    title = "Expiry"
    template = "admin/connector_state/keys/expiry.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.form(ExpiryForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = ExpiryForm(request.POST)
        if not form.is_valid():
            return self.form(form)
        # In Redis itself, so that a value which is written at the same time is not lost.
        if not self.session.store.expire(self.address, form.ttl_seconds):
            form.add_error(None, "Nothing is stored under this key any more.")
            return self.form(form)
        until = "never" if form.ttl_seconds is None else f"in {form.ttl_seconds} s"
        return self.done(f"{named(self.address)} expires {until}.")

    def form(self, form: ExpiryForm) -> HttpResponse:
        """Return the page with this form."""
        title = f"Expiry of {named(self.address)}"
        return self.render({**self.about(self.stored()), "title": title, "form": form})


def _check_file_came(request: HttpRequest) -> None:
    """Refuse a body whose file was dropped: without it, what is typed would be stored."""
    if is_upload_too_large(request):
        most = filesizeformat(settings.STATE_MAX_VALUE_BYTES)
        raise InvalidRequest(f"A value has at most {most}. Nothing was changed.")


def _fits_a_text_area(entry: Entry) -> bool:
    return len(entry.value) <= settings.STATE_MAX_VALUE_BYTES and survives_a_text_area(entry.value)


def _kept(ttl_seconds: int | None) -> str:
    at = expires_at(ttl_seconds)
    if at is None:
        return "it never expires"
    return f"it expires at {date_format(at, 'DATETIME_FORMAT')}"
