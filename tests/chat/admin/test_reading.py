"""Reading what was said: who may, and that it is recorded. Looking changes nothing."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_redis import get_redis_connection

from chat.models import Conversation, Turn
from chat.repair.dead_letters import discard
from common.events.models import Event
from tests.chat.calls import Api
from tests.chat.drive import ask, away, contents, flushed, hooked, put_raw
from tests.chat.operators import dead, one_of_each, operator

pytestmark = pytest.mark.django_db(transaction=True)
SAID = "the secret of Contoso"


def page_of(client, conversation: str = "c1") -> str:
    row = Conversation.objects.get(conversation_id=conversation)
    return client.get(f"/admin/chat/conversation/{row.pk}/change/").content.decode()


def timeline(client, conversation: str = "c1") -> list[str]:
    """What happened, newest first."""
    row = Conversation.objects.get(conversation_id=conversation)
    context = client.get(f"/admin/chat/conversation/{row.pk}/change/").context
    return [entry.words for entry in context["timeline"]]


def readings() -> list[tuple[str, str, str]]:
    events = Event.objects.filter(kind="read").order_by("id")
    return list(events.values_list("actor", "message", "conversation_id"))


# --- Who may ---


def test_viewer__sees_names_and_states_and_nothing_that_was_said():
    ask(SAID)
    put_raw(SAID.encode(), "bad")
    ask(SAID, "bad")
    letter = ask(SAID, "full")
    dead(letter, f"It can't be {SAID}.")
    viewer = operator("view")
    for model in ("conversation", "quarantine", "deadletter"):
        text = viewer.get(f"/admin/chat/{model}/").content.decode()
        assert "alice" in text
        assert SAID not in text
    for conversation in ("c1", "bad", "full"):
        text = page_of(viewer, conversation)
        assert "Timeline" in text
        assert SAID not in text
    copy = viewer.get("/admin/chat/quarantine/").context["cl"].result_list[0]
    assert SAID not in viewer.get(f"/admin/chat/quarantine/{copy.pk}/change/").content.decode()
    assert viewer.get(f"/admin/chat/deadletter/{letter.pk}/change/").status_code == 403
    assert readings() == []


def test_viewer__finds_nobody_by_what_was_said():
    ask(SAID)
    for client, number in ((operator("view"), 0), (operator("view", "read"), 1)):
        found = client.get("/admin/chat/conversation/", {"q": "Contoso"}).context["cl"]
        assert found.result_count == number
        assert client.get("/admin/chat/conversation/", {"q": "alice"}).context["cl"].result_count
        assert ("title" in found.search_help_text) == bool(number)


def test_reader__is_recorded_before_anything_is_shown(monkeypatch):
    rows = one_of_each()
    reader = operator("view", "read")
    Event.objects.all().delete()
    for page in ("conversation/change", "conversation/export", "quarantine/change"):
        assert reader.get(rows.path(page)).status_code == 200
    reader.get(rows.path("deadletter/change"))
    assert readings() == [
        ("view-read", "Read: conversation (Conversation).", "c1"),
        ("view-read", "Read: conversation (Export).", "c1"),
        ("view-read", "Read: quarantined state (Quarantined state).", "bad"),
        ("view-read", "Read: dead letter (Dead letter).", "full"),
    ]
    reader.get(rows.path("conversation"))
    assert readings()[-1] == ("view-read", "Looked at a list: Conversations.", "")

    def fails(*args, **kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr("chat.admin.pages.record", fails)
    answer = reader.get(rows.path("conversation/change"))
    assert answer.status_code == 500
    assert b"alert(1)" not in answer.content


def test_whoever_may_change_alone__retries_without_reading():
    rows = one_of_each()
    answer = operator("view", "change").post(rows.path("deadletter/retry"), follow=True)
    assert answer.status_code == 200
    assert Turn.objects.get(pk=rows.letter.pk).state == Turn.State.STORED
    discard(rows.letter)


# --- A trace ---


def test_degraded__says_so_for_as_long_as_the_conversation_lives(monkeypatch):
    reader = operator("view", "read")
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        ask("hello")
    flushed()
    Turn.objects.all().delete()  # as pruning does, a day later
    words = "Answered degraded: the conversation store did not answer."
    assert page_of(reader).count(words) == 3  # at the head, beside the turn, in the timeline
    assert words in timeline(operator("view"))
    assert contents() == ["hello"]
    operator("delete").post(
        f"/admin/chat/conversation/{Conversation.objects.get().pk}/delete/", follow=True
    )
    assert words not in timeline(reader)


def test_timeline__why_context_was_lost():
    rows = one_of_each()
    viewer = operator("view")
    found = timeline(viewer, "bad")
    assert "Answered degraded: what is stored could not be read." in found
    assert any(words.startswith("What is stored can't be read: ") for words in found)
    operator("delete").post(rows.path("conversation/delete"))
    assert "Deleted." in timeline(viewer)
    assert "conversation “alice:c1”: Deleted the conversation." in timeline(viewer)


def test_conversation__begins_with_why_context_may_be_missing():
    ask("hello")
    event = {"kind": "degraded", "area": "chat", "user_id": "alice", "conversation_id": "c1"}
    for number in range(5):
        Event.objects.create(**event, message=f"Degraded {number}.")
    head, _ = page_of(operator("view")).split('class="chat-columns"')
    assert "Why context may be missing" in head
    assert [number for number in range(5) if f"Degraded {number}." in head] == [2, 3, 4]


def test_timeline__expiry_outlives_the_next_message():
    api = Api()
    ask("hello")
    get_redis_connection().delete("chat:alice:c1")
    past = timezone.now() - timedelta(hours=3)
    Conversation.objects.update(expires_at=past)
    viewer = operator("view")
    assert "Expired." in timeline(viewer)
    assert api.chat("hello again", "c1").status_code == 200
    assert Event.objects.get(kind="expiry").at == past
    assert "Expired: the next message begins it again." in timeline(viewer)


def test_timeline__what_the_store_lost():
    api = Api()
    ask("hello")
    get_redis_connection().delete("chat:alice:c1")
    past = timezone.now() - timedelta(hours=3)
    Conversation.objects.update(expires_at=past)
    assert api.call("get", api.path("c1", "/messages")).status_code == 404
    assert Conversation.objects.get().expires_at == past
    assert "Expired: the store has it no more." in timeline(operator("view"))


def test_timeline__outages_while_it_lived():
    ask("hello")
    hour = timedelta(hours=1)
    now = timezone.now()
    for began, ended in ((now - 9 * hour, now - 8 * hour), (now, now + hour)):
        Event.objects.create(
            kind="outage",
            area="service",
            at=began,
            ended_at=ended,
            message="Conversation store: no answer.",
        )
    found = [words for words in timeline(operator("view")) if "no answer" in words]
    until = f"{now + hour:%Y-%m-%d %H:%M:%S} UTC"
    assert found == [f"Conversation store: no answer. It ended {until}."]


def test_looking__rewrites_no_expiry():
    ask("hello")
    get_redis_connection().delete("chat:alice:c1")
    before = list(Conversation.objects.values())
    client = operator("view", "read")
    for _ in range(2):
        page_of(client)
    assert list(Conversation.objects.values()) == before
