"""Faults put in on purpose, between the load and the checks: what the checks must find."""

from collections.abc import Callable
from datetime import timedelta

from connector_state.store.keys import connector_keys
from soak.journal import Journal
from soak.layout.production import Layout


def drop_write(layout: Layout, journal: Journal) -> None:
    """Undo the last write of a key, as if it had been acknowledged and never carried out."""
    chain = next(c for c in journal.chains if c.current and c.values[-2].value)
    key = connector_keys(chain.uuid).value_prefix + chain.member
    layout.redis.primary_client().set(key, chain.values[-2].value or "")


def forget_nonce(layout: Layout, journal: Journal) -> None:
    """Forget the nonces of the requests that can still be replayed."""
    redis = layout.redis.primary_client()
    assert any(probe.is_young for probe in journal.probes)
    for key in redis.scan_iter("statekeep:*:nonce:*", 10_000):
        redis.delete(key)


def store_twice(layout: Layout, journal: Journal) -> None:
    """Store the last turn of a conversation a second time."""
    from chat.conversations.state import ConversationKey
    from chat.deadline import Deadline
    from chat.turns.open_conversation import OpenConversation

    talk = next(talk for talk in journal.talks if talk.texts)
    opened = OpenConversation(ConversationKey(talk.user, talk.conversation), Deadline(10))
    state = opened.read().state
    assert state is not None
    opened.save(state.model_copy(update={"messages": [*state.messages, *state.messages[-2:]]}))


def keep_lease(layout: Layout, journal: Journal) -> None:
    """Lease a conversation for a year, as who never lets go of it."""
    from django.utils import timezone

    from chat.models import Conversation

    rows = Conversation.objects.filter(user_id=journal.talks[0].user)
    rows.update(lease_until=timezone.now() + timedelta(days=365), lease_token="sabotage")


def drop_index_entry(layout: Layout, journal: Journal) -> None:
    """Take a stored key out of the index."""
    chain = next(chain for chain in journal.chains if chain.current)
    layout.redis.primary_client().zrem(connector_keys(chain.uuid).named("index"), chain.member)


SABOTAGES: dict[str, Callable[[Layout, Journal], None]] = {
    "dropped-write": drop_write,
    "forgotten-nonce": forget_nonce,
    "doubled-turn": store_twice,
    "endless-lease": keep_lease,
    "missing-index-entry": drop_index_entry,
}
