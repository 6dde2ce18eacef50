"""Every page of ours in admin, found by its URL, and something of everything that they are about.

A page that is added is found by itself. If its URL has an argument that samples() does not know,
the tests that go through all pages fail and say so.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.contrib import admin
from django.urls import URLPattern, URLResolver
from django.utils import timezone
from django_redis import get_redis_connection

from chat.conversations.state import ConversationKey, key_of
from chat.models import Conversation, Quarantine, Turn
from chat.repository import conversation_repository
from connector_state.models import Connector, Credential
from connector_state.store.keys import connector_keys
from tests.chat.samples import conversation, fresh_key, soon
from tests.connectors import SigningConnector

APPS = ("connector_state", "chat", "overview")
NAMESPACE, KEY = "m365", "delta:of-contoso"
VALUE = "the-value-that-nobody-may-see"


@dataclass(frozen=True)
class Page:
    """A URL pattern beneath /admin/, such as chat/turn/<path:object_id>/change/."""

    pattern: str
    arguments: frozenset[str]

    @property
    def subject(self) -> str:
        """What `object_id` or `pk` is of: what stands before it, else the model."""
        before = re.search(r"(\w+)/<\w+:(?:object_id|pk)>", self.pattern)
        return before[1] if before else self.pattern.split("/")[1]


def pages() -> Iterator[Page]:
    """All pages of our apps."""

    def walk(patterns: list[Any], prefix: str, arguments: frozenset[str]) -> Iterator[Page]:
        for entry in patterns:
            pattern = prefix + str(entry.pattern)
            here = arguments | set(entry.pattern.converters)
            if isinstance(entry, URLResolver):
                yield from walk(entry.url_patterns, pattern, here)
            elif isinstance(entry, URLPattern) and pattern.startswith(tuple(f"{a}/" for a in APPS)):
                yield Page(pattern, frozenset(here))

    yield from walk(admin.site.urls[0], "", frozenset())


@dataclass(frozen=True)
class World:
    """Something of everything that pages are about."""

    connector: SigningConnector
    credential: Credential
    conversation: Conversation
    turn: Turn
    quarantine: Quarantine
    key: ConversationKey

    @classmethod
    def create(cls) -> "World":
        connector = SigningConnector.create()
        stored = connector.call("PUT", connector.path(NAMESPACE, KEY), VALUE.encode())
        assert stored.status_code == 204
        state = conversation(fresh_key())
        conversation_repository().save(state, None, 3600, soon())
        whose = {"user_id": state.user_id, "conversation_id": state.conversation_id}
        return cls(
            connector,
            Credential.objects.get(key_id=connector.key_id),
            Conversation.objects.create(**whose, title="T", id_is_integer=False, message_count=2),
            Turn.objects.create(
                **whose,
                id=state.conversation_id,
                id_is_integer=False,
                accepted_at=timezone.now(),
                message="hello",
                state=Turn.State.DEAD_LETTER,
            ),
            Quarantine.objects.create(
                **whose, digest="d" * 64, content_base64="eyJicm9rZW4i", reason="cut off"
            ),
            key_of(state),
        )

    def samples(self, page: Page) -> dict[str, Any]:
        """What the arguments of a page's URL are, by their names; `object_id` by what it is of."""
        subjects: dict[str, Any] = {
            "connector": self.connector.uuid,
            "credential": self.credential.pk,
            "credentials": self.credential.pk,
            "conversation": self.conversation.pk,
            "turn": self.turn.pk,
            "deadletter": self.turn.pk,
            "quarantine": self.quarantine.pk,
        }
        by_subject = dict.fromkeys(("object_id", "pk"), subjects.get(page.subject))
        return by_subject | {
            "uuid": self.connector.uuid,
            "namespace": NAMESPACE,
            "key": KEY,
            "key_id": self.connector.key_id,
            "credential_id": self.credential.pk,
            "user_id": self.conversation.user_id,
            "conversation_id": self.conversation.conversation_id,
            "turn_id": self.turn.pk,
            "quarantine_id": self.quarantine.pk,
        }

    def url(self, page: Page) -> str:
        """Where a page is, with samples for its arguments."""
        samples = self.samples(page)
        unknown = [name for name in page.arguments if samples.get(name) is None]
        assert not unknown, f"samples() lacks {unknown} of /admin/{page.pattern}: add them"
        filled = re.sub(
            r"<(?:\w+:)?(\w+)>", lambda m: quote(str(samples[m[1]]), safe=""), page.pattern
        )
        return f"/admin/{filled}"

    def named_url(self, page: Page) -> str:
        """The same, with a query that names the key."""
        key = f"namespace={NAMESPACE}&ns={NAMESPACE}&key={quote(KEY)}&prefix=&after="
        return f"{self.url(page)}?{key}"

    def forms(self, page: Page) -> list[dict[str, Any]]:
        """What a page's form may be sent: nothing, and whatever may name a value or an action."""
        names = {"namespace": NAMESPACE, "ns": NAMESPACE, "key": KEY, "prefix": "", "after": ""}
        member = f"{NAMESPACE}:{KEY}"
        chosen = {"key_id": self.connector.key_id, "post": "yes", "confirm": "yes"}
        chosen |= {"_selected_action": str(self.samples(page)["object_id"]), "index": "0"}
        many = {"selected": [member], "keys": [KEY], "members": [member]}
        actions = ("show", "export", "delete_selected")
        return [{}, *({**names, **chosen, **many, "action": action} for action in actions)]

    def fingerprint(self) -> tuple[object, ...]:
        """What a viewer can't change."""
        redis = get_redis_connection()
        return (
            redis.get(connector_keys(self.connector.uuid).value_prefix + f"{NAMESPACE}:{KEY}"),
            list(Connector.objects.order_by("pk").values()),
            list(Credential.objects.order_by("pk").values()),
            # Times are repaired by whoever reads a conversation.
            list(Conversation.objects.order_by("pk").values("pk", "title", "active", "corrupt")),
            list(Turn.objects.order_by("pk").values()),
            list(Quarantine.objects.order_by("pk").values()),
            conversation_repository().get(self.key, soon()).etag,
        )

    def words_of_values(self) -> list[str]:
        """What gives the value away, and what opens the connector."""
        return [VALUE, hashlib.sha1(VALUE.encode()).hexdigest(), *self.words_of_secrets()]

    def words_of_secrets(self) -> list[str]:
        return [self.connector.secret, self.credential.encrypted_secret]
