"""The admin pages of conversations: who may, what is shown, what is done."""

import json
import logging
import re
from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry

from chat.models import Conversation, Quarantine, Turn
from tests.chat.drive import ask, away, contents, document, get_raw, hooked
from tests.chat.operators import HOSTILE, history, many_rows, one_of_each, operator, told

pytestmark = pytest.mark.django_db(transaction=True)

READ = {
    "conversation": "view",
    "conversation/change": "view",
    "conversation/export": "view read",
    "conversation/raw": "view read",
    "conversation/history": "view",
    "conversation/delete": "delete",
    "quarantine": "view",
    "quarantine/change": "view",
    "quarantine/download": "view read",
    "quarantine/restore": "view read change",
    "quarantine/salvage": "view read change",
    "quarantine/discard": "delete",
    "quarantine/drop": "delete",
    "deadletter": "view",
    "deadletter/change": "view read",
    "deadletter/edit": "view read change",
    "deadletter/discard": "delete",
}
WRITE = {
    "conversation/delete": "delete",
    "conversation/replay": "change",
    "quarantine/restore": "view read change",
    "quarantine/salvage": "view read change",
    "quarantine/discard": "delete",
    "quarantine/drop": "delete",
    "deadletter/retry": "change",
    "deadletter/edit": "view read change",
    "deadletter/discard": "delete",
}
ALL = {"view", "read", "change", "delete"}


# --- Who may ---


def rows_now() -> list:
    return [list(m.objects.values()) for m in (Conversation, Turn, Quarantine, LogEntry)]


@pytest.mark.parametrize("page", sorted({*READ, *WRITE}))
def test_permission__without_it_every_url_is_403(page):
    rows = one_of_each()
    before = rows_now()
    needed = set(READ.get(page, WRITE.get(page, "")).split())
    for lacking in needed:
        others = ALL - {lacking}
        client = operator(*sorted(others))
        for method in ("get", "post", "put", "delete"):
            assert getattr(client, method)(rows.path(page)).status_code == 403, (lacking, method)
    nobody = operator()
    assert nobody.get(rows.path(page)).status_code == 403
    assert nobody.post(rows.path(page)).status_code == 403
    assert nobody.get("/admin/chat/quarantine/999/change/").status_code == 403
    assert rows_now() == before


@pytest.mark.parametrize("page", READ)
def test_permission__with_it_the_page_opens_and_no_cache_keeps_it(page):
    rows = one_of_each()
    answer = operator(*READ[page].split()).get(rows.path(page))
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"] or page.endswith("history") or "/" not in page


@pytest.mark.parametrize("page", WRITE)
def test_csrf__a_post_without_its_token_is_refused(page):
    rows = one_of_each()
    before = rows_now()
    client = operator(*WRITE[page].split())
    client.handler.enforce_csrf_checks = True
    assert client.post(rows.path(page)).status_code == 403
    assert rows_now() == before


def test_permission__a_viewer_sees_no_actions():
    rows = one_of_each()
    viewer = operator("view", "read")
    for page in ("conversation/change", "quarantine/change", "deadletter/change"):
        content = viewer.get(rows.path(page)).content.decode()
        for word in ("Replay", "Delete", "Retry", "Restore", "Discard"):
            assert word not in content
    assert 'name="action"' not in viewer.get(rows.path("conversation")).content.decode()


def test_django_forms__do_not_exist():
    rows = one_of_each()
    client = operator(*ALL)
    for model in ("conversation", "quarantine", "deadletter"):
        assert client.get(f"/admin/chat/{model}/add/").status_code == 404
        data = {"action": "delete_selected", "_selected_action": rows.conversation.pk, "post": "y"}
        client.post(f"/admin/chat/{model}/", data)
    assert client.post(rows.path("conversation/change"), {"title": "x"}).status_code == 405
    assert (Conversation.objects.count(), Quarantine.objects.count()) == (3, 1)


def test_ids__that_are_none_are_404():
    client = operator(*ALL)
    for path in ("conversation/99", "conversation/" + "9" * 40, "deadletter/x", "quarantine/99"):
        assert client.get(f"/admin/chat/{path}/change/").status_code == 404


# --- The list ---


def listed(client, query: str = "") -> list[str]:
    answer = client.get(f"/admin/chat/conversation/?{query}")
    assert answer.status_code == 200
    return [row.conversation_id for row in answer.context["cl"].result_list]


def test_list__columns_search_and_filters():
    rows = one_of_each()
    client = operator("view", "read")
    assert set(listed(client)) == {"c1", "bad", "full"}
    assert listed(client, "turns=pending") == ["bad"]
    assert listed(client, "turns=dead") == ["full"]
    assert listed(client, "state=corrupt") == ["bad"]
    assert listed(client, "expires=past") == []
    assert set(listed(client, "expires=later")) >= {"c1"}
    assert listed(client, "q=full") == ["full"]
    assert set(listed(client, "q=scrip")) == {"c1", "full"}
    assert set(listed(client, "q=ali")) == {"c1", "bad", "full"}
    content = client.get("/admin/chat/conversation/").content.decode()
    assert "1 dead letter" in content
    assert "<script>alert" not in content
    assert rows.path("conversation/change") in content


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("updated_from=2026-01-02", {"second", "third"}),
        ("updated_to=2026-01-02", {"first", "second"}),
        ("updated_from=2026-01-02&updated_to=2026-01-02", {"second"}),
        ("updated_from=2026-01-02&updated_to=2026-01-01", set()),
        ("updated_from=&updated_to=+", {"first", "second", "third"}),
        ("updated_from=2026-01-02&q=third", {"third"}),
    ],
)
def test_list__between_two_days_both_included(query, names):
    moments = {
        "first": datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC),
        "second": datetime(2026, 1, 2, tzinfo=UTC),
        "third": datetime(2026, 1, 3, tzinfo=UTC),
    }
    for name, moment in moments.items():
        Conversation.objects.create(
            user_id="ada", conversation_id=name, id_is_integer=False, updated_at=moment
        )
    assert set(listed(operator("view", "read"), query)) == names


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "9999-12-31", "<script>", "\0"])
def test_list__what_is_no_day_lists_nothing_and_is_told(day):
    one_of_each()
    answer = operator("view", "read").get(
        "/admin/chat/conversation/", {"updated_to": day, "q": "a&b"}
    )
    page = answer.content.decode()
    assert answer.status_code == 200
    assert list(answer.context["cl"].result_list) == []
    assert "take days such as 2026-01-31. Nothing is listed." in page
    assert '<input type="hidden" name="q" value="a&amp;b">' in page
    assert "<script>" not in page.replace("<script src", "")


@pytest.mark.parametrize("model", ["conversation", "quarantine", "deadletter"])
def test_list__counts_results_when_somebody_searched(model):
    one_of_each()
    client = operator("view", "read")
    assert "Show all" not in client.get(f"/admin/chat/{model}/").content.decode()
    searched = client.get(f"/admin/chat/{model}/?q=a").content.decode()
    assert "Show all" in searched


def test_names__marks_are_written_out_wherever_they_stand():
    whose = {"user_id": "gnp\u202eexe", "conversation_id": "c1", "id_is_integer": False}
    row = Conversation.objects.create(**whose, title="t\u2066")
    turn = ask("hello", "c1")
    Turn.objects.filter(pk=turn.pk).update(**whose, state=Turn.State.DEAD_LETTER)
    del whose["id_is_integer"]
    copy = Quarantine.objects.create(**whose, digest="d" * 64, content_base64="/w==", reason="r")
    client = operator("view", "read", "change", "delete")
    beneath = {
        f"conversation/{row.pk}/": ["change", "delete", "history"],
        f"quarantine/{copy.pk}/": ["change", "restore", "discard", "drop"],
        f"deadletter/{turn.pk}/": ["change", "edit", "discard"],
    }
    paths = [of + page + "/" for of, pages in beneath.items() for page in pages]
    for path in ("conversation/", "quarantine/", "deadletter/", *paths):
        text = client.get(f"/admin/chat/{path}").content.decode()
        assert "gnp⟨U+202E⟩exe" in text, path
        # The document to restore is what it is, and boxes are labelled by Django.
        shown = re.sub(r'(?s)<textarea.*?</textarea>|aria-label="[^"]*"', "", text)
        assert not {"\u202e", "\u2066"} & set(shown), path


def test_list__hides_deleted_ones_until_asked():
    rows = one_of_each()
    operator("delete").post(rows.path("conversation/delete"))
    client = operator("view", "read")
    assert "c1" not in listed(client)
    assert listed(client, "state=deleted") == ["c1"]
    assert len(listed(client, "state=all")) == 3


def test_list__asks_a_bounded_number_of_queries(django_assert_max_num_queries):
    one_of_each()
    many_rows(300)
    client = operator("view", "read")
    with django_assert_max_num_queries(8):
        assert len(listed(client)) == 50


@pytest.mark.parametrize("model", ["conversation", "quarantine", "deadletter"])
def test_list__empty_says_what_to_do(model):
    content = operator("view", "read").get(f"/admin/chat/{model}/").content.decode()
    assert "chat-empty" in content


# --- A conversation ---


def test_page__shows_the_transcript_as_text():
    rows = one_of_each()
    ask("add milk")
    answer = operator("view", "read").get(rows.path("conversation/change"))
    content = answer.content.decode()
    assert "<script>alert" not in content
    assert "&lt;script&gt;alert" in content
    messages = [(m.by, m.content.text) for t in answer.context["turns"] for m in t.messages]
    assert messages[0] == ("User", HOSTILE)
    assert [m[0] for m in messages] == ["User", "Assistant"] * 2
    assert '"title": "milk"' in answer.context["turns"][1].messages[1].calls[0].parameters.text
    assert answer.context["etag"] in content
    assert answer.context["size"] == len(get_raw())


def test_page__oldest_first_in_pages():
    for number in range(30):
        ask(f"hello {number}")
    row = Conversation.objects.get()
    client = operator("view", "read")
    newest = client.get(f"/admin/chat/conversation/{row.pk}/change/")
    first = newest.context["turns"][0].messages[0].content.text
    assert first == "hello 10"
    older = client.get(
        f"/admin/chat/conversation/{row.pk}/change/?before={newest.context['older']}"
    )
    texts = [turn.messages[0].content.text for turn in older.context["turns"]]
    assert texts == [f"hello {number}" for number in range(10)]
    assert older.context["older"] is None
    bad = client.get(f"/admin/chat/conversation/{row.pk}/change/?before=nonsense")
    assert bad.status_code == 400


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("conversation/change", "looked at conversation alice:c1"),
        ("conversation/export", "looked at conversation alice:c1"),
        ("quarantine/change", "looked at quarantined state alice:bad"),
        ("quarantine/restore", "looked at quarantined state alice:bad"),
        ("deadletter/edit", "looked at dead letter alice:full"),
    ],
)
def test_reading__names_the_operator_in_the_log_and_no_content(caplog, page, line):
    rows = one_of_each()
    with caplog.at_level(logging.INFO, "chat"):
        operator("view", "read", "change").get(rows.path(page))
    assert f"view-read-change {line}" in caplog.text
    assert "alert" not in caplog.text


def test_page__while_the_store_is_away(store_is_away):
    rows = one_of_each()
    store_is_away()
    answer = operator("view", "read").get(rows.path("conversation/change"))
    assert answer.status_code == 503
    assert "does not answer" in answer.content.decode()
    assert answer.context["turns"][0].messages[0].content.text == HOSTILE  # what the rows hold
    Turn.objects.all().delete()
    client = operator("view", "read", "change")
    assert client.get(rows.path("conversation/change")).status_code == 503
    for page in ("export", "raw"):
        assert client.get(rows.path(f"conversation/{page}")).status_code == 503
    assert client.get(rows.path("conversation")).status_code == 200


def test_page__of_a_corrupt_document():
    one_of_each()
    row = Conversation.objects.get(conversation_id="bad")
    client = operator("view", "read")
    answer = client.get(f"/admin/chat/conversation/{row.pk}/change/")
    assert answer.status_code == 200
    assert "can&#x27;t be read" in answer.content.decode()
    assert [turn.status for turn in answer.context["turns"]] == ["not known", "waiting"]
    assert client.get(f"/admin/chat/conversation/{row.pk}/raw/").content == get_raw("bad")
    assert client.get(f"/admin/chat/conversation/{row.pk}/export/").status_code == 409


def test_page__offers_what_can_be_done():
    rows = one_of_each()
    client = operator("view", "read", "change", "delete")

    def offered(row: Conversation) -> set[str]:
        content = client.get(f"/admin/chat/conversation/{row.pk}/change/").content.decode()
        return {page for page in ("replay", "export", "delete") if f"/{row.pk}/{page}/" in content}

    assert offered(rows.conversation) == {"export", "delete"}
    assert offered(Conversation.objects.get(conversation_id="bad")) == {"delete"}
    Turn.objects.filter(conversation_id="c1").update(state=Turn.State.ANSWERED)
    assert offered(rows.conversation) == {"replay", "export", "delete"}
    client.post(rows.path("conversation/delete"))
    assert offered(rows.conversation) == set()
    Conversation.objects.update(deletion_pending=True)
    assert offered(rows.conversation) == {"replay"}


def test_page__says_what_became_of_each_turn():
    one_of_each()
    row = Conversation.objects.get(conversation_id="full")
    content = (
        operator("view", "read").get(f"/admin/chat/conversation/{row.pk}/change/").content.decode()
    )
    assert "Dead letter: the store refuses it" in content
    assert f"/admin/chat/deadletter/{Turn.objects.get(conversation_id='full').pk}/" in content


def test_files__are_attachments_that_no_browser_opens():
    rows = one_of_each()
    client = operator("view", "read")
    for page in ("conversation/export", "conversation/raw", "quarantine/download"):
        answer = client.get(rows.path(page))
        assert answer["Content-Disposition"].startswith("attachment; filename=")
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert "no-store" in answer["Cache-Control"]
    assert json.loads(client.get(rows.path("conversation/export")).content)["messages"]
    assert history() == [
        "Exported the conversation.",
        "Downloaded the stored document.",
        "Downloaded a quarantined state.",
        "Exported the conversation.",
    ]


# --- Delete and replay ---


def test_delete__asks_first_and_shows_nothing_of_it():
    rows = one_of_each()
    content = operator("delete").get(rows.path("conversation/delete")).content.decode()
    assert "will be gone for good" in content
    assert "alert" not in content
    assert document() is not None


def test_delete__is_gone_from_store_and_database():
    rows = one_of_each()
    client = operator("view", "read", "delete")
    answer = client.post(rows.path("conversation/delete"), follow=True)
    assert "1 conversation is deleted." in answer.content.decode()
    assert contents() == []
    assert not Conversation.objects.get(pk=rows.conversation.pk).active
    assert not Turn.objects.filter(conversation_id="c1").exists()
    assert history() == ["Deleted the conversation."]


def test_delete__while_the_store_is_away(store_is_away):
    rows = one_of_each()
    store_is_away()
    answer = operator("view", "read", "delete").post(rows.path("conversation/delete"), follow=True)
    assert "deleted later" in answer.content.decode()
    row = Conversation.objects.get(pk=rows.conversation.pk)
    assert (row.active, row.deletion_pending) == (False, True)


def test_delete_selection__after_a_question():
    for name in ("a", "b", "c"):
        ask("hello", name)
    chosen = list(Conversation.objects.exclude(conversation_id="c").values_list("pk", flat=True))
    client = operator("view", "read", "delete")
    data = {"action": "delete_conversations", "_selected_action": chosen}
    answer = client.post("/admin/chat/conversation/", data)
    assert answer.status_code == 200
    assert "Delete conversations?" in answer.content.decode()
    assert Conversation.objects.filter(active=True).count() == 3
    answer = client.post("/admin/chat/conversation/", {**data, "confirmed": "yes"}, follow=True)
    assert "2 conversations are deleted." in answer.content.decode()
    assert [contents(name) for name in ("a", "b", "c")] == [[], [], ["hello"]]
    assert history() == ["Deleted the conversation."] * 2


def test_delete_selection__is_bounded():
    many_rows(201)
    data = {"action": "delete_conversations", "_selected_action": [1], "select_across": "1"}
    client = operator("view", "read", "delete")
    answer = client.post("/admin/chat/conversation/", {**data, "confirmed": "yes"}, follow=True)
    assert "at most 200" in answer.content.decode()
    assert Conversation.objects.filter(active=True).count() == 201


def test_replay__says_what_happened(monkeypatch):
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        ask("waits")
    row = Conversation.objects.get()
    client = operator("view", "read", "change")
    answer = client.post(f"/admin/chat/conversation/{row.pk}/replay/", follow=True)
    assert "1 turn is stored." in answer.content.decode()
    assert contents() == ["waits"]
    answer = client.post(f"/admin/chat/conversation/{row.pk}/replay/", follow=True)
    assert "Nothing is waiting" in answer.content.decode()
    assert len(history()) == 2


def test_pages_of_post_alone__lead_a_get_back_to_what_they_are_about():
    rows = one_of_each()
    client = operator("view", "read", "change")
    for page, about in (
        ("conversation/replay", "conversation/change"),
        ("deadletter/retry", "deadletter/change"),
    ):
        assert client.get(rows.path(page))["Location"] == rows.path(about)
    assert operator("change").get(rows.path("deadletter/retry"))["Location"] == "/admin/"
    assert history() == []


def test_replay__while_the_store_is_away_or_corrupt(store_is_away):
    one_of_each()
    row = Conversation.objects.get(conversation_id="bad")
    client = operator("view", "read", "change")
    answer = client.post(f"/admin/chat/conversation/{row.pk}/replay/", follow=True)
    assert "restore or discard it in quarantine" in answer.content.decode()
    store_is_away()
    client.post(f"/admin/chat/conversation/{row.pk}/replay/")
    assert "does not answer right now. 1 turn goes on waiting." in told(client)


def test_lists__end_after_the_first_rows_and_say_so(monkeypatch):
    monkeypatch.setattr("chat.admin.lists.LISTED_MAX", 3)
    client = operator("view")
    monkeypatch.setattr("chat.admin.lists.ChatList.list_per_page", 2)
    for number, goes_on in ((2, False), (5, True)):
        Conversation.objects.all().delete()
        many_rows(number)
        page = client.get("/admin/chat/conversation/")
        assert ("Only the first 3 are listed" in page.content.decode()) == goes_on
    assert len(client.get("/admin/chat/conversation/?p=2").context["cl"].result_list) == 1
    assert client.get("/admin/chat/conversation/?p=3").status_code == 302
