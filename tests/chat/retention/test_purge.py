"""purge_expired_conversations: what goes, what stays, and what it says."""

import threading
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone
from django_redis import get_redis_connection

from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.models import ChatUser, Conversation, Quarantine, Turn
from chat.retention.purge import purge
from chat.retention.sweep import PurgeOptions, Report, sweep
from chat.turns.deletion import delete_conversation
from chat.turns.flush import leased
from tests.chat.drive import (
    ALICE,
    ask,
    away,
    contents,
    document,
    failing_once,
    hooked,
    nothing,
    put_raw,
)
from tests.connectors import redis_keys

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


def run(*arguments: str) -> str:
    """What the command says."""
    out = StringIO()
    call_command("purge_expired_conversations", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def age(days: int) -> None:
    """Let everything in the database and the store be older."""
    past = timezone.now() - timedelta(days=days)
    Conversation.objects.update(updated_at=past)
    Turn.objects.update(accepted_at=past)
    redis = get_redis_connection()
    for key in redis_keys("chat:*"):
        text = redis.get(key).decode(errors="replace")
        ttl = redis.pttl(key)
        redis.set(key, text.replace(str(timezone.now().year), "2001"), px=ttl if ttl > 0 else None)


def expire(conversation: str = "c1") -> None:
    """Let it be over, in the store and by the index."""
    get_redis_connection().delete(f"chat:{ALICE}:{conversation}")
    Conversation.objects.filter(conversation_id=conversation).update(expires_at=timezone.now())


def everything() -> tuple:
    """All that a purge could change."""
    redis = get_redis_connection()
    return (
        {key: redis.get(key) for key in redis_keys("chat:*")},
        *(list(m.objects.values()) for m in (Conversation, Turn, Quarantine, ChatUser)),
    )


@pytest.fixture
def hooks(monkeypatch):
    """Hooks around the repository, the purge's too."""
    with hooked(monkeypatch) as repository:
        monkeypatch.setattr("chat.retention.purge.conversation_repository", lambda: repository)
        yield repository


# --- What goes ---


def test_expired__leaves_nothing_of_it():
    put_raw(b"corrupt")
    ask("hello")
    ask("hello", "c2")
    Turn.objects.filter(conversation_id="c1").update(state=Turn.State.STORED)
    expire()
    assert run() == (
        "1 conversation purged, 0 kept, 0 failed "
        "(0 states, 1 index row, 1 turn, 1 quarantined copy)"
    )
    assert Conversation.objects.get().conversation_id == "c2"
    assert Turn.objects.get().conversation_id == "c2"
    assert not Quarantine.objects.exists()
    assert run().startswith("0 conversations purged, 0 kept, 0 failed (0 ")


def test_older_than__deletes_from_the_store():
    ask("hello")
    age(10)
    assert run("--older-than", "11").startswith("0 ")
    assert document() is not None
    assert run("--older-than", "9", "--user", "bob").startswith("0 ")
    assert run("--older-than", "9").endswith("(1 state, 1 index row, 1 turn, 0 quarantined copies)")
    assert document() is None


def test_progress__on_a_pipe_is_each_batch_but_the_last_which_is_the_result():
    for number in range(3):
        ask("hello", f"c{number}")
    age(10)
    out, err = StringIO(), StringIO()
    options = ("--older-than", "9", "--dry-run", "--batch-size", "1")
    call_command("purge_expired_conversations", *options, stdout=out, stderr=err)
    assert err.getvalue().splitlines() == [
        "1 conversation would be purged, 0 kept, 0 failed so far",
        "2 conversations would be purged, 0 kept, 0 failed so far",
    ]
    assert out.getvalue().count("3 conversations would be purged") == 1


def test_dry_run__says_which_and_changes_nothing():
    ask("hello", user="al\x9bi\u202ece")
    ask("new", "c2")
    Conversation.objects.filter(conversation_id="c1").update(updated_at=timezone.now() - 10 * DAY)
    redis = get_redis_connection()
    key = redis_keys("chat:*:c1")[0]
    redis.set(key, redis.get(key).decode().replace(str(timezone.now().year), "2001"), px=10**9)
    before = everything()
    line, total = run("--older-than", "9", "--dry-run").splitlines()
    assert everything() == before
    kind, user, conversation, used, expires = line.split("\t")
    assert (kind, user, conversation) == ("conversation", r"al\x9bi\u202ece", "c1")
    assert used.startswith("last used 2")
    assert expires.startswith("expires 2")
    assert total == (
        "1 conversation would be purged, 0 kept, 0 failed "
        "(1 state, 1 index row, 1 turn, 0 quarantined copies)"
    )


def test_batches__all_are_seen_and_told():
    for number in range(5):
        ask("hello", f"c{number}")
        expire(f"c{number}")
    told = []
    report = purge(PurgeOptions(batch_size=2), lambda report: told.append(report.looked_at))
    assert (report.purged, told) == (5, [2, 4, 5])


def test_batches__of_one_moment_are_seen_once_even_if_they_stay(hooks):
    for number in range(3):
        ask("hello", f"c{number}")
    age(10)
    for expires_at in (timezone.now() - DAY, timezone.now() + DAY, None):
        Conversation.objects.update(expires_at=expires_at)
        hooks.before["delete"] = [away] * 6
        report = purge(PurgeOptions(batch_size=2, older_than=timezone.now() - DAY))
        assert (report.looked_at, report.failed) == (3, 3)


def test_numbers__are_not_given_out_again():
    first = ask("hello", None)
    chosen = ask("hello", 7)
    for turn in (first, chosen):
        expire(turn.conversation_id)
    run()
    # The counter knows of 1; that 7 was taken only its row says.
    assert [row.conversation_id for row in Conversation.objects.all()] == ["7"]
    assert Conversation.objects.get().title == ""
    assert ask("hello", None).conversation_id == "2"


def test_never_stored__goes_after_a_lifetime(settings):
    ask("hello")
    get_redis_connection().flushall()
    Conversation.objects.update(expires_at=None, message_count=0)
    assert run().startswith("0 conversations purged, 0 kept")
    age(31)
    assert run().startswith("1 conversation purged")


def test_dead_letter__stays_as_long_as_a_conversation_does():
    ask("hello")
    expire()
    Turn.objects.update(state=Turn.State.DEAD_LETTER)
    assert run().startswith("0 conversations purged, 1 kept")
    Turn.objects.update(accepted_at=timezone.now() - 31 * DAY)
    assert run().startswith("1 conversation purged")
    assert not Turn.objects.exists()


# --- What is left of conversations that are over ---


def test_deleted__its_row_goes_when_its_mark_is_needed_no_more():
    ask("hello")
    assert delete_conversation(ConversationKey(ALICE, "c1"), Deadline(5))
    assert "0 index rows" in run()
    Conversation.objects.update(deleted_at=timezone.now() - 31 * DAY)
    assert run("--dry-run").splitlines()[0].startswith("row\talice\tc1\t")
    assert Conversation.objects.exists()
    assert "1 index row" in run()
    assert not Conversation.objects.exists()


def test_deleted__rows_that_stay_cost_no_query_each(django_assert_num_queries):
    ask("hello")
    one = Conversation.objects.get()
    for number in range(5):
        ask("hello", str(1000 + number))  # numbers that can still be given out
    Conversation.objects.exclude(pk=one.pk).update(active=False)
    with django_assert_num_queries(4):
        sweep(PurgeOptions(), Report())
    assert Conversation.objects.count() == 6


def test_deleted__its_row_stays_while_the_deletion_waits(hooks):
    ask("hello")
    hooks.before["get"] = [away]
    assert not delete_conversation(ConversationKey(ALICE, "c1"), Deadline(5))
    Conversation.objects.update(deleted_at=timezone.now() - 31 * DAY)
    assert "0 index rows" in run()


def test_copies__go_when_they_are_resolved_and_old():
    ask("hello")
    for number, (found, resolved) in enumerate([(31, True), (31, False), (1, True)]):
        Quarantine.objects.create(
            user_id=ALICE,
            conversation_id="c1",
            digest=str(number),
            content_base64="",
            found_at=timezone.now() - found * DAY,
            resolved_at=timezone.now() if resolved else None,
        )
    assert run("--dry-run").splitlines()[0].startswith("copy\talice\tc1\t")
    assert "1 quarantined copy" in run()
    assert set(Quarantine.objects.values_list("digest", flat=True)) == {"1", "2"}


def test_copies__of_a_conversation_that_was_deleted_go_at_once():
    ask("hello")
    delete_conversation(ConversationKey(ALICE, "c1"), Deadline(5))
    Quarantine.objects.create(user_id=ALICE, conversation_id="c1", digest="", content_base64="")
    assert "1 quarantined copy" in run()


# --- What stays ---


def test_in_use__says_the_store():
    ask("hello")
    Conversation.objects.update(expires_at=timezone.now() - DAY)
    assert run().startswith("0 conversations purged, 1 kept, 0 failed")
    assert contents() == ["hello"]
    assert Conversation.objects.get().expires_at > timezone.now()


def test_turn_under_way__keeps_its_conversation():
    ask("hello")
    expire()
    Turn.objects.update(state=Turn.State.ACCEPTED, lease_until=timezone.now() + DAY)
    assert run().startswith("0 conversations purged, 1 kept, 0 failed")
    assert Turn.objects.exists()


@pytest.mark.parametrize("call", ["get", "delete"])
def test_used_meanwhile__before_the_delete(hooks, call):
    ask("hello")
    age(10)
    hooks.before[call] = [lambda: ask("in use")]
    assert run("--older-than", "9").startswith("0 conversations purged, 1 kept, 0 failed")
    assert contents()[-1] == "in use"
    row = Conversation.objects.get()
    assert row.active
    assert row.expires_at > timezone.now()


def test_written_meanwhile__by_another_program(hooks):
    ask("hello")
    age(10)
    expires_at = Conversation.objects.get().expires_at
    raw = get_redis_connection().get("chat:alice:c1")
    hooks.before["delete"] = [lambda: put_raw(raw + b" ")]
    assert run("--older-than", "9").startswith("0 conversations purged, 1 kept, 0 failed")
    assert Conversation.objects.get().expires_at == expires_at


def test_used_meanwhile__after_the_delete(hooks):
    ask("hello")
    age(10)
    hooks.after["delete"] = [lambda: ask("begins anew")]
    assert run("--older-than", "9").startswith("0 conversations purged, 1 kept, 0 failed")
    assert contents() == ["begins anew"]
    assert Conversation.objects.get().active
    assert Turn.objects.filter(message="begins anew").exists()


def test_another_purge__has_the_lease():
    ask("hello")
    age(10)
    with leased(ConversationKey(ALICE, "c1"), Deadline(10)):
        assert run("--older-than", "9").startswith("0 conversations purged, 1 kept, 0 failed")
    assert run("--older-than", "9").startswith("1 conversation purged")


def test_twice_at_once__each_goes_once():
    for number in range(12):
        ask("hello", f"c{number}")
    age(10)
    reports: list[Report] = []
    options = PurgeOptions(older_than=timezone.now() - 9 * DAY, batch_size=3)
    barrier = threading.Barrier(2)

    def work() -> None:
        barrier.wait(10)
        reports.append(purge(options))
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(report.purged for report in reports) == 12
    assert sum(report.states for report in reports) == 12
    assert [report.failed for report in reports] == [0, 0]
    assert not Conversation.objects.exists()


# --- Corrupt ones ---


def test_corrupt__waits_for_an_operator():
    ask("hello")
    put_raw(b"corrupt")
    Conversation.objects.update(expires_at=timezone.now())
    assert run().startswith("0 conversations purged, 1 kept, 0 failed")


def test_corrupt__older_than_removes_it():
    ask("hello")
    age(10)
    put_raw(b"corrupt")
    Quarantine.objects.create(user_id=ALICE, conversation_id="c1", digest="", content_base64="")
    assert run("--older-than", "9").endswith("(1 state, 1 index row, 1 turn, 1 quarantined copy)")
    assert get_redis_connection().get("chat:alice:c1") is None
    assert not Quarantine.objects.exists()


# --- Failures ---


def test_failure__goes_on_and_ends_with_1(hooks):
    ask("hello", "c1")
    ask("hello", "c2")
    age(10)
    hooks.before["get"] = [away, nothing]
    with pytest.raises(CommandError, match="1 conversation failed"):
        run("--older-than", "9", "--batch-size", "1")
    assert (document("c1") is None, document("c2") is None) == (False, True)


@pytest.mark.parametrize("error", [OperationalError("locked"), InterfaceError("closed")])
def test_database_fails__at_a_conversation_goes_on_and_ends_with_1(error):
    ask("hello", "c1")
    ask("hello", "c2")
    age(10)
    with (
        failing_once(error, 'DELETE FROM "chat_turn"'),
        pytest.raises(CommandError, match="1 conversation failed"),
    ):
        run("--older-than", "9")
    assert (document("c1"), document("c2")) == (None, None)
    assert Conversation.objects.get().conversation_id == "c1"
    assert run().startswith("1 conversation purged")


@pytest.mark.parametrize("error", [OperationalError("locked"), InterfaceError("closed")])
@pytest.mark.parametrize("what", ["quarantine", "conversation"])
@pytest.mark.parametrize("statement", ["DELETE", "SELECT"])
def test_database_fails__in_the_sweep_goes_on_and_ends_with_1(error, what, statement):
    for conversation in ("c1", "c2"):
        ask("hello", conversation)
        delete_conversation(ConversationKey(ALICE, conversation), Deadline(5))
        Quarantine.objects.create(
            user_id=ALICE, conversation_id=conversation, digest="", content_base64=""
        )
    Conversation.objects.update(deleted_at=timezone.now() - 31 * DAY)
    beginning = f'{statement} FROM "chat_{what}"'
    if statement == "SELECT":
        beginning = f'SELECT "chat_{what}"."id", "chat_{what}"."user_id"'
    report = Report()
    with failing_once(error, beginning):
        sweep(PurgeOptions(batch_size=1), report)
    assert report.failed == 1
    left = {"quarantine": Quarantine.objects.count(), "conversation": Conversation.objects.count()}
    assert left.pop(what) == (1 if statement == "DELETE" else 2)
    assert set(left.values()) == {0}


def test_store_away__it_gives_up_after_some(hooks, settings):
    settings.CHAT_STORE_PAUSE_SECONDS = 0
    for number in range(12):
        ask("hello", f"c{number}")
    age(10)
    hooks.before["get"] = [away] * 12
    report = purge(PurgeOptions(older_than=timezone.now() - 9 * DAY))
    assert (report.failed, report.looked_at) == (10, 10)
    assert Conversation.objects.filter(active=True).count() == 12


def test_another_store__takes_nothing_away():
    ask("hello")
    age(10)
    get_redis_connection().flushall()
    before = everything()
    with pytest.raises(CommandError):
        run("--older-than", "9", "--dry-run")
    assert everything() == before
    with pytest.raises(CommandError):
        run("--older-than", "9")
    assert everything() == before


def test_answer_lost__the_next_run_finishes(hooks):
    ask("hello")
    age(10)
    hooks.after["delete"] = [away]
    with pytest.raises(CommandError):
        run("--older-than", "9")
    assert run("--older-than", "9").startswith("1 conversation purged, 0 kept, 0 failed")
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("arguments", [("--older-than", "-1"), ("--batch-size", "0")])
def test_arguments__out_of_range(arguments):
    with pytest.raises(CommandError):
        run(*arguments)
