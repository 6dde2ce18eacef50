"""The admin pages of quarantine and dead letters: what is shown, what is done."""

import json

import pytest
from django_redis import get_redis_connection

from chat.conversations.state import ConversationKey, decode
from chat.models import Conversation, Quarantine, Turn
from chat.repair import dead_letters
from tests.chat.drive import ALICE, ask, contents, document, get_raw, put_raw
from tests.chat.operators import (
    HOSTILE,
    RAW,
    dead,
    history,
    one_of_each,
    operator,
    quarantined,
    told,
)
from tests.chat.repair.test_corrupt import GOOD

pytestmark = pytest.mark.django_db(transaction=True)


# --- Quarantine ---


def good(conversation: str, **more) -> str:
    return json.dumps({**GOOD, "conversation_id": conversation, **more})


def test_quarantine__shows_bytes_as_text_or_as_hex():
    client = operator("view", "read")
    for number, (raw, shown, is_hex) in enumerate(
        [
            (b'{"a": "\x1b[31m<script>"}', '{"a": "\\x1b[31m<script>"}', False),
            (b"\xff\xfe<b>", "000000  ff fe 3c 62 3e           ..<b>", True),
            (b"[" * 65_536, "[" * 20_000, False),
            (b"\xff" * 1_000_000, None, True),
        ]
    ):
        copy = quarantined(raw, f"raw{number}")
        answer = client.get(f"/admin/chat/quarantine/{copy.pk}/change/")
        assert answer.status_code == 200
        assert len(answer.content) < 100_000
        assert b'<script>"' not in answer.content
        assert answer.context["shown"].is_hex == is_hex
        assert shown is None or answer.context["shown"].text == shown
        assert client.get(f"/admin/chat/quarantine/{copy.pk}/download/").content == raw
    assert client.get("/admin/chat/quarantine/").status_code == 200


def test_restore__says_when_the_copy_is_too_large_for_the_form(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10_000
    client = operator("view", "read", "change")
    small, large = (quarantined(b"x\n" * n, f"raw{n}") for n in (2_900, 3_100))
    shown = client.get(f"/admin/chat/quarantine/{small.pk}/restore/")
    assert "too large" not in shown.content.decode()
    sent = shown.context["text"].replace("\n", "\r\n")  # as browsers do
    assert (
        "no conversation"
        in client.post(shown.request["PATH_INFO"], {"document": sent}).context["error"]
    )
    shown = client.get(f"/admin/chat/quarantine/{large.pk}/restore/")
    page = shown.content.decode()
    assert (
        "too large to be edited in this form: it has 6.1\xa0KB, and a form takes 9.8\xa0KB" in page
    )
    assert f"/admin/chat/quarantine/{large.pk}/download/" in page
    assert "Begin with what was found" not in page
    assert len(shown.context["text"]) < 1_000


def test_restore__what_is_no_conversation_comes_back_with_the_reason():
    rows = one_of_each()
    client = operator("view", "read", "change")
    path = rows.path("quarantine/restore")
    assert "mess&lt;script&gt;" in client.get(path).content.decode()
    for text in ("<b>typed", good("other"), "[" * 65_536, "\x00", ""):
        answer = client.post(path, {"document": text})
        assert answer.status_code == 400
        assert "This is no conversation" in answer.content.decode()
        assert answer.context["text"] == text
    assert rows.copy.resolved_at is None
    assert history() == []


def test_restore__takes_the_place_and_stores_what_waits():
    rows = one_of_each()
    old = {"role": "user", "content": "old", "timestamp": "2025-12-25T10:00:00Z"}
    client = operator("view", "read", "change")
    answer = client.post(
        rows.path("quarantine/restore"), {"document": good("bad", messages=[old])}, follow=True
    )
    assert "The conversation is restored." in answer.content.decode()
    assert contents("bad") == ["old", "waits"]
    assert Quarantine.objects.get().resolved_at is not None
    assert history() == ["Restored an edited copy of the quarantined state."]
    row = Conversation.objects.get(conversation_id="bad")
    assert (row.corrupt, row.message_count) == (False, 3)


def test_restore__without_waiting_turns_mends_the_index():
    copy = quarantined(b"bad")
    operator("view", "read", "change").post(
        f"/admin/chat/quarantine/{copy.pk}/restore/", {"document": good("raw")}
    )
    assert document("raw").messages == []
    assert Conversation.objects.get(conversation_id="raw").active


def test_restore__text_is_kept_whatever_is_in_the_way(store_is_away, settings):
    rows = one_of_each()
    client = operator("view", "read", "change")
    path, text = rows.path("quarantine/restore"), good("bad")

    put_raw(b"other bytes", "bad")
    answer = client.post(path, {"document": text})
    assert (answer.status_code, answer.context["text"]) == (409, text)
    assert "Other bytes stand there" in answer.content.decode()
    assert get_raw("bad") == b"other bytes"

    put_raw(text.encode(), "bad")
    answer = client.post(path, {"document": text})
    assert (answer.status_code, answer.context["text"]) == (409, text)
    assert "not corrupt" in answer.content.decode()

    put_raw(b'{"conversation_id": "bad", "mess<script>', "bad")
    settings.CHAT_MAX_STATE_BYTES = 50
    answer = client.post(path, {"document": text})
    assert (answer.status_code, answer.context["text"]) == (400, text)
    assert "50 are allowed" in answer.content.decode()

    store_is_away()
    answer = client.post(path, {"document": text})
    assert (answer.status_code, answer.context["text"]) == (503, text)
    assert "Nothing was restored." in answer.content.decode()


def test_restore__where_it_has_expired_meanwhile():
    rows = one_of_each()
    get_redis_connection().delete("chat:alice:bad")
    operator("view", "read", "change").post(
        rows.path("quarantine/restore"), {"document": good("bad")}
    )
    assert contents("bad") == ["waits"]


def test_restore__not_behind_the_mark_of_a_deletion():
    ask("hello")
    operator("delete").post(f"/admin/chat/conversation/{Conversation.objects.get().pk}/delete/")
    ask("anew")
    copy = quarantined(b"bad", "c1")
    answer = operator("view", "read", "change").post(
        f"/admin/chat/quarantine/{copy.pk}/restore/", {"document": good("c1")}
    )
    assert answer.status_code == 400
    assert "created_at" in answer.content.decode()
    assert get_raw() == b"bad"


def shown_conversation(answer, conversation: str) -> list[str]:
    key = ConversationKey(ALICE, conversation)
    return [m.content for m in decode(answer.context["text"].encode(), key).messages]


def another_type(conversation: str) -> Quarantine:
    """A hash stands under the key of the conversation, and was met."""
    redis = get_redis_connection()
    redis.delete(f"chat:{ALICE}:{conversation}")
    redis.hset(f"chat:{ALICE}:{conversation}", "a", "b")
    ask("waits", conversation)
    return Quarantine.objects.get(conversation_id=conversation)


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"", b" \n"])
def test_restore__what_has_no_text_begins_with_what_the_database_holds(raw):
    ask("hello", "c9")
    copy = quarantined(raw, "c9")
    answer = operator("view", "read", "change").get(f"/admin/chat/quarantine/{copy.pk}/restore/")
    assert answer.context["begin"] == "known"
    assert shown_conversation(answer, "c9")[0] == "hello"
    assert "what the database still holds of it: 2 messages" in answer.content.decode()
    assert "Begin with what was found" not in answer.content.decode()


def test_restore__of_a_key_of_another_type_loses_nothing_by_a_click():
    ask("hello", "c9")
    copy = another_type("c9")
    path = f"/admin/chat/quarantine/{copy.pk}/restore/"
    client = operator("view", "read", "change")
    answer = client.get(path)
    assert "What was found has no bytes to edit: the key holds no string" in answer.content.decode()
    assert "Below is what was found" not in answer.content.decode()
    answer = client.post(path, {"document": answer.context["text"]}, follow=True)
    assert "The conversation is restored." in answer.content.decode()
    assert contents("c9") == ["hello", "waits"]


def test_restore__bytes_that_nobody_holds_begin_with_an_empty_conversation():
    copy = quarantined(b"\xff", "c9")
    answer = operator("view", "read", "change").get(f"/admin/chat/quarantine/{copy.pk}/restore/")
    assert answer.context["begin"] == "empty"
    assert "it is no text" in answer.content.decode()
    assert "the database holds no message of it" in answer.content.decode()
    assert shown_conversation(answer, "c9") == []


def test_restore__begins_with_what_is_asked_for():
    rows = one_of_each()
    client = operator("view", "read", "change")

    def shown(begin: str) -> str:
        return client.get(rows.path("quarantine/restore"), {"begin": begin}).context["text"]

    def messages(begin: str) -> list[str]:
        key = ConversationKey(ALICE, "bad")
        return [m.content for m in decode(shown(begin).encode(), key).messages if m.role == "user"]

    assert messages("empty") == []
    assert messages("known") == ["hello"]  # the waiting turn is stored after it
    assert shown("found") == shown("") == RAW.decode()


def test_restore__shows_json_with_a_line_for_each_value():
    client = operator("view", "read", "change")

    def shown(raw: bytes, conversation: str) -> str:
        copy = quarantined(raw, conversation)
        return client.get(f"/admin/chat/quarantine/{copy.pk}/restore/").context["text"]

    assert shown(b'{"a":[1,"\xc3\xa9"]}', "c1") == '{\n "a": [\n  1,\n  "é"\n ]\n}'
    for number, text in enumerate(('{"a":1,"a":2}', '{"a":1e999}', '"\\ud800"', "[" * 9999), 2):
        assert shown(text.encode(), f"c{number}") == text  # as it is, where that would change it


def test_salvage__previews_then_keeps_what_can_be_read():
    ask("hello", "bad")
    raw = get_raw("bad")
    put_raw(raw[: raw.rindex(b'"role"')] + b'"other"}]}', "bad")
    ask("waits", "bad")
    Turn.objects.filter(message="hello").delete()  # pruned: the database helps no more
    copy = Quarantine.objects.get()
    path = f"/admin/chat/quarantine/{copy.pk}/salvage/"
    for permissions in (("view", "change"), ("view", "read"), ("read", "change")):
        assert operator(*permissions).get(path).status_code == 403
        assert operator(*permissions, "delete").post(path).status_code == 403
    client = operator("view", "read", "change")
    answer = client.get(path)
    assert "Kept: 1 message<" in answer.content.decode()
    assert "hello" in answer.content.decode()
    assert history() == []
    answer = client.post(path, follow=True)
    assert "The conversation is restored" in answer.content.decode()
    assert contents("bad") == ["hello", "waits"]
    assert history() == ["Restored what could be read of the quarantined state: 1 message."]


def test_salvage__takes_from_the_database_what_the_copy_lost():
    ask("hello", "bad")
    put_raw(get_raw("bad")[:200], "bad")
    ask("waits", "bad")
    copy = Quarantine.objects.get()
    path = f"/admin/chat/quarantine/{copy.pk}/salvage/"
    answer = operator("view", "read", "change").get(path)
    assert "Kept: 2 messages" in answer.content.decode()


def test_salvage__of_nothing_changes_nothing():
    client = operator("view", "read", "change")
    foreign = good("bad", messages=[]).replace(ALICE, "bob").encode()
    for raw in (b"\xff", foreign):
        copy = quarantined(raw, "bad")
        path = f"/admin/chat/quarantine/{copy.pk}/salvage/"
        assert "Keep these messages" not in client.get(path).content.decode()
        assert client.post(path).status_code == 409
        assert get_raw("bad") == raw


def test_list__shows_the_exact_size():
    for size in range(5):
        quarantined(b"x" * size, f"c{size}")
    rows = operator("view", "read").get("/admin/chat/quarantine/").context["cl"].result_list
    assert {row.conversation_id: row.size for row in rows} == {f"c{n}": n for n in range(5)}


def test_discard__an_empty_conversation_then_the_copy():
    rows = one_of_each()
    client = operator("view", "read", "delete")
    assert client.post(rows.path("quarantine/drop")).status_code == 409
    answer = client.post(rows.path("quarantine/discard"), follow=True)
    assert "The corrupt state is discarded" in answer.content.decode()
    assert contents("bad") == ["waits"]
    answer = client.post(rows.path("quarantine/drop"), follow=True)
    assert "The copy is deleted." in answer.content.decode()
    assert not Quarantine.objects.exists()
    assert history() == ["Discarded the corrupt state.", "Deleted a copy of a quarantined state."]


def test_discard__says_what_is_lost_and_what_is_not_stored_again():
    ask("hello", "bad")
    ask("again", "bad")
    copy = quarantined(b"\xff", "bad")
    ask("waits", "bad")
    path = f"/admin/chat/quarantine/{copy.pk}/discard/"
    client = operator("view", "read", "change", "delete")
    said = client.get(path).content.decode()
    assert "4 messages by the index" in said
    assert "still holds 2 stored turns of it. They are <strong>not</strong> stored again" in said
    assert "1 turn waits, and is stored" in said
    assert "restore/?begin=known" in said
    assert "restore/?begin=known" not in operator("delete").get(path).content.decode()
    client.post(path)
    assert contents("bad") == ["waits"]  # and so it is
    answer = client.post(f"/admin/chat/quarantine/{copy.pk}/restore/", {"document": good("bad")})
    assert answer.status_code == 409  # nor afterwards


def test_discard__of_what_the_database_does_not_hold():
    copy = quarantined(b"\xff", "c9")
    said = operator("delete").get(f"/admin/chat/quarantine/{copy.pk}/discard/").content.decode()
    assert "holds no stored turn of it" in said


def test_discard__while_the_store_is_away(store_is_away):
    rows = one_of_each()
    store_is_away()
    answer = operator("view", "read", "delete").post(rows.path("quarantine/discard"))
    assert answer.status_code == 503
    assert "does not answer" in answer.content.decode()
    assert Quarantine.objects.get().resolved_at is None
    page = operator("view", "read").get(rows.path("quarantine/change"))
    assert page.status_code == 200
    assert "does not answer" in page.content.decode()


# --- Dead letters ---


def test_letter__is_shown_as_text():
    rows = one_of_each()
    client = operator("view", "read")
    content = client.get(rows.path("deadletter/change")).content.decode()
    assert "<script>alert" not in content
    assert "&lt;script&gt;alert" in content
    assert "The store refuses it." in content
    assert "<script>alert" not in client.get(rows.path("deadletter")).content.decode()


def test_retry__as_it_is():
    rows = one_of_each()
    ask("later", "full")
    answer = operator("view", "read", "change").post(rows.path("deadletter/retry"), follow=True)
    assert "The turn is stored." in answer.content.decode()
    assert contents("full") == [HOSTILE, "later"]  # it is there already: replaced, not doubled
    assert history() == [f"Retried a dead letter. Turn {rows.letter.pk}."]


def test_retry__is_refused_again(settings):
    rows = one_of_each()
    settings.CHAT_MAX_STATE_BYTES = 100
    get_redis_connection().flushall()
    answer = operator("view", "read", "change").post(rows.path("deadletter/retry"), follow=True)
    assert "The store refuses it again" in answer.content.decode()
    assert Turn.objects.get(pk=rows.letter.pk).state == Turn.State.DEAD_LETTER


def test_retry__while_the_store_is_away(store_is_away):
    rows = one_of_each()
    store_is_away()
    client = operator("view", "read", "change")
    client.post(rows.path("deadletter/retry"))
    assert "back in the queue" in told(client)
    assert Turn.objects.get(pk=rows.letter.pk).state == Turn.State.ANSWERED


def test_edit__goes_into_its_old_place():
    rows = one_of_each()
    get_redis_connection().delete("chat:alice:full")
    ask("later", "full")
    call = {"tool": "add_task", "parameters": {"title": "x"}, "result": {"cut": True}}
    operator("view", "read", "change").post(
        rows.path("deadletter/edit"),
        {"message": "edited\r\nit", "reply": "", "tool_calls": json.dumps([call])},
    )
    assert contents("full") == ["edited\nit", "later"]
    assert document("full").messages[1].tool_calls[0].result == {"cut": True}
    assert history() == [f"Edited and retried a dead letter. Turn {rows.letter.pk}."]


@pytest.mark.parametrize(
    "typed",
    [
        {"message": ""},
        {"message": "nul \x00"},
        {"message": "x" * 100_001},
        {"reply": "\x1b"},
        {"tool_calls": "[1]"},
        {"tool_calls": "{"},
        {"tool_calls": "[" * 65_536},
        {"tool_calls": '[{"tool": "a", "parameters": {}}]'},
        {"tool_calls": '[{"tool": "a", "parameters": {"a": NaN}, "result": {}}]'},
    ],
)
def test_edit__what_no_conversation_can_hold_comes_back(typed):
    rows = one_of_each()
    data = {"message": "m", "reply": "r", "tool_calls": "[]", **typed}
    answer = operator("view", "read", "change").post(rows.path("deadletter/edit"), data)
    assert answer.status_code == 400
    assert {name: answer.context[name] for name in data} == data
    assert answer.context["error"]
    assert Turn.objects.get(pk=rows.letter.pk).message == HOSTILE


def test_discard_letter__after_a_question():
    rows = one_of_each()
    client = operator("view", "read", "delete")
    assert "gone for good" in client.get(rows.path("deadletter/discard")).content.decode()
    assert Turn.objects.filter(pk=rows.letter.pk).exists()
    client.post(rows.path("deadletter/discard"))
    assert not Turn.objects.filter(pk=rows.letter.pk).exists()
    assert history() == [f"Discarded a dead letter. Turn {rows.letter.pk}."]
    assert client.post(rows.path("deadletter/discard")).status_code == 404


def test_letter__that_is_none_any_more():
    turn = ask("hello")
    assert not dead_letters.requeue(turn)
    assert not dead_letters.discard(turn)
    dead(turn)
    assert dead_letters.requeue(turn)
    assert Turn.objects.get().user_id == ALICE
