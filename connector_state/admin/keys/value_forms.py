"""Forms that hold a value, or when it expires."""

from typing import Any

from django import forms
from django.conf import settings

from connector_state.core.parameters import TTL_MAX_SECONDS
from connector_state.errors import InvalidRequest
from connector_state.store.keys import KEY_MAX_BYTES, NAMESPACE_MAX_BYTES, Address
from connector_state.store.values import TTL

KEEP, NEVER, AFTER = "keep", "never", "after"
_CHOICES = [(NEVER, "Never expires"), (AFTER, "Expires after the seconds below")]


class ExpiryForm(forms.Form):
    """When a value expires."""

    expiry = forms.ChoiceField(
        choices=_CHOICES, widget=forms.RadioSelect, initial=NEVER, label="Expiry"
    )
    seconds = forms.IntegerField(
        required=False, min_value=1, max_value=TTL_MAX_SECONDS, label="Seconds until it expires"
    )

    def clean(self) -> dict[str, Any]:
        """A number of seconds goes with AFTER, and only with it."""
        cleaned = super().clean() or {}
        expiry, seconds = cleaned.get("expiry"), cleaned.get("seconds")
        if expiry == AFTER and seconds is None and "seconds" not in self.errors:
            self.add_error("seconds", "Say after how many seconds it expires.")
        if expiry in (KEEP, NEVER) and seconds is not None:
            self.add_error("expiry", "There are seconds below: choose that it expires after them.")
        return cleaned

    @property
    def ttl_seconds(self) -> int | None:
        """None: it never expires."""
        seconds: int | None = self.cleaned_data["seconds"]
        return seconds


class ValueForm(ExpiryForm):
    """A value, typed or as a file, and when it expires."""

    value = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "autocomplete": "off"}),
    )
    file = forms.FileField(
        required=False,
        allow_empty_file=True,
        label="Or a file instead",
        help_text="Its bytes become the value, as they are. It must be UTF-8 text.",
    )

    field_order = ["value", "file", "expiry", "seconds"]

    def clean_value(self) -> str:
        """Browsers send each newline of a text area as CR LF; no value with a CR is edited so."""
        return str(self.cleaned_data["value"]).replace("\r\n", "\n")

    def clean(self) -> dict[str, Any]:
        """UTF-8, and not larger than the API takes it."""
        cleaned = super().clean()
        upload, most = cleaned.get("file"), settings.STATE_MAX_VALUE_BYTES
        if upload is None and "value" not in self.fields:
            self.add_error("file", "Choose a file with the new value.")
        data = cleaned.get("value", "").encode() if upload is None else upload.read(most + 1)
        if len(data) > most:
            self.add_error(
                None if upload is None else "file", f"A value may have at most {most} bytes."
            )
        try:
            data.decode()
        except UnicodeDecodeError:
            self.add_error("file", "A value must be UTF-8 text, and this file is not.")
        cleaned["bytes"] = data
        return cleaned

    @property
    def value_bytes(self) -> bytes:
        """The value to store."""
        value: bytes = self.cleaned_data["bytes"]
        return value


class EditForm(ValueForm):
    """A value that stands there already. `etag` names it, "" for nothing."""

    etag = forms.RegexField(r"^[0-9a-f]{40}\Z", required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, kept: str, as_text: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        expiry = self.fields["expiry"]
        assert isinstance(expiry, forms.ChoiceField)
        expiry.choices = [(KEEP, f"Keep it: {kept}"), *_CHOICES]
        if not as_text:
            del self.fields["value"]
            self.fields["file"].label = "A file with the new value"

    @property
    def ttl(self) -> TTL:
        """As the store takes it."""
        return "keep" if self.cleaned_data["expiry"] == KEEP else self.ttl_seconds


class NewForm(ValueForm):
    """A value under a new key."""

    namespace = forms.CharField(max_length=NAMESPACE_MAX_BYTES, strip=False)
    key = forms.CharField(max_length=KEY_MAX_BYTES, strip=False)

    field_order = ["namespace", "key", "value", "file", "expiry", "seconds"]

    def clean(self) -> dict[str, Any]:
        """An address, as the API takes it."""
        cleaned = super().clean()
        if "namespace" in cleaned and "key" in cleaned:
            try:
                cleaned["address"] = Address(cleaned["namespace"], cleaned["key"])
            except InvalidRequest as error:
                at = "namespace" if error.code == "invalid_namespace" else "key"
                self.add_error(at, error.detail)
        return cleaned

    @property
    def address(self) -> Address:
        """Where the value goes."""
        address: Address = self.cleaned_data["address"]
        return address
