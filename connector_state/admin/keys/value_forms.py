"""Forms of a value and its expiry."""

from typing import Any

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.template.defaultfilters import filesizeformat

from connector_state.core.parameters import TTL_MAX_SECONDS
from connector_state.errors import InvalidRequest
from connector_state.store.keys import KEY_MAX_BYTES, NAMESPACE_MAX_BYTES, Address
from connector_state.store.operations import TTL

REPLACEMENT = "replacement"  # what the button sends for a value that the form does not hold
KEEP, NEVER, AFTER = "keep", "never", "after"
FILE_AGAIN = (
    "Choose the file again: browsers keep none when a form is shown again. "
    "To type the value instead, open this page anew."
)
_CHOICES = [(NEVER, "Never expires"), (AFTER, "Expires after the seconds below")]


class ExpiryForm(forms.Form):
    """The expiry of a value."""

    expiry = forms.ChoiceField(
        choices=_CHOICES, widget=forms.RadioSelect, initial=NEVER, label="Expiry"
    )
    seconds = forms.IntegerField(
        required=False, min_value=1, max_value=TTL_MAX_SECONDS, label="Seconds until it expires"
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        expiry, seconds = cleaned.get("expiry"), cleaned.get("seconds")
        if expiry == AFTER and seconds is None and "seconds" not in self.errors:
            self.add_error("seconds", "Say after how many seconds it expires.")
        if expiry in (KEEP, NEVER) and seconds is not None:
            self.add_error("expiry", "There are seconds below: choose that it expires after them.")
        return cleaned

    @property
    def ttl_seconds(self) -> int | None:
        """Seconds until the value expires; None if it never does."""
        seconds: int | None = self.cleaned_data["seconds"]
        return seconds


class ValueForm(ExpiryForm):
    """A value, typed or as a file, and its expiry.

    `is_replacement`: the form does not show the value that is stored. Then nothing is not stored as
    an empty value. Nor is what is typed stored once a file was chosen.
    """

    is_replacement = False

    value = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "autocomplete": "off"}),
    )
    file = forms.FileField(
        required=False,
        allow_empty_file=True,
        label="Or a file instead",
        help_text="The bytes of the file become the value unchanged. They must be UTF-8 text.",
    )

    # Whether a file came with the form when it was last sent.
    had_file = forms.BooleanField(required=False, widget=forms.HiddenInput)

    field_order = ["value", "file", "expiry", "seconds"]

    def __init__(
        self, data: QueryDict | None = None, files: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        if data is not None and files:
            data = data.copy()
            data["had_file"] = "yes"  # for the form that is shown again
        super().__init__(data, files, *args, **kwargs)

    def ask_for_file_again(self) -> None:
        """Say that the file is missing from the form, which is about to be shown again."""
        if self.is_bound and "file" not in self.errors and self.cleaned_data.get("had_file"):
            self.add_error("file", FILE_AGAIN)

    def clean_value(self) -> str:
        # Browsers send each newline as CR LF. A value with a CR of its own is not edited as text.
        return str(self.cleaned_data["value"]).replace("\r\n", "\n")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        upload, most = cleaned.get("file"), settings.STATE_MAX_VALUE_BYTES
        if upload is None and cleaned.get("had_file") and "file" not in self.errors:
            self.add_error("file", FILE_AGAIN)
        elif self.is_replacement and upload is None and not cleaned.get("value"):
            self.add_error("value", "Type the new value, or choose a file with it.")
        data = cleaned.get("value", "").encode() if upload is None else upload.read(most + 1)
        if len(data) > most:
            self.add_error(
                None if upload is None else "file", f"A value has at most {filesizeformat(most)}."
            )
        try:
            data.decode()
        except UnicodeDecodeError:
            self.add_error("file", "A value must be UTF-8 text, and this file is not.")
        self.value_bytes = data
        return cleaned


class EditForm(ValueForm):
    """A value that is stored already. `etag` is that of the value shown, "" if there was none."""

    etag = forms.RegexField(r"^[0-9a-f]{40}\Z", required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, kept: str, is_replacement: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        expiry = self.fields["expiry"]
        assert isinstance(expiry, forms.ChoiceField)
        expiry.choices = [(KEEP, f"Keep it: {kept}"), *_CHOICES]
        self.is_replacement = is_replacement
        if is_replacement:
            self.fields["value"].label = "The new value"

    @property
    def ttl(self) -> TTL:
        return "keep" if self.cleaned_data["expiry"] == KEEP else self.ttl_seconds


class NewForm(ValueForm):
    """A value under a new key."""

    namespace = forms.CharField(max_length=NAMESPACE_MAX_BYTES, strip=False)
    key = forms.CharField(max_length=KEY_MAX_BYTES, strip=False)

    field_order = ["namespace", "key", "value", "file", "expiry", "seconds"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if "namespace" in cleaned and "key" in cleaned:
            try:
                self.address = Address(cleaned["namespace"], cleaned["key"])
            except InvalidRequest as error:
                at = "namespace" if error.code == "invalid_namespace" else "key"
                self.add_error(at, error.detail)
        return cleaned
