"""Operators of the admin pages, and conversations in every state for them to look at."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from chat.models import Conversation, Quarantine, Turn
from tests.chat.drive import ALICE, ask, put_raw

HOSTILE = "<script>alert(1)</script>\u202e&amp;{{ 7|add:7 }}"
RAW = b'{"conversation_id": "bad", "mess<script>'


def operator(*permissions: str) -> Client:
    """Staff with these permissions on conversations, logged in."""
    name = "-".join(permissions) or "nobody"
    user = User.objects.create_user(name, is_staff=True)
    codenames = [f"{permission}_conversation" for permission in permissions]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


@dataclass(frozen=True)
class Rows:
    """One of each."""

    conversation: Conversation
    copy: Quarantine
    letter: Turn

    def path(self, page: str) -> str:
        """The path of a page, such as conversation/delete."""
        model, _, rest = page.partition("/")
        row = {
            "conversation": self.conversation,
            "quarantine": self.copy,
            "deadletter": self.letter,
        }[model]
        return f"/admin/chat/{model}/{row.pk}/{rest}/" if rest else f"/admin/chat/{model}/"


def one_of_each() -> Rows:
    """A stored conversation c1; `bad`, whose state is corrupt; a dead letter in `full`."""
    ask(HOSTILE)
    ask("hello", "bad")
    put_raw(RAW, "bad")
    ask("waits", "bad")
    letter = ask(HOSTILE, "full")
    dead(letter)
    return Rows(Conversation.objects.get(conversation_id="c1"), Quarantine.objects.get(), letter)


def dead(turn: Turn, refusal: str = "The store refuses it.") -> None:
    """Make it a dead letter."""
    Turn.objects.filter(pk=turn.pk).update(state=Turn.State.DEAD_LETTER, refusal=refusal)


def quarantined(raw: bytes, conversation: str = "raw", user: str = ALICE) -> Quarantine:
    """A copy in quarantine of what the store has."""
    put_raw(raw, conversation, user)
    return Quarantine.objects.create(
        user_id=user,
        conversation_id=conversation,
        digest=hashlib.sha256(raw).hexdigest(),
        content_base64=base64.b64encode(raw).decode(),
        reason="it is no conversation",
    )


def many_rows(count: int, title: Callable[[int], str] = "Title {}".format) -> None:
    """Index rows, as many as that."""
    now = timezone.now()
    Conversation.objects.bulk_create(
        (
            Conversation(
                user_id=f"user-{number % 5000}",
                conversation_id=str(number),
                id_is_integer=True,
                title=title(number),
                message_count=number % 200,
                updated_at=now - timedelta(minutes=number),
                expires_at=now + timedelta(minutes=number),
            )
            for number in range(count)
        ),
        batch_size=5000,
    )


def history() -> list[str]:
    """What admin's history says, oldest first."""
    return [entry.change_message for entry in LogEntry.objects.order_by("id")]


def told(client) -> str:
    """What the last messages say."""
    return client.get("/admin/").content.decode()
