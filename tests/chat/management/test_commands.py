"""flush_pending_turns and purge_expired_conversations."""

import logging
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone
from django_redis import get_redis_connection

from chat.models import Conversation, Turn
from chat.turns import flush
from tests.chat.calls import Api
from tests.chat.drive import ask, away, contents, hooked, put_raw

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().strip()


def test_flush__stores_and_says_so(monkeypatch):
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        ask("hello")
    assert run("flush_pending_turns").startswith("1 conversation stored, 0 still waiting")
    assert contents() == ["hello"]


def test_flush__ends_with_1_while_something_waits(store_is_away):
    store_is_away()
    ask("hello")
    with pytest.raises(CommandError, match=r"^1 conversation still waits; the log says why\.$"):
        run("flush_pending_turns")
    ask("hello", "c2")
    with pytest.raises(CommandError, match="2 conversations still wait;"):
        run("flush_pending_turns")


def test_flush__what_waits_for_an_operator_is_no_failure(caplog):
    put_raw(b"corrupt")
    ask("hello")
    ask("waits", "c2")
    caplog.clear()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            said = run("flush_pending_turns")
            assert said.startswith("0 conversations stored, 0 still waiting; 1 waits for an oper")
    assert not caplog.records  # cron would send them by mail, each minute
    assert Turn.objects.waiting().count() == 1


def test_flush__goes_on_after_a_conversation_that_fails(monkeypatch):
    with hooked(monkeypatch) as repository:
        for conversation in ("c1", "c2"):
            repository.before["get"] = [away]
            ask("hello", conversation)
    real = flush.flush

    def fails_first(conversation):
        if conversation.key.conversation_id == "c1":
            raise OperationalError("database is locked")
        return real(conversation)

    monkeypatch.setattr(flush, "flush", fails_first)
    with pytest.raises(CommandError, match="1 conversation still waits"):
        run("flush_pending_turns")
    assert contents("c2") == ["hello"]


def test_flush__drops_old_stored_turns_alone(settings):
    ask("hello")
    settings.CHAT_KEEP_TURNS_SECONDS = 60
    long_ago = timezone.now() - timedelta(seconds=61)
    Turn.objects.update(accepted_at=long_ago, stored_at=long_ago)
    assert run("flush_pending_turns").endswith("1 old turn dropped")
    assert contents() == ["hello"]


def test_flush__keeps_the_turns_of_a_conversation_that_can_not_be_read(settings):
    """An operator may keep their messages in the place of what can't be read."""
    ask("hello")
    Conversation.objects.update(corrupt=True)
    settings.CHAT_KEEP_TURNS_SECONDS = 60
    Turn.objects.update(
        accepted_at=timezone.now() - timedelta(days=9), stored_at=timezone.now() - timedelta(days=9)
    )
    assert run("flush_pending_turns").endswith("0 old turns dropped")
    Conversation.objects.update(corrupt=False)
    assert run("flush_pending_turns").endswith("1 old turn dropped")


def test_list__agrees_with_the_store_on_what_has_expired():
    api = Api()
    api.chat("hello", "c1")
    get_redis_connection().delete("chat:alice:c1")
    assert api.call("get", api.path("c1", "/messages")).status_code == 404
    assert api.call("get", api.path()).json()["conversations"] == []
