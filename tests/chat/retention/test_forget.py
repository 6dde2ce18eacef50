"""forget_user and its page: all of a user goes, and what opened it opens nothing any more."""

import time
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from chat.assistant.builtin import BuiltinAssistant
from chat.errors import TokenRefused, TurnConflict
from chat.models import ChatUser, Conversation, Quarantine, Task, Turn
from chat.turns.accept import ChatRequest, accept
from common.events.models import Event
from tests.chat.calls import Api, token
from tests.chat.drive import ALICE, ask, away, contents, document, hooked, put_raw
from tests.chat.operators import history, operator
from tests.connectors import redis_keys

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/chat/conversation/forget/"


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("forget_user", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def everything_of(user: str) -> list:
    active = Conversation.objects.filter(user_id=user).exclude(active=False, title="")
    rows = [model.objects.filter(user_id=user).count() for model in (Turn, Task, Quarantine)]
    return [active.count(), *rows]


def a_full_user() -> None:
    ask("add milk", idempotency_key="k")
    ask("hello", "c2")
    put_raw(b"corrupt", "c2")
    ask("waits", "c2")
    ask("add bread", user="bob")


def test_forget__removes_all_of_one_user_alone():
    a_full_user()
    assert run(ALICE) == "removed: 2 conversations, 3 turns, 1 task, 1 quarantined copy"
    assert everything_of(ALICE) == [0, 0, 0, 0]
    assert document() is None or not document().messages
    assert everything_of("bob") == [1, 1, 1, 0]
    assert contents(user="bob") == ["add bread"]
    assert ask("list my tasks").reply == ask("list my tasks", user="nobody").reply


def test_forget__dry_run_changes_nothing():
    a_full_user()
    keys = redis_keys("chat:*")
    before = [list(model.objects.values()) for model in (Conversation, Turn, Task, ChatUser)]
    assert run(ALICE, "--dry-run").startswith("would be removed: 2 conversations, 3 turns, 1 task")
    after = [list(model.objects.values()) for model in (Conversation, Turn, Task, ChatUser)]
    assert (before, keys) == (after, redis_keys("chat:*"))


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_forget__a_name_that_nobody_has_is_an_error(options):
    ask("hello")
    with pytest.raises(CommandError, match="no chat user 'alicia'"):
        run("alicia", *options)
    run(ALICE)
    with pytest.raises(CommandError, match="no chat user 'alice'"):
        run(ALICE, *options)
    assert not ChatUser.objects.filter(pk="alicia").exists()


def test_forget__tokens_from_before_are_refused():
    now = int(time.time())
    before, undated = Api(bearer=token(sub=ALICE, iat=now - 1)), Api(bearer=token(sub=ALICE))
    assert before.chat("hello", "c1").status_code == 200
    assert undated.call("get", undated.path()).status_code == 200
    run(ALICE)
    for api in (before, undated):
        refused = api.chat("hello", "c1")
        assert (refused.status_code, refused.json()["code"]) == (401, "bad_token")
        assert api.call("get", api.path()).status_code == 401
    ChatUser.objects.update(forgotten_at=timezone.now() - timedelta(seconds=5))
    assert before.chat("hello", "c1").status_code == 200  # it is from after, now
    assert undated.chat("hello", "c1").status_code == 401
    ChatUser.objects.update(undated_refused_until=timezone.now())
    assert undated.chat("hello", "c1").status_code == 200


def test_forget__undated_tokens_as_long_as_was_asked_for():
    ask("hello")
    run(ALICE, "--undated-hours", "0")
    undated = Api()
    assert undated.call("get", undated.path()).status_code == 200
    with pytest.raises(CommandError, match="--undated-hours must be from 0 to"):
        run(ALICE, "--undated-hours", "-1")


def test_forget__refresh_tokens_are_refused():
    User.objects.create_user(ALICE, password="x")
    api = Api()
    login = {"username": ALICE, "password": "x"}
    refresh = api.call("post", "/api/token/", login).json()["refresh"]
    ask("hello")
    run(ALICE)
    answer = api.call("post", "/api/token/refresh/", {"refresh": refresh})
    assert answer.status_code == 401


def test_forget__an_account_that_logged_in_and_never_wrote():
    User.objects.create_user(ALICE, password="x")
    api = Api()
    login = {"username": ALICE, "password": "x"}
    refresh = api.call("post", "/api/token/", login).json()["refresh"]
    assert run(ALICE).startswith("removed: 0 conversations")
    answer = api.call("post", "/api/token/refresh/", {"refresh": refresh})
    assert answer.status_code == 401
    with pytest.raises(CommandError, match="no chat user 'alice'"):
        run(ALICE)


def test_forget__a_turn_in_flight_ends(monkeypatch):
    answer = BuiltinAssistant.answer

    def forgotten_meanwhile(self, history, message, toolbox, deadline):
        run(ALICE)
        return answer(self, history, message, toolbox, deadline)

    ask("hello")
    monkeypatch.setattr(BuiltinAssistant, "answer", forgotten_meanwhile)
    with pytest.raises(TurnConflict):
        ask("add milk")
    assert everything_of(ALICE) == [0, 0, 0, 0]


def test_forget__a_request_that_was_let_in_before_begins_nothing():
    let_in = ChatRequest(ALICE, "hello", "c1")
    ask("hello")
    run(ALICE)
    with pytest.raises(TokenRefused):
        accept(let_in)
    assert everything_of(ALICE) == [0, 0, 0, 0]


def test_forget__what_the_store_cannot_delete_waits(monkeypatch):
    ask("hello")
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        with pytest.raises(CommandError, match="1 deletion waits for the conversation store"):
            run(ALICE)
    assert everything_of(ALICE) == [0, 0, 0, 0]
    assert contents() == ["hello"]
    run(ALICE)  # something of the user is left, so the name is known
    assert contents() == []


def test_forget__who_read_the_chats_stays_known():
    a_full_user()
    reader = operator("view", "read")
    row = Conversation.objects.get(user_id=ALICE, conversation_id="c1")
    reader.get(f"/admin/chat/conversation/{row.pk}/change/")
    run(ALICE)
    kinds = Event.objects.filter(user_id=ALICE).values_list("kind", flat=True)
    assert set(kinds) == {"read", "change"}


# --- The page -------------------------------------------------------------------------------------


def test_page__asks_before_it_removes():
    a_full_user()
    client = operator("view", "delete")
    assert "User name" in client.get(PAGE).content.decode()
    asked = client.get(PAGE, {"user": ALICE}).content.decode()
    assert "2 conversations, 3 turns, 1 task, 1 quarantined copy" in asked
    assert everything_of(ALICE) != [0, 0, 0, 0]
    answer = client.post(PAGE, {"user": ALICE}, follow=True)
    assert "All of alice is removed: 2 conversations" in answer.content.decode()
    assert everything_of(ALICE) == [0, 0, 0, 0]
    assert "Removed all of the user: 2 conversations" in history()[-1]


def test_page__a_name_that_nobody_has():
    client = operator("view", "delete")
    for answer in (client.get(PAGE, {"user": "alicia"}), client.post(PAGE, {"user": "alicia"})):
        assert "Nobody in the chat has this name." in answer.content.decode()


def test_page__not_for_those_who_may_not_delete():
    ask("hello")
    client = operator("view", "change")
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, {"user": ALICE}).status_code == 403
    assert contents() == ["hello"]
