"""Deleting the rows of turns that are stored and too old for a repeat: the store has their content.

Their age counts from when they were stored. A turn that waited through a long outage is old by
then, and its client, or another worker that is storing it too, may still ask for its row.

While a conversation can't be read, its rows stay: an operator may restore messages from them.
"""

import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from chat.models import Conversation, Turn
from common.database.statements import Parameter, Select

PRUNED_EVERY = 20  # turns; it costs one of them a query
PRUNED_AT_ONCE = 100

_SOME_OLD = Select(
    lambda: Turn.objects.filter(
        _stored_before(Parameter("oldest")), user_id=Parameter("user_id")
    ).only("id")[:PRUNED_AT_ONCE]
)


def prune(batch_size: int = 500) -> int:
    """Delete all that are too old to be repeated; return how many."""
    old = _stored_before(_oldest(timezone.now()))
    dropped = 0
    while ids := list(Turn.objects.filter(old).values_list("id", flat=True)[:batch_size]):
        dropped += _drop(ids, old)
    return dropped


def prune_now_and_then(user_id: str, now: datetime) -> None:
    """Delete a few old turns of this user, once in PRUNED_EVERY calls."""
    if secrets.randbelow(PRUNED_EVERY):
        return
    oldest = _oldest(now)
    if turns := _SOME_OLD.rows(user_id=user_id, oldest=oldest):
        _drop([turn.id for turn in turns], _stored_before(oldest))


def _oldest(now: datetime) -> datetime:
    """Return when the oldest turn was stored that is kept."""
    return now - timedelta(seconds=settings.CHAT_KEEP_TURNS_SECONDS)


def _stored_before(oldest: datetime | Parameter) -> Q:
    # Of turns from before migration 0003 nobody noted when they were stored.
    corrupt = Conversation.objects.filter(
        user_id=OuterRef("user_id"), conversation_id=OuterRef("conversation_id"), corrupt=True
    )
    return (
        Q(state=Turn.State.STORED, accepted_at__lt=oldest)
        & (Q(stored_at=None) | Q(stored_at__lt=oldest))
        & Q(~Exists(corrupt))
    )


def _drop(ids: list[str], old: Q) -> int:
    # Those that are old still: one without a reply may have been taken up again.
    return Turn.objects.filter(old, id__in=ids).delete()[0]
