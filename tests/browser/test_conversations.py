"""Conversations, quarantine and dead letters in the browser: normal, empty, huge, broken."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from chat.conversations.history import put_turn
from chat.conversations.state import ConversationKey, MessageEntry, ToolCallInfo, new_conversation
from chat.deadline import Deadline
from chat.models import Conversation, Quarantine, Turn
from chat.repository import forget_repositories
from chat.turns.open_conversation import OpenConversation
from common.events import outages
from tests.chat.drive import ALICE, ask, away, contents, hooked
from tests.chat.operators import HOSTILE, many_rows, one_of_each, quarantined
from tests.servers import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh_repositories():
    forget_repositories()
    yield
    forget_repositories()


@pytest.fixture
def store_is_away(settings):
    """Nothing listens where the store should be."""

    def take_away() -> None:
        settings.CHAT_STATE_STORE = "dapr"
        settings.DAPR_ENDPOINT = f"http://127.0.0.1:{free_port()}"
        forget_repositories()

    return take_away


def path_of(conversation: str) -> str:
    row = Conversation.objects.get(conversation_id=conversation)
    return f"/admin/chat/conversation/{row.pk}/change/"


def huge() -> None:
    """A conversation with 200 messages, long words and long results of tools."""
    key = ConversationKey(ALICE, "huge")
    begin = timezone.now() - timedelta(days=1)
    state = new_conversation(key, begin)
    for number in range(100):
        at = begin + timedelta(minutes=number)
        rows = [{"title": "x" * 400, "n": n} for n in range(20)]
        call = ToolCallInfo(tool="t" * 80, parameters={"a": HOSTILE}, result={"tasks": rows})
        turn = [
            MessageEntry(role="user", content="Word" * 500 + " مرحبا", timestamp=at),
            MessageEntry(role="assistant", content=HOSTILE, timestamp=at, tool_calls=[call] * 3),
        ]
        state = put_turn(state, f"turn-{number}", turn, at)
    OpenConversation(key, Deadline(5)).save(state)
    Conversation.objects.create(
        user_id=ALICE, conversation_id="huge", id_is_integer=False, title="W" * 80
    )


# --- The list ---


def test_list__normal(open_page):
    one_of_each()
    ask("gone", "gone")
    page = open_page("/admin/chat/conversation/")
    assert page.locator("#result_list tbody tr").count() == 4
    page.fill("#searchbar", "bad")
    page.click("#changelist-search [type=submit]")
    page.wait_for_url("**q=bad**")
    assert page.locator("#result_list tbody tr").count() == 1
    assert "Corrupt" in page.inner_text("#result_list")


@pytest.mark.parametrize("model", ["conversation", "quarantine", "deadletter"])
def test_list__empty(open_page, model):
    page = open_page(f"/admin/chat/{model}/")
    assert page.locator(".chat-empty").count() == 1


def test_list__between_two_days(open_page):
    many_rows(30)
    page = open_page("/admin/chat/conversation/?state=all")
    page.fill("[name=updated_from]", "2020-01-01")
    page.fill("[name=updated_to]", "2020-01-31")
    page.click("text=Show these days")
    page.wait_for_url("**updated_from=2020-01-01&updated_to=2020-01-31**")
    assert page.locator(".chat-empty").count() == 1
    assert "state=all" in page.url
    page.click("text=Any day")
    page.wait_for_selector("#result_list")
    page.goto(page.url + "&updated_from=soon")
    assert "Nothing is listed" in page.inner_text(".messagelist")


def test_list__huge(open_page):
    many_rows(5000, title=lambda n: "Long" * 20 if n % 2 else HOSTILE)
    page = open_page("/admin/chat/conversation/")
    assert page.locator("#result_list tbody tr").count() == 50
    page.goto(page.url + "?p=100")
    assert page.locator("#result_list tbody tr").count() == 50


def test_list__delete_a_selection(open_page):
    for name in ("a", "b", "c"):
        ask("hello", name)
    page = open_page("/admin/chat/conversation/")
    for box in page.locator("input.action-select").all()[:2]:
        box.check()
    page.select_option("[name=action]", "delete_conversations")
    page.click(".actions button")
    page.wait_for_selector("text=Delete conversations?")
    page.wait_for_load_state()
    assert page.locator(".names li").count() == 2


def test_list__delete_a_selection_confirmed(open_page):
    ask("hello", "a")
    page = open_page("/admin/chat/conversation/")
    page.locator("input.action-select").check()
    page.select_option("[name=action]", "delete_conversations")
    page.click(".actions button")
    page.click("text=Delete them")
    page.wait_for_selector("text=1 conversation is deleted.")
    assert contents("a") == []


# --- A conversation ---


def test_conversation__normal(open_page):
    ask("Add task: Buy groceries")
    ask("Add task: <b>Call</b> mum")
    ask("What are my tasks?")
    page = open_page(path_of("c1"))
    assert page.locator(".message-user").count() == 3
    assert not page.locator(".call pre").first.is_visible()
    page.locator(".call summary").first.click()
    assert page.locator(".call pre").first.is_visible()
    page.locator(".raw summary").click()
    assert '"messages"' in page.inner_text(".raw pre")


def test_conversation__hostile(open_page):
    one_of_each()
    page = open_page(path_of("c1"))
    assert "<script>alert(1)</script>" in page.inner_text(".message-user .message-text")


def test_conversation__empty(open_page):
    Conversation.objects.create(user_id=ALICE, conversation_id="none", id_is_integer=False)
    page = open_page(path_of("none"))
    assert "There are no messages" in page.inner_text(".transcript")


def test_conversation__huge(open_page):
    huge()
    page = open_page(path_of("huge"))
    assert page.locator(".message").count() == 40
    page.locator(".call summary").first.click()
    page.click("text=Older messages")
    page.wait_for_url("**before=**")
    assert page.locator(".message").count() == 40


def test_conversation__store_away(open_page, store_is_away):
    ask("hello")
    store_is_away()
    ask("waits for the store")
    page = open_page(path_of("c1"), status=503)
    assert "does not answer right now" in page.inner_text(".errornote")
    assert page.locator(".turn-waiting").count() == 1


def test_conversation__corrupt(open_page):
    one_of_each()
    page = open_page(path_of("bad"))
    assert "can't be read" in page.inner_text(".errornote")
    assert page.locator("text=Replay").count() == 0
    assert page.inner_text(".turn-status >> nth=0").startswith("Not known")
    page.click(".page-actions >> text=Repair in quarantine")
    page.wait_for_url("**/quarantine/**")
    page.go_back()


def test_conversation__delete(open_page):
    ask("hello")
    page = open_page(path_of("c1"))
    page.click("text=Delete")
    page.wait_for_selector("text=will be gone for good")


def test_conversation__deleted(open_page):
    ask("hello")
    page = open_page(path_of("c1"))
    page.click("text=Delete")
    page.click("text=Delete the conversation")
    page.wait_for_selector(".messagelist .success")
    open_page(path_of("c1"))
    assert page.locator(".page-actions li").all_inner_texts() == ["History"]


def test_conversation__history(open_page):
    ask("hello")
    Turn.objects.update(state=Turn.State.ANSWERED)
    page = open_page(path_of("c1"))
    page.click("text=Replay waiting turns")
    page.wait_for_selector(".messagelist")
    page.click("text=History")
    page.wait_for_selector(".breadcrumbs >> text=Overview")
    page.wait_for_selector("text=Replayed waiting turns.")


def test_conversation__history_of_a_long_name(open_page):
    row = Conversation.objects.create(
        user_id="u" * 255, conversation_id="x" * 50, id_is_integer=False
    )
    page = open_page(f"/admin/chat/conversation/{row.pk}/history/")
    assert "u" * 255 in page.inner_text("#content h1")


# --- Quarantine ---


def test_quarantine__list(open_page):
    one_of_each()
    quarantined(b"\xff" * 1_000_000, "x" * 50, "u" * 255)
    page = open_page("/admin/chat/quarantine/")
    assert page.locator("#result_list tbody tr").count() == 2


def test_quarantine__text(open_page):
    one_of_each()
    page = open_page(f"/admin/chat/quarantine/{Quarantine.objects.get().pk}/change/")
    assert "<script>" in page.inner_text(".shown")
    assert "These bytes." in page.inner_text(".chat-letter")


def test_quarantine__nested_brackets(open_page):
    copy = quarantined(b"[" * 65_536)
    page = open_page(f"/admin/chat/quarantine/{copy.pk}/change/")
    assert "Only the beginning is shown" in page.inner_text("#content")


def test_quarantine__binary(open_page):
    copy = quarantined(b"\x00\xff<b>" * 250_000)
    page = open_page(f"/admin/chat/quarantine/{copy.pk}/change/")
    assert page.locator(".shown.hex").count() == 1


def test_quarantine__store_away(open_page, store_is_away):
    copy = quarantined(b"{")
    store_is_away()
    page = open_page(f"/admin/chat/quarantine/{copy.pk}/change/")
    assert "does not answer right now" in page.inner_text(".chat-letter")


def test_quarantine__restore_refused_then_taken(open_page):
    one_of_each()
    copy = Quarantine.objects.get()
    page = open_page(f"/admin/chat/quarantine/{copy.pk}/restore/")
    page.fill("#document", "<script>not a conversation")
    page.click("button:text('Restore')")
    page.wait_for_selector(".errornote")
    page.wait_for_load_state()
    assert page.input_value("#document") == "<script>not a conversation"
    stamp = "2025-12-25T10:00:00Z"
    page.fill(
        "#document",
        f'{{"conversation_id": "bad", "user_id": "{ALICE}", "created_at": "{stamp}",'
        f' "updated_at": "{stamp}", "messages": []}}',
    )
    page.click("button:text('Restore')")
    page.wait_for_selector(".messagelist .success")
    assert contents("bad") == ["waits"]


def test_quarantine__restore_form(open_page):
    one_of_each()
    page = open_page(f"/admin/chat/quarantine/{Quarantine.objects.get().pk}/restore/")
    assert page.input_value("#document").startswith('{"conversation_id"')


def test_quarantine__restore_of_what_is_too_large_for_the_form(open_page, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10_000
    page = open_page(f"/admin/chat/quarantine/{quarantined(b'x' * 20_000).pk}/restore/")
    assert "too large to be edited in this form" in page.inner_text("#content")


def test_quarantine__what_was_typed_is_too_large(open_page, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10_000
    page = open_page(f"/admin/chat/quarantine/{quarantined(b'x').pk}/restore/")
    page.fill("#document", "x" * 20_000)
    page.click("button:text('Restore')")
    page.wait_for_selector("text=The form is too large")


def test_quarantine__restore_with_what_the_database_holds(open_page):
    one_of_each()
    page = open_page(f"/admin/chat/quarantine/{Quarantine.objects.get().pk}/restore/")
    page.click("text=Begin with an empty conversation")
    page.wait_for_url("**begin=empty")
    page.click("text=Begin with what the database holds")
    page.wait_for_url("**begin=known")
    page.emulate_media(color_scheme="dark")
    assert '"hello"' in page.input_value("#document")
    page.click("button:text('Restore')")
    page.wait_for_selector(".messagelist .success")
    assert contents("bad") == ["hello", "waits"]
    page.go_back()


def test_quarantine__discard(open_page):
    one_of_each()
    page = open_page(f"/admin/chat/quarantine/{Quarantine.objects.get().pk}/discard/")
    page.click("text=Discard the state")
    page.wait_for_selector(".messagelist .success")


# --- Dead letters ---


def test_letters__list(open_page):
    one_of_each()
    page = open_page("/admin/chat/deadletter/")
    assert page.locator("#result_list tbody tr").count() == 1


def test_letter__normal(open_page):
    ask("Add task: Buy groceries")
    turn = Turn.objects.get()
    refusal = "The conversation has 4000000 bytes; 3000000 are allowed."
    Turn.objects.update(state=Turn.State.DEAD_LETTER, refusal=refusal)
    page = open_page(f"/admin/chat/deadletter/{turn.pk}/change/")
    page.locator(".call summary").click()
    assert '"title": "Buy groceries"' in page.inner_text(".call")


def test_letter__edit(open_page):
    one_of_each()
    turn = Turn.objects.get(conversation_id="full")
    page = open_page(f"/admin/chat/deadletter/{turn.pk}/edit/")
    assert page.input_value("#message") == HOSTILE
    page.fill("#tool_calls", "[1]")
    page.click("text=Put it back into the queue")
    page.wait_for_selector(".errornote")


def test_letter__discard(open_page):
    one_of_each()
    turn = Turn.objects.get(conversation_id="full")
    page = open_page(f"/admin/chat/deadletter/{turn.pk}/discard/")
    page.wait_for_selector("text=gone for good")


def test_letter__retry_while_the_store_is_away(open_page, store_is_away):
    one_of_each()
    turn = Turn.objects.get(conversation_id="full")
    store_is_away()
    page = open_page(f"/admin/chat/deadletter/{turn.pk}/change/")
    page.click("text=Retry as it is")
    page.wait_for_selector("text=back in the queue")


# --- Huge lists, and a huge letter ---


def test_lists__of_thousands_of_copies_and_letters(open_page):
    now = timezone.now()
    Quarantine.objects.bulk_create(
        Quarantine(
            user_id=f"user-{number}" * 20,
            conversation_id=f"{number:050}",
            digest=f"{number:064}",
            content_base64="/w==" * 1000,
            reason=HOSTILE * 5,
        )
        for number in range(2000)
    )
    Turn.objects.bulk_create(
        Turn(
            id=f"{number:024}",
            user_id=f"user-{number}" * 20,
            conversation_id=f"{number:050}",
            id_is_integer=False,
            accepted_at=now,
            message="m",
            state=Turn.State.DEAD_LETTER,
            refusal="The store refuses it. " * 10,
        )
        for number in range(2000)
    )
    for model in ("quarantine", "deadletter"):
        page = open_page(f"/admin/chat/{model}/?p=40")
        assert page.locator("#result_list tbody tr").count() == 50


def test_letter__huge(open_page):
    turn = ask("hello")
    call = {"tool": "t" * 80, "parameters": {"a": HOSTILE}, "result": {"b": "x" * 60_000}}
    Turn.objects.update(state=Turn.State.DEAD_LETTER, message="Word" * 25_000, reply="W" * 100_000)
    Turn.objects.update(tool_calls=[call] * 50, refusal="W" * 255)
    open_page(f"/admin/chat/deadletter/{turn.pk}/edit/")
    page = open_page(f"/admin/chat/deadletter/{turn.pk}/change/")
    page.locator(".call summary").first.click()
    assert page.locator(".call").count() == 50
    assert "Only the beginning is shown" in page.inner_text("#content")


def test_lists__on_a_phone_show_every_column(open_page, width):
    one_of_each()
    page = open_page("/admin/chat/conversation/")
    across = page.evaluate("window.innerWidth")
    for field in ("pending_turns", "state", "expires"):
        box = page.locator(f"#result_list .field-{field}").first.bounding_box()
        assert box["x"] + box["width"] <= across


def test_forget__from_the_list_to_the_end(open_page):
    ask("hello")
    page = open_page(f"/admin/chat/conversation/?q={ALICE}")
    page.get_by_role("link", name="Remove all of a user").click()
    assert page.get_by_label("User name").input_value() == ALICE
    page.get_by_role("button", name="Continue").click()
    page.wait_for_load_state()
    assert "1 conversation, 1 turn, 0 tasks" in page.inner_text("#content")
    page.get_by_role("button", name="Remove all of this user").click()
    page.wait_for_load_state()
    assert "All of alice is removed" in page.inner_text(".messagelist")
    assert contents() == []


def test_conversation__its_timeline(open_page, monkeypatch):
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        ask("what did we say about Contoso?")
    outages.noticed("Conversation store")
    page = open_page(path_of("c1"))
    assert "Answered degraded" in page.inner_text(".turn-status")
    assert "Answered degraded" in page.inner_text("table.chat-rows")


def test_conversation__for_those_who_may_not_read(open_page, superuser):
    ask("what did we say about Contoso?")
    superuser.is_superuser = False
    superuser.save()
    superuser.user_permissions.add(Permission.objects.get(codename="view_conversation"))
    page = open_page(path_of("c1"))
    assert "needs the permission" in page.inner_text("#content")
    assert "Contoso" not in page.content()
