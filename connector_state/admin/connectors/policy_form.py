"""The form of a connector's name and policy."""

from collections.abc import Callable, Iterator
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.utils.text import Truncator

from common.visible import visible_name
from connector_state.errors import InvalidRequest
from connector_state.models import Connector
from connector_state.names import clean_name
from connector_state.store.policy import FIELDS, LIMITS, clean_patterns, default_limit

WRONG_LINES_TOLD = 10
LINE_SHOWN = 60  # characters

Words = Callable[[int], str]


class PolicyForm(forms.ModelForm):
    """The name of a connector, and what it may do.

    The form carries the values that it was shown with. So a field that the operator has not changed
    is not in `changed_data`, even when somebody else has changed it meanwhile.
    """

    class Meta:
        model = Connector
        # Disabling has its own pages: it holds at once, and they say so.
        fields = ("name", *(field for field in FIELDS if field != "enabled"))
        labels = {
            "max_keys": "Keys at most",
            "max_bytes": "Bytes at most",
            "max_requests_per_second": "Requests a second at most",
        }
        help_texts = {
            "name": "For people. One that enrols brings its own name along, in place of this.",
            "read_only": "It can read, and its writes are refused.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.show_hidden_initial = True
        for name in LIMITS.keys() & self.fields.keys():
            field, default = self.fields[name], limit_in_words(default_limit(name))
            field.help_text = f"Empty: the default, {default}. 0: no limit."
            field.validators.append(MaxValueValidator(LIMITS[name]))

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        # An enrolment may have brought a name that this form would refuse: it may stay.
        try:
            return clean_name(name) if "name" in self.changed_data else name
        except InvalidRequest as error:
            raise ValidationError(error.detail) from None

    def clean_allowed_namespaces(self) -> str:
        lines = self.cleaned_data["allowed_namespaces"].splitlines()
        if wrong := list(_wrong_lines(lines)):
            told, more = wrong[:WRONG_LINES_TOLD], len(wrong) - WRONG_LINES_TOLD
            raise ValidationError([*told, *([f"And {more} more lines."] if more > 0 else [])])
        return clean_patterns(lines)


def _wrong_lines(lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            clean_patterns([line])
        except InvalidRequest as error:
            shown = Truncator(visible_name(line)).chars(LINE_SHOWN)
            yield f"Line {number}, “{shown}”: {error.detail}"


def limit_in_words(limit: int, is_default: bool = False, words: Words = "{:,}".format) -> str:
    """Return a limit as pages show it; 0 is no limit."""
    return (words(limit) if limit else "no limit") + (" (default)" if is_default else "")


def describe_changes(form: Any) -> list[str]:
    """Return a line for admin's history per changed field, with its old and new value."""
    return [
        f"{name} from {_in_words(form.initial[name])} to {_in_words(form.cleaned_data[name])}"
        for name in form.changed_data
    ]


def _in_words(value: Any) -> str:
    if value is None:
        return "the default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return visible_name(" ".join(str(value).split())) or "any"
