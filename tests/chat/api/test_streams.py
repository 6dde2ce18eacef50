"""Turns as server-sent events, by the door (granian) and under WSGI (gunicorn), on one database."""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests import servers
from tests.chat.calls import ANSWER_SECONDS_MAX, User, token
from tests.test_servers import Product

EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def sites(model, tmp_path_factory) -> Iterator[dict[str, servers.Server]]:
    """Two servers on the same stores: to each, the other is another worker."""
    more = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "key", "CHAT_TURN_SECONDS": "30"}
    more |= {"CHAT_MAX_TURNS_PER_PROCESS": "6"}

    def start(environ, log, workers, threads):
        return servers.granian({**environ, **more}, log, workers=1, threads=8)

    product = Product(start, tmp_path_factory.mktemp("p"))
    environ = {**product.environ, **more}
    other = servers.gunicorn(environ, product.folder / "other", workers=1, threads=8)
    product.environ = environ
    yield {"granian": product.server, "gunicorn": other, "product": product}
    other.stop()
    product.stop()


@pytest.fixture(params=["granian", "gunicorn"])
def here(request, sites):
    return sites[request.param]


@pytest.fixture
def there(here, sites):
    """The other worker."""
    return sites["gunicorn" if here is sites["granian"] else "granian"]


def post(server, user: str, message: str, key: str, **headers: str) -> requests.Response:
    headers |= {"Authorization": f"Bearer {token(sub=user)}", "Idempotency-Key": key}
    return requests.post(
        f"{server.url}/api/{user}/chat",
        json={"message": message, "conversation_id": "c1"},
        headers=headers,
        stream="Accept" in headers,
        timeout=ANSWER_SECONDS_MAX,
    )


def stop(server, user: str, turn_id: str) -> dict[str, Any]:
    url = f"{server.url}/api/{user}/conversations/c1/turns/{turn_id}/stop"
    headers = {"Authorization": f"Bearer {token(sub=user)}"}
    answer = requests.post(url, headers=headers, timeout=ANSWER_SECONDS_MAX)
    assert answer.status_code == 200, answer.text
    return answer.json()


class Stream:
    """A message whose answer comes as events; the same key again is a repeat."""

    def __init__(self, server, user: str, message: str = "hello", key: str | None = None) -> None:
        self.key = key or uuid.uuid4().hex
        self.server, self.user, self.message = server, user, message
        self.answer = post(server, user, message, self.key, **EVENTS)
        self._lines = self.answer.iter_lines(chunk_size=1)

    def next(self) -> tuple[str, dict[str, Any]]:
        """The next event; comments are passed over."""
        name = ""
        for line in self._lines:
            field, _, value = line.decode().partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                return name, json.loads(value)
        raise AssertionError("the stream ended")

    def text(self, length: int) -> str:
        """The words until there are so many characters."""
        text = ""
        while len(text) < length:
            name, data = self.next()
            assert name == "delta", (name, data)
            text += data["text"]
        return text

    def rest(self) -> list[tuple[str, dict[str, Any]]]:
        """All to the last one."""
        events = [self.next()]
        while events[-1][0] not in ("done", "error"):
            events.append(self.next())
        assert not [line for line in self._lines if line]
        return events

    def again(self, server=None) -> "Stream":
        return Stream(server or self.server, self.user, self.message, self.key)

    def as_json(self, server=None) -> requests.Response:
        return post(server or self.server, self.user, self.message, self.key)


@pytest.fixture
def user() -> str:
    return f"u{uuid.uuid4().hex[:12]}"


def messages(server, user: str) -> list[dict]:
    return User(server, user).messages("c1")


# --- The words --------------------------------------------------------------------------------


def test_stream__each_word_arrives_when_it_is_said(here, user, model):
    stream = Stream(here, user)
    assert stream.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert stream.answer.headers["Cache-Control"] == "no-store"
    assert stream.answer.headers["X-Accel-Buffering"] == "no"
    name, accepted = stream.next()
    assert (name, accepted["conversation_id"]) == ("accepted", "c1")
    asked = model.asked()
    asked.say("One ")
    assert stream.next() == ("delta", {"text": "One "})  # the second is not even said
    asked.say("two.")
    assert stream.next() == ("delta", {"text": "two."})
    asked.end()
    [(name, done)] = stream.rest()
    assert name == "done"
    assert done == {**stream.as_json().json(), "degraded": False}
    assert done["reply"] == "One two."
    said = messages(here, user)
    assert [(m["content"], m["status"]) for m in said] == [
        ("hello", "stored"),
        ("One two.", "stored"),
    ]
    assert said[1]["turn_id"] == accepted["turn_id"]


def test_stream__each_line_is_one_to_clients_that_split_text(here, user, model):
    """Python's splitlines takes more characters for ends of lines than the standard does."""
    stream = Stream(here, user)
    asked = model.asked()
    reply = "✅ one\u2028two\u2029three\u0085four"
    asked.say(reply)
    asked.end()
    lines = list(stream.answer.iter_lines(decode_unicode=True))
    said = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert all(line.startswith(("event: ", "data: ", ":")) for line in lines if line)
    assert "".join(data.get("text", "") for data in said) == said[-1]["reply"] == reply


def test_stream__tells_each_tool_call_and_words_before_it_are_no_reply(sites, user, model):
    stream = Stream(sites["granian"], user)
    first = model.asked()
    first.say("Let me see.")
    first.call("add_task", title="milk")
    first.end()
    second = model.asked()
    second.say("Added.")
    second.end()
    names = [(name, data.get("text") or data.get("tool")) for name, data in stream.rest()]
    assert names == [
        ("accepted", None),
        ("delta", "Let me see."),
        ("tool_call", "add_task"),
        ("delta", "Added."),
        ("done", None),
    ]
    answer = stream.as_json().json()
    assert answer["reply"] == "Added."
    assert answer["tool_calls"][0]["result"]["task_id"] == 1


def test_stream__calls_in_text_are_made_and_not_shown(here, user, model):
    stream = Stream(here, user)
    first = model.asked()
    for piece in ("Let me", ". <tool_", 'call>{"name": "list_', 'tasks"}</tool_call>'):
        first.say(piece)
    first.end()
    second = model.asked()
    for piece in ("It wrote", " <tool_", "call> for you. <", "|im_end|>"):
        second.say(piece)
    second.end()
    events = stream.rest()
    names = [data.get("text") or data.get("tool") for _, data in events[1:-1]]
    assert names == ["Let me", ". ", "list_tasks", "It wrote", " ", "<tool_call> for you."]
    assert events[-1][1] == {**stream.as_json().json(), "degraded": False}
    assert events[-1][1]["reply"] == "It wrote <tool_call> for you."


@pytest.mark.parametrize("on_stream", ["refuse", "answer"])
def test_stream__a_model_that_can_not_stream(sites, user, model, monkeypatch, on_stream):
    monkeypatch.setattr(model, "on_stream", on_stream)
    stream = Stream(sites["gunicorn"], user)
    asked = model.asked()
    assert ("stream" in asked.body) == (on_stream == "answer")
    asked.say("One two.")
    asked.end()
    assert [data.get("text") for _, data in stream.rest()] == [None, "One ", "two.", None]


def test_stream__what_is_refused_before_it_begins_is_json(here, user):
    url, bearer = f"{here.url}/api/{user}/chat", {"Authorization": f"Bearer {token(sub=user)}"}
    for headers, body, status, code in (
        (bearer, {"message": " "}, 400, "invalid_request"),
        ({}, {"message": "x"}, 401, "not_authenticated"),
        ({"Authorization": f"Bearer {token(sub='x')}"}, {"message": "x"}, 403, "other_user"),
    ):
        answer = requests.post(url, json=body, headers={**EVENTS, **headers}, timeout=20)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


# --- Clients that leave, come back, or don't read ---------------------------------------------


def test_leaving__loses_nothing(here, user, model):
    stream = Stream(here, user)
    stream.next()
    asked = model.asked()
    asked.say("One ")
    stream.text(4)
    stream.answer.close()
    asked.say("two.")
    asked.end()
    servers.wait_until(lambda: len(messages(here, user)) == 2, what="the reply")
    [*_, (name, done)] = stream.again().rest()
    assert (name, done["reply"]) == ("done", "One two.")
    assert stream.as_json().json()["reply"] == "One two."


def test_repeat__attaches_while_the_turn_is_under_way(here, there, user, model):
    stream = Stream(here, user)
    _, accepted = stream.next()
    asked = model.asked()
    asked.say("One ")
    stream.text(4)
    conflict = stream.as_json(there)
    assert (conflict.status_code, conflict.json()["code"]) == (409, "turn_in_progress")
    same, other = stream.again(here), stream.again(there)
    for attached in (same, other):
        assert attached.next() == ("accepted", accepted)
        assert attached.text(4) == "One "
    asked.say("two.")
    assert other.text(4) == same.text(4) == "two."
    asked.end()
    done = stream.rest()[-1]
    assert (done[0], done[1]["reply"]) == ("done", "One two.")
    assert same.rest()[-1] == other.rest()[-1] == done


def test_repeat__attaches_to_a_turn_that_is_answered_as_json(here, there, user, model):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, here, user, "hello", "k")
        asked = model.asked()
        assert "stream" not in asked.body
        attached = [Stream(server, user, key="k") for server in (here, there)]
        asked.say("One two.")
        asked.end()
        for stream in attached:
            name, done = stream.rest()[-1]
            assert (name, done) == ("done", {**first.result().json(), "degraded": False})


def test_stop__of_a_turn_that_is_answered_as_json(here, there, user, model):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, here, user, "hello", "k")
        asked = model.asked()
        turn_id = messages(there, user)[0]["turn_id"]
        stop(there, user, turn_id)
        answer = first.result().json()
        assert (answer["reply"], answer["stopped"]) == ("", True)
        asked.end()


def test_reading__a_client_that_never_reads_holds_no_turn(here, user, model):
    stream = Stream(here, user)  # nothing of it is read
    asked = model.asked()
    reply = "".join(f"{number} " for number in range(10_000))[:20_000].strip()
    for start in range(0, len(reply), 100):
        asked.say(reply[start : start + 100])
    asked.end()
    servers.wait_until(lambda: len(messages(here, user)) == 2, what="the reply")
    assert stream.as_json().json()["reply"] == reply


# --- Stopping ---------------------------------------------------------------------------------


def test_stop__ends_the_words_from_another_worker(here, there, user, model):
    stream = Stream(here, user)
    turn_id = stream.next()[1]["turn_id"]
    asked = model.asked()
    asked.say("One ")
    stream.text(4)
    assert stop(there, user, turn_id) == {"turn_id": turn_id, "status": "stopping"}
    [(name, done)] = stream.rest()  # the model says no more, and does not end
    assert (name, done["reply"], done["stopped"]) == ("done", "One", True)
    asked.say("two.")
    asked.say("three.")
    asked.end()
    assert stream.as_json(there).json() == {k: v for k, v in done.items() if k != "degraded"}
    assert stop(there, user, turn_id)["status"] == "stopped"
    reply = messages(there, user)[1]
    assert (reply["content"], reply["stopped"], reply["status"]) == ("One", True, "stored")


def test_stop__before_the_first_word(sites, user, model):
    stream = Stream(sites["granian"], user)
    turn_id = stream.next()[1]["turn_id"]
    asked = model.asked()
    stop(sites["granian"], user, turn_id)
    [(name, done)] = stream.rest()
    assert (name, done["reply"], done["stopped"]) == ("done", "", True)
    asked.end()


def test_stop__of_an_answered_turn_changes_nothing(sites, user, model):
    stream = Stream(sites["granian"], user)
    turn_id = stream.next()[1]["turn_id"]
    asked = model.asked()
    asked.say("One.")
    asked.end()
    done = stream.rest()[-1][1]
    assert stop(sites["granian"], user, turn_id)["status"] == "answered"
    assert stream.as_json().json() == {k: v for k, v in done.items() if k != "degraded"}


def test_stop__is_for_the_user_of_the_turn_alone(sites, user, model):
    stream = Stream(sites["granian"], user)
    turn_id = stream.next()[1]["turn_id"]
    asked = model.asked()
    for path, status in ((user, 403), ("mallory", 404)):
        url = f"{sites['granian'].url}/api/{path}/conversations/c1/turns/{turn_id}/stop"
        headers = {"Authorization": f"Bearer {token(sub='mallory')}"}
        assert requests.post(url, headers=headers, timeout=20).status_code == status
    asked.say("One.")
    asked.end()
    assert "stopped" not in stream.rest()[-1][1]


# --- Failures ---------------------------------------------------------------------------------


def test_broken__after_words_is_a_failure_and_no_reply(here, there, user, model):
    stream = Stream(here, user)
    stream.next()
    asked = model.asked()
    asked.say("One ")
    stream.text(4)
    attached = stream.again(there)
    assert attached.next()[0] == "accepted"
    asked.break_off()
    [(name, error)] = stream.rest()
    assert (name, error["status"], error["code"]) == ("error", 502, "model_failed")
    assert attached.rest()[-1] == ("error", error)
    assert [m["content"] for m in messages(here, user)] == ["hello"]
    repeat = stream.again()
    asked = model.asked()
    asked.say("Two.")
    asked.end()
    assert repeat.rest()[-1][1]["reply"] == "Two."


def test_server_stop__lets_the_turn_be_finished(sites, user, model):
    product = sites["product"]
    server = servers.granian(product.environ, product.folder / "third", workers=1)
    try:
        stream = Stream(server, user)
        stream.next()
        asked = model.asked()
        server.process.terminate()
        assert not [line for line in stream._lines if line]  # the stream ends at once
        asked.say("One.")
        asked.end()
        assert server.process.wait(20) == 0
    finally:
        server.stop()
    assert stream.as_json(sites["granian"]).json()["reply"] == "One."
