"""Outages: one event for each, from its first failure to the first answer after it.

Whoever meets a store that does not answer says so, and whoever gets an answer after a failure. Any
number of processes may: the unique `aggregate` of the outage that has not ended is a
compare-and-swap.
"""

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from common.events.models import Event

logger = logging.getLogger(__name__)

# A store that fails now and then would fill the table: one outage goes on after a short answer.
GOES_ON_SECONDS = 60


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
        _ongoing(store).update(ended_at=timezone.now(), aggregate=None)
    except Exception as error:
        logger.warning("the end of an outage of the %s was not recorded: %r", store, error)


def count_waiting_turn(store: str) -> None:
    """Count one more turn that waits because of the outage."""
    _ongoing(store).update(number=F("number") + 1)


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
