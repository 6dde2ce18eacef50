"""Outages: one event for each, from its first failure to the first answer after it.

Whoever meets a store that does not answer says so, and whoever gets an answer after a failure. Any
number of processes may: the unique `aggregate` of the outage that has not ended is a
compare-and-swap.
"""

import logging
import threading
from collections import Counter
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from common.events.models import Event

logger = logging.getLogger(__name__)

# A store that fails now and then would fill the table: one outage goes on after a short answer.
GOES_ON_SECONDS = 60

_lock = threading.Lock()
_waiting: Counter[str] = Counter()  # turns that are not counted yet, by the store


def noticed(store: str, since: datetime | None = None) -> None:
    """Note that a store, by its title, does not answer. It never raises: callers are in trouble.

    Args:
        store: such as "Conversation store".
        since: when it began, if not now.
    """
    try:
        with transaction.atomic():
            _open(store, since or timezone.now())
    except Exception as error:  # the caller has an outage to survive already
        logger.warning("an outage of the %s was not recorded: %r", store, error)


def over(store: str) -> None:
    """Note that a store answers. It never raises."""
    try:
        with _lock:
            counted = _waiting.pop(store, 0)
        ended = {"ended_at": timezone.now(), "aggregate": None}
        _ongoing(store).update(number=F("number") + counted, **ended)
    except Exception as error:
        logger.warning("the end of an outage of the %s was not recorded: %r", store, error)


def count_waiting_turn(store: str) -> None:
    """Count one more turn that waits because of the outage."""
    with _lock:
        _waiting[store] += 1
    # In an outage all turns come here. If each waited for the others' transactions, they would
    # soon have all connections; so who finds the row locked leaves the count to the next one.
    with transaction.atomic(savepoint=False):
        row = _ongoing(store).select_for_update(skip_locked=True).first()
        if row is None and _ongoing(store).exists():
            return
        with _lock:
            counted = _waiting.pop(store, 0)
        if row is not None:
            Event.objects.filter(pk=row.pk).update(number=F("number") + counted)


def events_of(store: str) -> QuerySet[Event]:
    """Return the outages of a store, newest first."""
    return Event.objects.filter(kind=Event.Kind.OUTAGE, message=_words(store))


def _open(store: str, began: datetime) -> None:
    if _ongoing(store).exists():
        return
    name = _name(store)
    recently = began - timedelta(seconds=GOES_ON_SECONDS)
    last = Event.objects.filter(
        kind=Event.Kind.OUTAGE, message=_words(store), ended_at__gt=recently
    )
    if pk := last.values_list("pk", flat=True).first():
        Event.objects.filter(pk=pk).update(ended_at=None, aggregate=name)
        return
    event = Event(
        kind=Event.Kind.OUTAGE,
        area=Event.Area.SERVICE,
        message=_words(store),
        at=began,
        aggregate=name,
    )
    Event.objects.bulk_create([event], ignore_conflicts=True)


def _ongoing(store: str) -> QuerySet[Event]:
    return Event.objects.filter(aggregate=_name(store))


def _name(store: str) -> str:
    return f"outage {store}"


def _words(store: str) -> str:
    return f"{store}: no answer."
