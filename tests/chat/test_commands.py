"""flush_pending_turns and purge_expired_conversations."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_redis import get_redis_connection

from chat.models import Conversation, Turn
from tests.chat.api import Api
from tests.chat.drive import ask, away, contents, document, hooked, nothing, put_raw

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().strip()


def age(days: int) -> None:
    """Let everything in the database and the store be older."""
    past = timezone.now() - timedelta(days=days)
    Conversation.objects.update(updated_at=past)
    Turn.objects.update(accepted_at=past)
    redis = get_redis_connection()
    for key in redis.keys("chat:*"):
        text = redis.get(key).decode()
        ttl = redis.pttl(key)
        redis.set(key, text.replace(str(timezone.now().year), "2001"), px=ttl)


def test_flush__stores_and_says_so(monkeypatch):
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        ask("hello")
    assert run("flush_pending_turns").startswith("1 conversations stored, 0 still waiting")
    assert contents() == ["hello"]


def test_flush__ends_with_1_while_something_waits():
    put_raw(b"corrupt")
    ask("hello")
    with pytest.raises(CommandError):
        run("flush_pending_turns")


def test_flush__drops_old_stored_turns_alone(settings):
    ask("hello")
    settings.CHAT_KEEP_TURNS_SECONDS = 60
    Turn.objects.update(accepted_at=timezone.now() - timedelta(seconds=61))
    assert run("flush_pending_turns").endswith("1 old turns dropped")
    assert contents() == ["hello"]


def test_purge__of_what_the_store_has_dropped():
    ask("hello")
    ask("hello", "c2")
    get_redis_connection().delete("chat:alice:c1")
    Conversation.objects.filter(conversation_id="c1").update(expires_at=timezone.now())
    assert run("purge_expired_conversations", "--dry-run").startswith("1 conversations would be")
    assert run("purge_expired_conversations") == "1 conversations purged, 0 kept, 0 failed"
    assert Conversation.objects.get(conversation_id="c1").title == ""
    assert Turn.objects.get().conversation_id == "c2"


def test_purge__older_than_deletes_from_the_store():
    ask("hello")
    age(10)
    assert run("purge_expired_conversations", "--older-than", "11").startswith("0 ")
    assert document() is not None
    assert run("purge_expired_conversations", "--older-than", "9", "--dry-run").startswith("1 ")
    assert document() is not None
    assert run("purge_expired_conversations", "--older-than", "9", "--user", "bob").startswith("0 ")
    assert run("purge_expired_conversations", "--older-than", "9").startswith("1 ")
    assert document() is None


def test_purge__keeps_what_the_store_says_is_in_use():
    ask("hello")
    Conversation.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert run("purge_expired_conversations") == "0 conversations purged, 1 kept, 0 failed"
    assert contents() == ["hello"]
    assert Conversation.objects.get().expires_at > timezone.now()


def test_purge__keeps_what_is_used_meanwhile(monkeypatch):
    ask("hello")
    age(10)
    with hooked(monkeypatch) as repository:
        monkeypatch.setattr("chat.purge.conversation_repository", lambda: repository)
        repository.before["delete"] = [lambda: ask("in use")]
        assert run("purge_expired_conversations", "--older-than", "9").startswith("0 ")
    assert contents() == ["hello", "in use"]


def test_purge__goes_on_after_a_failure_and_ends_with_1(monkeypatch):
    ask("hello", "c1")
    ask("hello", "c2")
    age(10)
    with hooked(monkeypatch) as repository:
        monkeypatch.setattr("chat.purge.conversation_repository", lambda: repository)
        repository.before["get"] = [away, nothing]
        with pytest.raises(CommandError):
            run("purge_expired_conversations", "--older-than", "9", "--batch-size", "1")
    assert (document("c1") is None, document("c2") is None) == (False, True)


def test_list__agrees_with_the_store_on_what_has_expired():
    api = Api()
    api.chat("hello", "c1")
    get_redis_connection().delete("chat:alice:c1")
    assert api.call("get", api.path("c1", "/messages")).status_code == 404
    assert api.call("get", api.path()).json()["conversations"] == []
