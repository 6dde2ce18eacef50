"""Dead letters: retried, edited, discarded; and what a repair meets on its way."""

import pytest

from chat.conversations.state import ConversationKey, new_conversation
from chat.deadline import Deadline
from chat.errors import StoreConflict, StoreUnavailable
from chat.models import Conversation, Quarantine, Turn
from chat.repair import dead_letters, quarantine
from chat.repair.dead_letters import read_content
from tests.chat.drive import ALICE, ask, away, contents, document, hooked, nothing, put_raw
from tests.chat.operators import dead
from tests.chat.samples import MORNING

pytestmark = pytest.mark.django_db(transaction=True)
KEY = ConversationKey(ALICE, "c1")


def refused(settings, message: str = "x" * 900) -> Turn:
    """A turn that is too large for the store."""
    settings.CHAT_MAX_STATE_BYTES = 1000
    turn = ask(message)
    turn.refresh_from_db()
    assert turn.state == Turn.State.DEAD_LETTER
    return turn


def test_retry__is_stored_once_the_limit_is_raised(settings):
    turn = refused(settings)
    settings.CHAT_MAX_STATE_BYTES = 3_000_000
    after = dead_letters.retry(turn, None, Deadline(5))
    assert (after.state, after.refusal) == (Turn.State.STORED, "")
    assert contents() == ["x" * 900]


def test_retry__is_a_dead_letter_again_while_nothing_has_changed(settings):
    turn = refused(settings)
    after = dead_letters.retry(turn, None, Deadline(5))
    assert after.state == Turn.State.DEAD_LETTER
    assert "1000 are allowed" in after.refusal


def test_retry__edited(settings):
    turn = refused(settings)
    content = read_content("short", "ok", "")
    assert dead_letters.retry(turn, content, Deadline(5)).state == Turn.State.STORED
    assert [message.content for message in document().messages] == ["short", "ok"]


def test_retry__waits_while_the_store_is_away(settings, monkeypatch):
    turn = refused(settings)
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away, away]
        after = dead_letters.retry(turn, read_content("short", "", ""), Deadline(5))
    assert after.state == Turn.State.FAILED  # without a reply
    ask("next")
    assert contents() == ["short", "next"]


def test_retry__of_a_conversation_that_was_deleted(settings):
    turn = refused(settings)
    Turn.objects.all().delete()
    assert dead_letters.retry(turn, None, Deadline(5)) is None


def test_discard__leaves_the_others():
    turn, other = ask("one"), ask("two")
    dead(turn)
    assert dead_letters.discard(turn)
    assert not dead_letters.discard(other)
    assert Turn.objects.get() == other


def conflict() -> None:
    raise StoreConflict()


@pytest.mark.parametrize("fault", [away, conflict])
def test_restore__an_answer_that_was_lost(monkeypatch, fault):
    put_raw(b"corrupt")
    ask("waits")
    with hooked(monkeypatch) as repository:
        repository.after["save"] = [fault]
        assert quarantine.restore(KEY, new_conversation(KEY, MORNING), Deadline(5))
    assert contents() == ["waits"]


def test_restore__is_done_though_the_turns_still_wait(monkeypatch):
    put_raw(b"corrupt")
    ask("waits")
    with hooked(monkeypatch) as repository:
        repository.before["save"] = [nothing, away, away]
        assert not quarantine.restore(KEY, new_conversation(KEY, MORNING), Deadline(5))
    assert contents() == []
    assert not Conversation.objects.get().corrupt
    assert Quarantine.objects.get().resolved_at is not None
    assert Turn.objects.get().state == Turn.State.ANSWERED


def test_restore__not_while_the_store_is_away(monkeypatch):
    put_raw(b"corrupt")
    ask("waits")
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        with pytest.raises(StoreUnavailable):
            quarantine.discard(KEY, Deadline(5))
    assert Quarantine.objects.get().resolved_at is None
