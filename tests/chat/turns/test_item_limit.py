"""A store with a limit for one item, which its sidecar reports as a 500: DynamoDB, Cosmos DB."""

import logging
from collections.abc import Iterator

import pytest
from django.core.management import call_command

from chat import repository
from chat.conversations.state import ConversationKey
from chat.errors import StoreUnavailable
from chat.models import Turn
from chat.repository.breaker import FAILURES_TO_OPEN
from chat.turns import store
from tests.chat.drive import ALICE, ask, contents, document
from tests.chat.samples import soon
from tests.sidecar.fault_proxy import FaultProxy

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT_BYTES = 40_000
BIG = "x" * 9_000


@pytest.fixture(autouse=True)
def proxy(store_behind_sidecar, settings) -> Iterator[FaultProxy]:
    store_behind_sidecar.forget_everything()
    with FaultProxy(store_behind_sidecar.environ["DAPR_HTTP_ENDPOINT"]) as proxy:
        proxy.fail("error", method="POST", times=None, over_bytes=LIMIT_BYTES)
        settings.CHAT_STATE_STORE = "dapr"
        settings.DAPR_ENDPOINT = proxy.url
        yield proxy
    repository.forget_repositories()


def fill(conversation: str = "big") -> list[str]:
    """Chat until it no longer fits; return the messages."""
    messages = [f"{number} {BIG}" for number in range(4)]
    assert [ask(message, conversation).degraded for message in messages] == [False] * 4
    messages.append(f"4 {BIG}")
    assert ask(messages[-1], conversation).degraded
    return messages


def test_item_limit__of_one_conversation_does_not_concern_others():
    fill()
    store_of_all = repository.conversation_repository()
    stored = store_of_all.get(ConversationKey(ALICE, "big"), soon())
    larger = stored.state.model_copy(update={"messages": stored.state.messages * 2})
    for _ in range(FAILURES_TO_OPEN + 1):  # as of several messages at once
        with pytest.raises(StoreUnavailable):
            store_of_all.save(larger, stored.etag, 60, soon())
    assert not ask("small", "other", user="bob").degraded


def test_item_limit__waits_while_nobody_knows_that_it_is_one(monkeypatch):
    monkeypatch.setattr(store, "NEVER_FITS_SECONDS", 0)
    messages = fill()
    assert ask("again", "big").degraded  # nobody else has stored anything
    assert contents("big") == messages[:4]


def test_item_limit__then_the_oldest_turns_go_and_nothing_waits(monkeypatch, caplog):
    messages = fill()
    for number in range(store.NEVER_FITS_OTHERS):
        ask(f"small {number}", "other", user="bob")
    assert ask("too early", "big").degraded
    monkeypatch.setattr(store, "NEVER_FITS_SECONDS", 0)
    with caplog.at_level(logging.ERROR, "chat"):
        call_command("flush_pending_turns")
    kept = contents("big")
    assert kept == [*messages, "too early"][-len(kept) :]
    assert 2 <= len(kept) < 5
    assert len(document("big").model_dump_json()) < LIMIT_BYTES
    assert any("CHAT_MAX_STATE_BYTES" in line for line in caplog.messages)
    assert not ask("goes on", "big").degraded


def test_item_limit__a_turn_too_large_by_itself_is_set_aside(monkeypatch, proxy):
    ask("before", "big")
    proxy.clear()
    proxy.fail("error", method="POST", times=None, over_bytes=8_000)
    assert ask(BIG, "big").degraded
    for number in range(store.NEVER_FITS_OTHERS):
        assert not ask(f"small {number}", "other", user="bob").degraded
    monkeypatch.setattr(store, "NEVER_FITS_SECONDS", 0)
    assert not ask("after", "big").degraded
    assert contents("big") == ["before", "after"]
    letter = Turn.objects.dead_letters().get()
    assert letter.message == BIG
    assert "other conversations" in letter.refusal
    call_command("flush_pending_turns")
