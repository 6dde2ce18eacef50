"""The base of the pages about a conversation, a quarantined state or a dead letter."""

import logging
from typing import Any, ClassVar

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from chat.admin.lists import READ, VIEW
from chat.conversations.state import ConversationKey
from chat.deadline import Deadline
from chat.errors import (
    ChatError,
    StoreConflict,
    StoreCorrupt,
    StoreMissing,
    StoreUnavailable,
)
from chat.models import Conversation, Turn
from common.admin.pages import AdminPage, log_action
from common.database.busy import DatabaseBusy
from common.events.models import Event, record

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.5  # a page is there within two, whatever the store does
ACTION_SECONDS = 10  # longer than any call to the store may take, shorter than a proxy waits


class ChatPage(AdminPage):
    """A page about a row that belongs to a conversation, whose key is `key`.

    One that `shows_said` has a part that only those see who may read what was said.
    """

    errors = (ChatError, DatabaseBusy)
    shows_said: ClassVar[bool] = False
    permission_of_object: ClassVar[str] = VIEW  # to see the object's page

    @property
    def key(self) -> ConversationKey:
        return ConversationKey(self.object.user_id, self.object.conversation_id)

    @property
    def object_label(self) -> str:
        return f"{self.key.user_id}:{self.key.conversation_id}"

    @property
    def back_url(self) -> str:
        return self.object_url if self.may_see_object else reverse("admin:index")

    @property
    def may_see_object(self) -> bool:
        return self.request.user.has_perms([VIEW, self.permission_of_object])

    @property
    def may_read(self) -> bool:
        """Whether the operator may read what was said."""
        return self.request.user.has_perm(READ)

    def handle(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if READ in self.permissions or (self.shows_said and self.may_read):
            self._record_reader(request.user.get_username())
        return super().handle(request, *args, **kwargs)

    def _record_reader(self, name: str) -> None:
        """Record who reads what a user said, before anything is shown.

        Unlike events, logs can be kept where the audited operators can't reach them.
        """
        what = self.model._meta.verbose_name
        logger.info("%s looked at %s %s (%s)", name, what, self.object_label, self.title)
        about = self.object.event_subject
        record(Event.Kind.READ, Event.Area.CHAT, f"Read: {what} ({self.title}).", name, **about)

    def explain(self, error: ChatError | DatabaseBusy) -> tuple[int, str]:
        return status_of(error), in_words(error)

    def leave(self, words: str, to: str = "", level: int = messages.SUCCESS) -> HttpResponse:
        return super().leave(words, to if self.may_see_object else self.back_url, level)

    def record(self, message: str, kind: Event.Kind = Event.Kind.CHANGE) -> None:
        row = Conversation.at(self.key) or self.object
        log_action(self.request, row, message, kind=kind)

    @property
    def waiting_turns(self) -> QuerySet[Turn]:
        """The conversation's turns that wait for the store, without those being answered."""
        return Turn.objects.of(self.key).waiting()

    @property
    def deadline(self) -> Deadline:
        """A new deadline for what the page asks of the store."""
        return Deadline(LOOK_SECONDS if self.request.method == "GET" else ACTION_SECONDS)


def in_words(error: ChatError | DatabaseBusy) -> str:
    """Return what an operator is told about an error."""
    if isinstance(error, StoreUnavailable):
        return "The conversation store does not answer right now."
    if isinstance(error, StoreMissing):
        return "The conversation store has nothing under this key: it has expired or was deleted."
    if isinstance(error, StoreCorrupt):
        return f"What is stored can't be read: {error.reason}. It was left as it is."
    return error.detail


def status_of(error: ChatError | DatabaseBusy) -> int:
    """Return the HTTP status of a page that shows an error."""
    if isinstance(error, StoreUnavailable | DatabaseBusy):
        return 503
    if isinstance(error, StoreMissing):
        return 404
    return 409 if isinstance(error, StoreConflict | StoreCorrupt) else 400
