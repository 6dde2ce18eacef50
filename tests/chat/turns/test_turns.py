"""A turn through its six steps, and what meets it on the way."""

import json
from datetime import timedelta

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from chat.assistant.builtin import BuiltinAssistant
from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.errors import (
    ModelFailed,
    RateLimited,
    StoreConflict,
    StoreRefused,
    TurnConflict,
)
from chat.models import Conversation, Task, Turn
from chat.turns import accept, flush
from chat.turns.deletion import delete_conversation
from tests.chat.drive import ALICE, ask, away, contents, document, failing_once, hooked, nothing

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("chat_store")]
KEY = ConversationKey(ALICE, "c1")


class Windows:
    """The built-in assistant, with a note of each window it was given."""

    def __init__(self, monkeypatch, before=nothing, fail=None):
        self.seen = []
        self.before, self.fail = before, fail
        monkeypatch.setattr("chat.turns.answer.configured_assistant", lambda: self)

    def answer(self, window, message, tools, deadline):
        self.seen.append([entry.content for entry in window])
        self.before()
        reply = BuiltinAssistant().answer(window, message, tools, deadline)
        if self.fail is not None:
            raise self.fail
        return reply


def lapse() -> None:
    """Let every lease end now, as if its process had died long ago."""
    Turn.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


def conflict():
    raise StoreConflict()


def refuse():
    raise StoreRefused("no")


def test_turn__is_answered_and_stored(chat_store):
    turn = ask("Add task: Buy groceries")
    assert turn.reply == "I've added 'Buy groceries' to your task list, as number 1."
    assert turn.tool_calls[0]["tool"] == "add_task"
    assert turn.tool_calls[0]["parameters"] == {"title": "Buy groceries"}
    assert turn.tool_calls[0]["result"]["task_id"] == 1
    assert not turn.degraded
    assert Turn.objects.get().state == Turn.State.STORED
    state = document()
    assert [(m.role, m.content) for m in state.messages] == [
        ("user", "Add task: Buy groceries"),
        ("assistant", turn.reply),
    ]
    assert {m.turn_id for m in state.messages} == {turn.id}
    raw = json.loads(chat_store.get_raw())
    assert raw["messages"][1]["tool_calls"][0]["result"]["task_id"] == 1
    assert Task.objects.get().title == "Buy groceries"
    row = Conversation.objects.get()
    assert (row.title, row.message_count) == ("Add task: Buy groceries", 2)


def test_turn__costs_one_get_and_one_save(monkeypatch):
    ask("hello")
    with hooked(monkeypatch) as repository:
        ask("hello again")
    assert repository.calls == ["get", "save"]
    assert contents() == ["hello", "hello again"]


def test_turn__is_durable_before_the_model_is_asked(monkeypatch):
    seen = []
    Windows(monkeypatch, before=lambda: seen.append(Turn.objects.get().message))
    ask("hello")
    assert seen == ["hello"]


def test_new_conversation__gets_an_integer_that_was_never_used():
    ask("hello", 2)
    first, second = ask("hello", None), ask("hello", None)
    assert (first.conversation_id, second.conversation_id) == ("1", "3")


def test_new_conversation__never_continues_one_that_the_database_has_lost():
    for number in range(1, 14):
        ask(f"old {number}", number)
    Conversation.objects.all().delete()
    Turn.objects.all().delete()
    turn = ask("new", None)
    assert int(turn.conversation_id) > 13
    assert contents(turn.conversation_id) == ["new"]
    assert contents("1") == ["old 1"]
    row = Conversation.objects.get(conversation_id=turn.conversation_id)
    assert (row.title, row.message_count) == ("new", 2)
    taken = Conversation.objects.get(conversation_id="1")
    assert (taken.message_count, taken.updated_at) == (2, document("1").updated_at)


def test_window__is_exactly_the_last_messages(monkeypatch, settings):
    settings.CHAT_MESSAGE_WINDOW = 4
    for number in range(4):
        ask(f"hello {number}")
    windows = Windows(monkeypatch)
    ask("now")
    assert [text for text in windows.seen[0] if "hello " in text] == ["hello 2", "hello 3"]
    assert len(windows.seen[0]) == 4
    assert "now" not in windows.seen[0]


def test_maximum__the_201st_message_keeps_the_newest_200(settings):
    settings.CHAT_MAX_MESSAGES = 20
    settings.CHAT_MESSAGE_WINDOW = 10
    for number in range(11):
        ask(f"hello {number}")
    assert contents() == [f"hello {number}" for number in range(1, 11)]
    assert len(document().messages) == 20


# --- Faults of the store ---


def test_false_409__a_write_that_was_applied_is_not_doubled(monkeypatch):
    with hooked(monkeypatch) as repository:
        repository.after["save"] = [conflict]
        turn = ask("add milk")
    assert repository.calls == ["get", "save", "get"]
    assert not turn.degraded
    assert contents() == ["add milk"]
    assert Turn.objects.get().state == Turn.State.STORED


def test_lost_answer__a_write_that_was_applied_is_not_doubled(monkeypatch):
    with hooked(monkeypatch) as repository:
        repository.after["save"] = [away]
        assert not ask("add milk").degraded
    assert contents() == ["add milk"]


def test_conflict__is_put_into_what_is_there_now(monkeypatch):
    ask("first")
    with hooked(monkeypatch) as repository:
        repository.before["save"] = [lambda: ask("meanwhile")]
        assert not ask("mine").degraded
    # In the order of acceptance, though "meanwhile" was stored first.
    assert contents() == ["first", "mine", "meanwhile"]


def test_read_fails__degraded_and_the_store_is_not_asked_again(monkeypatch):
    ask("first")
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        turn = ask("second")
    assert turn.degraded
    assert repository.calls == ["get"]
    assert contents() == ["first"]
    assert Turn.objects.get(pk=turn.pk).state == Turn.State.ANSWERED


def test_read_fails__the_window_is_what_the_rows_hold(monkeypatch):
    ask("first")
    windows = Windows(monkeypatch)
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        ask("second")
    assert windows.seen[0][0] == "first"


def test_save_fails__degraded_and_stored_by_the_next_turn(monkeypatch):
    with hooked(monkeypatch) as repository:
        repository.before["save"] = [away, away]
        assert ask("first").degraded
        repository.before["save"] = [away, away]
        assert ask("second").degraded
        repository.before["save"] = []
        windows = Windows(monkeypatch)
        assert not ask("third").degraded
    assert contents() == ["first", "second", "third"]
    assert [text for text in windows.seen[0] if text in ("first", "second")] == ["first", "second"]
    assert set(Turn.objects.values_list("state", flat=True)) == {"stored"}


def test_flush__stores_all_in_one_save(monkeypatch):
    with hooked(monkeypatch) as repository:
        for number in range(3):
            repository.before["get"] = [away]
            ask(f"message {number}")
        repository.calls.clear()
        assert flush.flush_all() == (1, 0)
    assert repository.calls == ["get", "save"]
    assert contents() == ["message 0", "message 1", "message 2"]
    assert flush.flush_all() == (0, 0)


def test_flush__into_an_empty_store(monkeypatch, chat_store):
    ask("first")
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        ask("second")
    chat_store.forget_everything()
    assert flush.flush_all() == (1, 0)
    assert contents() == ["second"]


def test_flush__leaves_a_turn_under_way_alone(monkeypatch):
    seen = []
    Windows(monkeypatch, before=lambda: seen.append(flush.flush_all()))
    ask("hello")
    assert seen == [(0, 0)]


def test_two_flushers_and_a_new_turn__nothing_lost_or_doubled(monkeypatch):
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        ask("first")
        # While one flusher saves, another one comes, and a new turn.
        results = []
        repository.before["save"] = [
            lambda: results.append((flush.flush_all(), ask("second").degraded))
        ]
        flush.flush_all()
        assert results == [((0, 1), False)]
    assert contents() == ["first", "second"]
    assert set(Turn.objects.values_list("state", flat=True)) == {"stored"}


def test_refused_content__is_a_dead_letter_and_blocks_nothing(monkeypatch):
    with hooked(monkeypatch) as repository:
        repository.before["save"] = [refuse]
        assert ask("poison").degraded
    assert Turn.objects.get().state == Turn.State.DEAD_LETTER
    assert not ask("fine").degraded
    assert contents() == ["fine"]


def test_refused_content__among_others(monkeypatch):
    with hooked(monkeypatch) as repository:
        for text in ("one", "poison", "three"):
            repository.before["get"] = [away]
            ask(text)
        # All together; "one" alone; "poison" alone; "three" alone.
        repository.before["save"] = [refuse, nothing, refuse, nothing]
        flush.flush_all()
    assert contents() == ["one", "three"]
    assert Turn.objects.get(message="poison").state == Turn.State.DEAD_LETTER


def test_endless_conflicts__end(monkeypatch):
    monkeypatch.setattr("chat.turns.store.PAUSE_SECONDS", 0)
    with hooked(monkeypatch) as repository:
        repository.before["save"] = [conflict] * 1000
        assert ask("hello").degraded
    assert len(repository.calls) < 100
    assert flush.flush_all() == (1, 0)
    assert contents() == ["hello"]


# --- Failures of the model, repeats ---


def test_model_fails__the_message_is_stored_without_a_reply(monkeypatch):
    Windows(monkeypatch, fail=ModelFailed())
    with pytest.raises(ModelFailed):
        ask("hello")
    assert [(m.role, m.content) for m in document().messages] == [("user", "hello")]


def test_model_fails_after_a_tool__what_it_did_is_stored(monkeypatch):
    Windows(monkeypatch, fail=ModelFailed())
    with pytest.raises(ModelFailed):
        ask("add milk")
    _, assistant = document().messages
    assert (assistant.role, assistant.content) == ("assistant", "")
    assert assistant.tool_calls[0].result["task_id"] == 1


def test_repeat_after_a_failure__takes_the_same_turn_up(monkeypatch):
    windows = Windows(monkeypatch, fail=ModelFailed())
    with pytest.raises(ModelFailed):
        ask("add milk", idempotency_key="k")
    failed = Turn.objects.get()
    windows.fail = None
    turn = ask("add milk", idempotency_key="k")
    assert turn.id == failed.id
    assert Task.objects.count() == 1
    assert "added 'milk'" in turn.reply
    assert [(m.role, m.content) for m in document().messages] == [
        ("user", "add milk"),
        ("assistant", turn.reply),
    ]
    assert windows.seen[1] == []


def test_repeat__beside_a_flusher_that_knows_the_failed_turn(monkeypatch):
    windows = Windows(monkeypatch, fail=ModelFailed())
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        with pytest.raises(ModelFailed):
            ask("add milk", idempotency_key="k")
        windows.fail = None
        # The flusher has seen the failed turn, when the repeat answers and stores it.
        repository.before["get"] = [lambda: ask("add milk", idempotency_key="k")]
        flush.flush_all()
    assert [(m.role, bool(m.content)) for m in document().messages] == [
        ("user", True),
        ("assistant", True),
    ]


def test_repeat__answered_while_a_flusher_stores_it_as_failed(monkeypatch):
    windows = Windows(monkeypatch, fail=ModelFailed())
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        with pytest.raises(ModelFailed):
            ask("add milk", idempotency_key="k")
        windows.fail = None

        def repeat():
            repository.before["get"] = [away]
            assert ask("add milk", idempotency_key="k").degraded

        # The flusher has saved the turn without a reply, and not yet marked it as stored.
        repository.after["save"] = [repeat]
        assert flush.flush_all() == (0, 1)
        assert flush.flush_all() == (1, 0)
    assert [(m.role, bool(m.content)) for m in document().messages] == [
        ("user", True),
        ("assistant", True),
    ]


@pytest.mark.parametrize("stored_by", ["the repeat", "a flush"])
def test_repeat__of_an_answer_that_was_degraded(monkeypatch, stored_by):
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        first = ask("add milk", idempotency_key="k")
        assert first.degraded
        repository.before["get"] = [away, away]
        still = ask("add milk", idempotency_key="k")
        assert (still.reply, still.degraded) == (first.reply, True)
        if stored_by == "a flush":
            assert flush.flush_all() == (1, 0)
            repository.before["get"] = [
                away,
                away,
            ]  # the state is saved, whatever the store does now
        repeated = ask("add milk", idempotency_key="k")
    assert (repeated.reply, repeated.degraded) == (first.reply, False)
    assert contents() == ["add milk"]


def test_repeat__of_an_answer_that_was_refused(monkeypatch):
    with hooked(monkeypatch) as repository:
        repository.before["save"] = [refuse]
        assert ask("poison", idempotency_key="k").degraded
    assert ask("poison", idempotency_key="k").degraded


def test_repeat_while_under_way__is_409(monkeypatch):
    refusals = []

    def repeat():
        with pytest.raises(TurnConflict) as refusal:
            ask("add milk", idempotency_key="k")
        refusals.append((refusal.value.code, refusal.value.retry_after_seconds))

    Windows(monkeypatch, before=repeat)
    ask("add milk", idempotency_key="k")
    assert refusals == [("turn_in_progress", 5)]


@pytest.mark.parametrize("error", [OperationalError("away"), InterfaceError("closed")])
def test_error_of_ours__is_told_also_when_the_database_goes_away(monkeypatch, error):
    Windows(monkeypatch, fail=ZeroDivisionError())
    with failing_once(error, 'UPDATE "chat_turn"'), pytest.raises(ZeroDivisionError):
        ask("hello")
    assert Turn.objects.get().state == Turn.State.ACCEPTED


def test_process_died__the_message_is_stored_by_the_next_turn():
    accept.accept(accept.ChatRequest(ALICE, "lost?", "c1"))
    lapse()
    ask("next")
    assert contents() == ["lost?", "next"]
    assert Turn.objects.get(message="lost?").failure == "interrupted"


def test_process_died__a_late_return_changes_nothing(monkeypatch):
    Windows(monkeypatch, before=lambda: (lapse(), flush.flush_all()))
    with pytest.raises(TurnConflict):
        ask("add milk")
    assert Task.objects.count() == 0
    assert contents() == ["add milk"]


@pytest.mark.parametrize("tool", ["before", "after"])
def test_lease_ends__a_repeat_answers_while_the_model_is_slow(monkeypatch, tool):
    class Slow:
        def answer(self, window, message, tools, deadline):
            if tool == "before":
                tools.call("add_task", title="milk")
            monkeypatch.undo()  # the repeat has a model that is not
            lapse()
            repeats.append(ask("add milk", idempotency_key="k"))
            tools.call("add_task", title="milk")

    repeats = []
    monkeypatch.setattr("chat.turns.answer.configured_assistant", Slow)
    with pytest.raises(TurnConflict) as conflict:
        ask("add milk", idempotency_key="k")
    assert conflict.value.code == "turn_in_progress"
    assert [turn.reply for turn in repeats] == [Turn.objects.get().reply]
    assert Task.objects.count() == 1
    assert [(m.role, m.content) for m in document().messages] == [
        ("user", "add milk"),
        ("assistant", repeats[0].reply),
    ]


@pytest.mark.parametrize("when", ["before", "after"])
def test_lease_ends__of_a_flusher_that_is_slow(monkeypatch, when):
    def another_flusher():
        Conversation.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        results.append(flush.flush_all())

    results = []
    with hooked(monkeypatch) as repository:
        for text in ("one", "two"):
            repository.before["get"] = [away]
            ask(text)
        getattr(repository, when)["save"] = [another_flusher]
        results.append(flush.flush_all())
    assert results == [(1, 0), (1, 0)]
    assert contents() == ["one", "two"]
    assert set(Turn.objects.values_list("state", flat=True)) == {"stored"}


def test_turns_under_way__are_capped_per_user(settings):
    settings.CHAT_MAX_TURNS_PER_USER = 2
    for message in ("one", "two"):
        accept.accept(accept.ChatRequest(ALICE, message, "c1"))
    with pytest.raises(RateLimited) as refusal:
        ask("three")
    assert refusal.value.code == "too_many_turns"
    assert ask("hello", user="bob").reply
    lapse()
    assert ask("three").reply


# --- Deletion against a turn in flight ---


def _delete():
    delete_conversation(KEY, Deadline(5))


def _gone():
    state = document()
    assert state is None or state.messages == []
    assert not Turn.objects.exists()
    assert not Conversation.objects.get().active


def test_delete__while_the_model_is_asked(monkeypatch):
    ask("first")
    Windows(monkeypatch, before=_delete)
    with pytest.raises(TurnConflict) as refusal:
        ask("add milk")
    assert refusal.value.code == "conversation_deleted"
    assert not Task.objects.exists()
    _gone()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["get", "save"])
def test_delete__around_each_store_call(monkeypatch, when, call):
    ask("first")
    with hooked(monkeypatch) as repository:
        getattr(repository, when)[call] = [_delete]
        with pytest.raises(TurnConflict):
            ask("second")
    _gone()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["get", "save"])
def test_delete__of_a_new_conversation_around_each_store_call(monkeypatch, when, call):
    with hooked(monkeypatch) as repository:
        getattr(repository, when)[call] = [_delete]
        with pytest.raises(TurnConflict):
            ask("first")
    _gone()


def test_delete__while_marked_only(monkeypatch):
    """The mark is there, the document not emptied yet, when the turn saves."""
    from chat.turns.deletion import apply_deletion, mark_deleted

    ask("first")
    with hooked(monkeypatch) as repository:
        repository.before["save"] = [lambda: mark_deleted(KEY)]
        with pytest.raises(TurnConflict):
            ask("second")
    apply_deletion(KEY, Deadline(5))
    _gone()


def test_delete__then_a_new_turn_before_the_old_one_saves(monkeypatch):
    ask("first")
    with hooked(monkeypatch) as repository:
        repository.before["save"] = [lambda: (_delete(), ask("anew"))]
        with pytest.raises(TurnConflict):
            ask("old")
    assert contents() == ["anew"]


def test_delete__while_the_store_is_away_is_carried_out_later(monkeypatch):
    ask("first")
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        assert delete_conversation(KEY, Deadline(5)) is False
    assert contents() == ["first"]
    assert flush.flush_all() == (1, 0)
    _gone()


def test_delete__of_unknown_ids_while_the_store_is_away_is_capped(monkeypatch):
    monkeypatch.setattr("chat.turns.deletion.PENDING_MAX", 3)
    ask("hello", "known")
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away] * 100
        for number in range(3):
            assert not delete_conversation(ConversationKey(ALICE, f"made-up-{number}"), Deadline(5))
        for number in range(3):
            with pytest.raises(RateLimited) as refusal:
                delete_conversation(ConversationKey(ALICE, f"one-more-{number}"), Deadline(5))
        assert refusal.value.code == "too_many_deletions"
        # What is there can be deleted all the same, and others are not concerned.
        assert not delete_conversation(ConversationKey(ALICE, "known"), Deadline(5))
        assert not delete_conversation(ConversationKey("bob", "made-up"), Deadline(5))
    assert Conversation.objects.count() == 5
    assert flush.flush_all() == (5, 0)
    assert delete_conversation(ConversationKey(ALICE, "one-more"), Deadline(5))


def test_delete__while_the_store_is_away_then_a_new_turn(monkeypatch):
    ask("first")
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        delete_conversation(KEY, Deadline(5))
    windows = Windows(monkeypatch)
    ask("anew")
    assert windows.seen == [[]]
    assert contents() == ["anew"]
    assert flush.flush_all() == (0, 0)


def test_delete__while_the_store_is_away_and_the_new_turn_is_refused(monkeypatch):
    ask("first")
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        delete_conversation(KEY, Deadline(5))
        repository.before["save"] = [refuse]
        ask("poison")
    flush.flush_all()
    assert document().messages == []
    assert not Conversation.objects.get().deletion_pending


def test_delete__a_failed_undo_is_carried_out_later(monkeypatch):
    ask("first")

    def mark_and_break():
        from chat.turns.deletion import mark_deleted

        mark_deleted(KEY)
        repository.before["get"] = [away]

    with hooked(monkeypatch) as repository:
        repository.after["save"] = [mark_and_break]
        with pytest.raises(TurnConflict):
            ask("second")
    assert contents() == ["first", "second"]
    flush.flush_all()
    _gone()
