"""Changing values: edit by compare-and-swap, a new key, and when one expires."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern

from connector_state.admin.keys.pages import KeyPage, key_url, keys_url, named
from connector_state.admin.keys.value_forms import KEEP, EditForm, ExpiryForm, NewForm
from connector_state.admin.pages import ConnectorPage
from connector_state.admin.presentation import show, survives_a_text_area
from connector_state.errors import Corrupt, Forbidden, PreconditionFailed
from connector_state.store.values import Condition, Entry, expires_at


class EditPage(KeyPage):
    """The form holds the value, so it comes in the answer to a POST, to those who may see it."""

    permission = "connector_state.change_keys"
    title = "Edit"
    template = "admin/connector_state/keys/edit.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Two permissions are needed here."""
        if not request.user.has_perm("connector_state.view_values"):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        """Go to the key's page, for a browser that comes back here."""
        return self.to_key()

    def post(self, request: HttpRequest) -> HttpResponse:
        """Show the form, or store what was typed into it."""
        if "save" in request.POST:
            return self.save(request)
        entry = self.read()
        if entry is None:
            return self.to_key()
        as_text = _fits_a_text_area(entry)
        initial = {"etag": entry.etag, "expiry": KEEP}
        if as_text:
            initial["value"] = entry.value.decode()
        return self.form(EditForm(kept=_expiry(entry), as_text=as_text, initial=initial))

    def save(self, request: HttpRequest) -> HttpResponse:
        """Store the value if what stands there is still what was shown."""
        stored, as_text = self.stored(), "value" in request.POST
        if stored is not None and not stored.is_value:
            raise Corrupt
        kept = _kept(stored.ttl_seconds) if stored else _kept(None)
        form = EditForm(request.POST, request.FILES, kept=kept, as_text=as_text)
        if not form.is_valid():
            return self.form(form)
        etag = form.cleaned_data["etag"]
        condition = Condition(if_match=etag) if etag else Condition(if_none_match="*")
        try:
            self.session.store.put(self.address, form.value_bytes, form.ttl, condition)
        except PreconditionFailed:
            return self.conflict(request, as_text)
        except Forbidden as error:
            form.add_error(None, error.detail)
            return self.form(form)
        return self.done(f"Changed {named(self.address)}.")

    def conflict(self, request: HttpRequest, as_text: bool) -> HttpResponse:
        """Show what stands there now beside what was typed. Saving again replaces it."""
        entry = self.read()
        data = request.POST.copy()
        data["etag"] = entry.etag if entry else ""
        form = EditForm(data, request.FILES, kept=_expiry(entry), as_text=as_text)
        now = show(entry.value) if entry else None
        return self.form(form, status=409, conflict=True, shown=now)

    def form(self, form: EditForm, status: int = 200, **context: Any) -> HttpResponse:
        """Return the page with this form."""
        title = f"Edit {named(self.address)}"
        return self.render(
            {
                **self.about(None),
                "title": title,
                "form": form,
                "max_bytes": settings.STATE_MAX_VALUE_BYTES,
                **context,
            },
            status=status,
        )


class NewPage(ConnectorPage):
    """A value under a key that nothing stands under."""

    permission = "connector_state.change_keys"
    title = "Add a key"
    template = "admin/connector_state/keys/edit.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form, filled in as far as the query tells."""
        initial = {name: request.GET.get(name, "") for name in ("namespace", "key")}
        return self.form(NewForm(initial=initial))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Store the value, unless something is stored there."""
        form = NewForm(request.POST, request.FILES)
        if not form.is_valid():
            return self.form(form)
        address = form.address
        try:
            self.session.store.put(
                address, form.value_bytes, form.ttl_seconds, Condition(if_none_match="*")
            )
        except PreconditionFailed:
            form.add_error("key", "Something is stored under this key already: open it to edit it.")
            return self.form(form, status=409)
        except Forbidden as error:
            form.add_error(None, error.detail)
            return self.form(form)
        message = f"Added {named(address)}."
        self.record(message)
        messages.success(request, message)
        return HttpResponseRedirect(key_url(self.uuid, "key", address.namespace, address.key))

    def form(self, form: NewForm, status: int = 200) -> HttpResponse:
        """Return the page with this form."""
        context = {
            "form": form,
            "list_url": keys_url(self.uuid),
            "max_bytes": settings.STATE_MAX_VALUE_BYTES,
        }
        return self.render(context, status=status)


class ExpiryPage(KeyPage):
    """When a value expires. The value is neither needed nor sent."""

    permission = "connector_state.change_keys"
    title = "Expiry"
    template = "admin/connector_state/keys/expiry.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The form."""
        return self.form(ExpiryForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Set it, in Redis itself: whoever writes the value meanwhile loses nothing."""
        form = ExpiryForm(request.POST)
        if not form.is_valid():
            return self.form(form)
        ttl_seconds = form.ttl_seconds
        if not self.session.store.expire(self.address, ttl_seconds):
            form.add_error(None, "Nothing is stored under this key any more.")
            return self.form(form)
        until = "never" if ttl_seconds is None else f"in {ttl_seconds} s"
        return self.done(f"{named(self.address)} expires {until}.")

    def form(self, form: ExpiryForm) -> HttpResponse:
        """Return the page with this form."""
        about = self.about(self.stored())
        return self.render({**about, "title": f"Expiry of {about['title']}", "form": form})


def _fits_a_text_area(entry: Entry) -> bool:
    return len(entry.value) <= settings.STATE_MAX_VALUE_BYTES and survives_a_text_area(entry.value)


def _expiry(entry: Entry | None) -> str:
    return _kept(entry.ttl_seconds if entry else None)


def _kept(ttl_seconds: int | None) -> str:
    at = expires_at(ttl_seconds)
    return "it never expires" if at is None else f"it expires on {at:%Y-%m-%d at %H:%M:%S} UTC"


def urls() -> list[URLPattern]:
    """The paths of these pages."""
    return [
        NewPage.at("keys/new/", "new_key"),
        EditPage.at("keys/key/edit/", "edit"),
        ExpiryPage.at("keys/key/expiry/", "expiry"),
    ]
