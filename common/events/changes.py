"""Operators' changes: those in admin, of which Django tells, and those by commands."""

import getpass
import os
from typing import Any

from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.core.exceptions import ObjectDoesNotExist

from common.events.models import Event, record

AREAS = {"connector_state": Event.Area.STATE, "chat": Event.Area.CHAT}
WITHOUT_WORDS = {ADDITION: "Added.", DELETION: "Deleted."}


def operator_name() -> str:
    """Return the system's name of the user who runs the command, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid-{os.getuid()}"


def record_command(kind: Event.Kind, area: Event.Area, message: str, **about: Any) -> None:
    """Record what an operator did by a command; see record."""
    record(kind, area, message, f"{operator_name()} (manage.py)", **about)


def subject_of(row: object) -> dict[str, Any]:
    """Return the fields of an event that say what it is about, from a row that knows them."""
    about: dict[str, Any] = getattr(row, "event_subject", {})
    return about


def record_entry(instance: LogEntry, created: bool, **_: Any) -> None:
    """Record an entry of admin's history as an event: the receiver of LogEntry's post_save.

    common.admin.pages.log_action says more about its entries than Django's own pages do.
    """
    if not created:
        return
    kind, about = getattr(instance, "event", (Event.Kind.CHANGE, None))
    if about is None:
        about = subject_of(_edited(instance))
    content_type = instance.content_type
    assert content_type is not None
    area = AREAS.get(content_type.app_label, Event.Area.ACCOUNTS)
    words = instance.get_change_message() or WITHOUT_WORDS.get(instance.action_flag, "Changed.")
    message = f"{content_type.name} “{instance.object_repr}”: {words}"
    record(kind, area, message, instance.user.get_username(), **about)


def _edited(entry: LogEntry) -> object:
    try:
        return entry.get_edited_object()
    except (ObjectDoesNotExist, AttributeError):
        return None
