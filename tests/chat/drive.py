"""Driving turns from tests: ask, read the document, break the store."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection
from django_redis import get_redis_connection

from chat import repository
from chat.conversations.state import ConversationKey, ConversationState
from chat.errors import StoreMissing, StoreUnavailable
from chat.models import Turn
from chat.turns import flush
from chat.turns.accept import ChatRequest
from chat.turns.answer import answer
from tests.servers import wait_until

ALICE = "alice"
SLACK_SECONDS = 2.0  # of a machine under load


def ask(message: str, conversation: int | str | None = "c1", user: str = ALICE, **more) -> Turn:
    """Have a message answered."""
    return answer(ChatRequest(user, message, conversation, **more))


def asked_in_time(message: str, **more) -> Turn:
    """Have it answered within the time that a message may take."""
    began = time.monotonic()
    turn = ask(message, **more)
    assert time.monotonic() - began < settings.CHAT_TURN_SECONDS + SLACK_SECONDS
    return turn


def flushed() -> None:
    """Flush until nothing waits: the breaker may want its pause first."""
    wait_until(lambda: flush.flush_all()[1] == 0, what="that nothing waits any more")


def document(conversation: str = "c1", user: str = ALICE) -> ConversationState | None:
    """What the store holds."""
    key = ConversationKey(user, conversation)
    try:
        return repository.conversation_repository().get(key, time.monotonic() + 5).state
    except StoreMissing:
        return None


def contents(conversation: str = "c1", user: str = ALICE) -> list[str]:
    """The user's messages in the document, in order."""
    state = document(conversation, user)
    return [m.content for m in state.messages if m.role == "user"] if state else []


def put_raw(raw: bytes, conversation: str = "c1", user: str = ALICE) -> None:
    """Put bytes into the Redis store, past everything."""
    get_redis_connection().set(f"chat:{user}:{conversation}", raw)


def get_raw(conversation: str = "c1", user: str = ALICE) -> bytes | None:
    """The bytes that are there."""
    return get_redis_connection().get(f"chat:{user}:{conversation}")


class Hooked:
    """The real repository, with something done before or after a call of it."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.calls: list[str] = []
        self.before: dict[str, list] = {"get": [], "save": [], "delete": []}
        self.after: dict[str, list] = {"get": [], "save": [], "delete": []}

    def get(self, key, deadline):
        return self._call("get", key, deadline)

    def save(self, state, etag, ttl_seconds, deadline):
        return self._call("save", state, etag, ttl_seconds, deadline)

    def delete(self, key, etag, deadline):
        return self._call("delete", key, etag, deadline)

    def _call(self, name, *arguments):
        self.calls.append(name)
        if self.before[name]:
            self.before[name].pop(0)()
        try:
            return getattr(self.inner, name)(*arguments)
        finally:
            if self.after[name]:
                self.after[name].pop(0)()


def nothing() -> None:
    """Let a call pass."""


def away() -> None:
    """Be an outage."""
    raise StoreUnavailable()


@contextmanager
def hooked(monkeypatch) -> Iterator[Hooked]:
    """Put hooks around the repository that everything uses."""
    wrapper = Hooked(repository.conversation_repository())
    with monkeypatch.context() as patch:
        for module in ("turns.open_conversation", "turns.deletion", "repair.quarantine"):
            patch.setattr(f"chat.{module}.conversation_repository", lambda: wrapper)
        yield wrapper


@contextmanager
def failing_once(error: Exception, beginning: str) -> Iterator[None]:
    """Let the first SQL statement that begins so fail."""
    errors = [error]

    def execute_or_fail(execute, statement, *rest):
        if errors and statement.startswith(beginning):
            raise errors.pop()
        return execute(statement, *rest)

    with connection.execute_wrapper(execute_or_fail):
        yield
    assert not errors, "it did not come to that"
