"""Workers that meet over one conversation, interleaved at the worst moment."""

from datetime import timedelta
from functools import partial

import pytest
from django.conf import settings
from django.utils import timezone

from chat.assistant.builtin import BuiltinAssistant
from chat.conversations.state import ConversationKey, new_conversation
from chat.deadline import Deadline
from chat.errors import ModelFailed
from chat.live.waiting import take
from chat.live.words import Words
from chat.models import Conversation, Turn
from chat.retention.purge import purge
from chat.retention.sweep import PurgeOptions
from chat.turns import flush, index, pruning
from chat.turns.accept import Accepted, ChatRequest, accept
from chat.turns.answer import answer_accepted
from chat.turns.deletion import apply_deletion, delete_conversation, mark_deleted
from chat.turns.flush import MARGIN_SECONDS
from chat.turns.open_conversation import OpenConversation, Snapshot
from chat.turns.reading import renumber
from chat.turns.store import store_waiting
from chat.turns.transcript import Transcript, read
from tests.chat.drive import ALICE, ask, away, contents, document, hooked

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("chat_store")]
KEY = ConversationKey(ALICE, "c1")


@pytest.fixture
def repository(monkeypatch):
    """The real one, with hooks."""
    with hooked(monkeypatch) as hooks:
        yield hooks


def waits(repository, message: str, **more) -> Turn:
    """A turn that waits, because the store was away."""
    repository.before["get"] = [away]
    turn = ask(message, **more)
    assert turn.degraded
    return turn


def outlive(*fields: str) -> None:
    """Let these times of all turns be longer ago than turns are kept."""
    past = timezone.now() - timedelta(seconds=settings.CHAT_KEEP_TURNS_SECONDS + 60)
    Turn.objects.update(**dict.fromkeys(fields, past))


def store_and_prune() -> None:
    """What another worker does: it stores all turns; a prune long after drops their rows."""
    assert flush.flush_all()[1] == 0
    outlive("accepted_at", "stored_at")
    pruning.prune()
    assert not Turn.objects.exists()


# --- A turn that another worker stores, and whose row is pruned ---


def test_stored_after_a_long_outage__by_two_workers_and_a_prune(repository):
    waits(repository, "precious")
    outlive("accepted_at", "answered_at")
    repository.after["save"] = [lambda: (flush.flush_all(), pruning.prune())]
    assert store_waiting(OpenConversation(KEY, Deadline(10))) is not None
    assert contents() == ["precious"]


def test_stored_and_pruned__before_the_slower_worker_marks_it(repository):
    waits(repository, "precious")
    repository.after["save"] = [store_and_prune]
    assert store_waiting(OpenConversation(KEY, Deadline(10))) is not None
    assert contents() == ["precious"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_stored_and_pruned__while_its_own_request_saves(repository, when):
    getattr(repository, when)["save"] = [store_and_prune]
    assert not ask("hello").degraded
    assert contents() == ["hello"]


def test_prune__keeps_what_was_stored_just_now(repository):
    first = waits(repository, "add milk", idempotency_key="k")
    outlive("accepted_at", "answered_at")
    assert flush.flush_all() == (1, 0)
    assert pruning.prune() == 0
    repeated = ask("add milk", idempotency_key="k")
    assert (repeated.id, repeated.degraded) == (first.id, False)
    outlive("stored_at")
    assert pruning.prune() == 1


def test_prune__leaves_a_turn_that_is_taken_up_again_meanwhile(monkeypatch):
    ask("add milk", idempotency_key="k")
    outlive("accepted_at", "stored_at")
    Turn.objects.update(reply=None, failure="model_failed")
    drop = pruning._drop

    def take_up_first(*arguments):
        monkeypatch.setattr(pruning, "_drop", drop)
        accept(ChatRequest(ALICE, "add milk", "c1", "k"))
        return drop(*arguments)

    monkeypatch.setattr(pruning, "_drop", take_up_first)
    assert pruning.prune() == 0
    assert Turn.objects.get().state == Turn.State.ACCEPTED


# --- A turn that is answered while its conversation is read ---


def fail(*_):
    raise ModelFailed


def said(transcript: Transcript) -> list[tuple[str, str]]:
    """Who said it, and the turn's status."""
    return [
        (message.role, transcript.as_json(message)["status"])
        for message in transcript.state.messages
    ]


def finish_answering(accepted: Accepted) -> None:
    take(answer_accepted(accepted, Words(accepted.turn)))


def test_reading__a_turn_that_is_answered_and_stored_meanwhile_has_its_reply(repository):
    accepted = accept(ChatRequest(ALICE, "list my tasks", "c1"))
    repository.before["get"] = [partial(finish_answering, accepted)]
    assert said(read(KEY, Deadline(10))) == [("user", "stored"), ("assistant", "stored")]


def test_reading__a_failed_turn_that_is_answered_meanwhile_has_its_reply(repository, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(ModelFailed):
        patch.setattr(BuiltinAssistant, "answer", fail)
        ask("list my tasks", idempotency_key="k")
    accepted = accept(ChatRequest(ALICE, "list my tasks", "c1", "k"))
    assert said(read(KEY, Deadline(10))) == [("user", "under way")]
    repository.before["get"] = [partial(finish_answering, accepted)]
    assert said(read(KEY, Deadline(10))) == [("user", "stored"), ("assistant", "stored")]


# --- An index row that moves on while its document is read ---


@pytest.mark.parametrize("before", [[], ["hello"]], ids=["new", "known"])
def test_repair__leaves_a_row_alone_that_a_turn_has_changed_since(repository, before):
    for message in before:
        ask(message)
    repository.after["get"] = [lambda: ask("meanwhile")]
    read(KEY, Deadline(10))
    row, state = Conversation.objects.get(), document()
    assert row.message_count == len(state.messages) == 2 * len(before) + 2
    assert row.updated_at >= Turn.objects.latest("accepted_at").accepted_at
    assert row.expires_at > timezone.now()


def test_repair__does_not_bring_back_what_is_deleted_meanwhile(repository):
    ask("hello")
    Conversation.objects.all().delete()
    repository.after["get"] = [lambda: delete_conversation(KEY, Deadline(10))]
    read(KEY, Deadline(10))
    assert not Conversation.objects.get().active


def test_repair__never_sets_the_time_back(chat_store):
    ask("hello")
    older = chat_store.get_raw()
    ask("second")
    updated_at = Conversation.objects.get().updated_at
    chat_store.put_raw(older)
    read(KEY, Deadline(10))
    row = Conversation.objects.get()
    assert (row.message_count, row.updated_at) == (2, updated_at)


# --- A lease that ends while its row is saved ---


def renumbered(_row: Conversation) -> None:
    turn = Turn.objects.get()
    snapshot = Snapshot(new_conversation(KEY, timezone.now()), None)
    taken = OpenConversation(KEY, Deadline(10), snapshot=snapshot)
    assert renumber(turn, taken, 0) is not None


SAVES = {
    "accept": lambda row: accept(ChatRequest(ALICE, "hello", "c1")),
    "deletion": lambda row: mark_deleted(KEY),
    "document": lambda row: index.repair(
        OpenConversation(
            KEY, Deadline(10), row, Snapshot(new_conversation(KEY, timezone.now()), None)
        )
    ),
    "numbering": renumbered,
}


@pytest.mark.parametrize("module", SAVES)
def test_lease__that_ended_is_not_saved_again(monkeypatch, module):
    """As PostgreSQL lets it be: a lease ends without the user's lock."""
    accept(ChatRequest(ALICE, "hello", "c1"))
    Conversation.objects.update(lease_until=timezone.now() + timedelta(hours=1), lease_token="x")
    seen = Conversation.at(KEY)

    def read_and_end_the_lease(key):
        monkeypatch.undo()
        row = Conversation.at(key)
        Conversation.objects.update(lease_until=None, lease_token="")
        return row

    monkeypatch.setattr(Conversation, "at", read_and_end_the_lease)
    SAVES[module](seen)
    row = Conversation.objects.get(conversation_id="c1")
    assert (row.lease_until, row.lease_token) == (None, "")


@pytest.mark.parametrize("seconds", [3.0, 300.0])
def test_lease__outlives_what_is_done_under_it(repository, settings, seconds):
    settings.CHAT_TURN_SECONDS = seconds
    waits(repository, "hello")
    leases = []

    def look():
        until = Conversation.objects.get().lease_until
        leases.append((until - timezone.now()).total_seconds())

    repository.before["save"] = [look]
    assert flush.flush_all() == (1, 0)
    assert seconds < leases[0] <= seconds + MARGIN_SECONDS
    assert Conversation.objects.get().lease_until is None


# --- A conversation that is deleted, and begun anew under its id ---


def test_begun_anew__a_new_turn_put_into_the_old_document_is_stored_again(repository):
    ask("first")
    waits(repository, "second")

    def delete_and_begin_anew():
        mark_deleted(KEY)  # the document is not emptied yet
        waits(repository, "anew")

    repository.after["get"] = [delete_and_begin_anew]
    assert flush.flush_all() == (0, 1)
    assert Turn.objects.get().state == Turn.State.ANSWERED
    assert flush.flush_all() == (1, 0)
    assert contents() == ["anew"]
    assert Turn.objects.get().state == Turn.State.STORED


def test_begun_anew__what_another_worker_stored_in_the_new_document_stays(repository):
    ask("first")
    waits(repository, "second")

    def delete_and_begin_anew():
        mark_deleted(KEY)
        waits(repository, "anew")

    def empty_store_and_prune():
        assert apply_deletion(KEY, Deadline(10))
        store_and_prune()

    repository.after["get"] = [delete_and_begin_anew]
    repository.after["save"] = [empty_store_and_prune]
    assert store_waiting(OpenConversation(KEY, Deadline(10))) is None
    assert contents() == ["anew"]


def test_deletion__is_later_than_its_turns_and_earlier_than_the_next_ones():
    ask("first")
    ahead = timezone.now() + timedelta(hours=1)  # by the clock of another machine
    Turn.objects.update(accepted_at=ahead)
    mark_deleted(KEY)
    deleted_at = Conversation.objects.get().deleted_at
    assert deleted_at >= ahead
    assert ask("anew").accepted_at > deleted_at
    assert ask("once more").accepted_at > deleted_at


def test_purged__before_the_slower_worker_marks_what_it_stored(repository):
    waits(repository, "old")

    def store_and_purge():
        flush.flush_all()
        assert purge(PurgeOptions(older_than=timezone.now())).purged == 1

    repository.after["save"] = [store_and_purge]
    assert store_waiting(OpenConversation(KEY, Deadline(10))) is None
    assert document() is None
