"""What the pages behind the lists have in common.

Each is one class with its permissions, which every method of it needs. When the store is away it
says so in words, and the rest of admin works.
"""

import logging
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path
from django.views import View

from chat.admin.lists import VIEW
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
from common.database_busy import DatabaseBusy

logger = logging.getLogger(__name__)

ACTION_SECONDS = 10  # longer than any call to the store may take, shorter than a proxy waits


class ChatPage(View):
    """A page at admin/chat/MODEL/ID/…, for staff with `permissions`.

    `found` is what the page is about, `key` its conversation. What users have said may be on it, so
    no cache keeps it.
    """

    permissions: ClassVar[tuple[str, ...]]
    title: ClassVar[str]
    template: ClassVar[str]
    model: ClassVar[type[Model]]
    converter: ClassVar[str] = "int"

    found: Any
    key: ConversationKey

    @classmethod
    def at(cls, route: str, name: str) -> URLPattern:
        """Return the path of this page, named chat_MODEL_NAME."""
        view = admin.site.admin_view(cls.as_view())
        model_name = cls.model._meta.model_name
        return path(f"<{cls.converter}:pk>/{route}", view, name=f"chat_{model_name}_{name}")

    def dispatch(
        self, request: HttpRequest, *args: Any, pk: int | str, **kwargs: Any
    ) -> HttpResponseBase:
        """Check the permissions, find the row, and answer."""
        if not request.user.has_perms(self.permissions):
            raise PermissionDenied
        self.found = get_object_or_404(self.model._default_manager, pk=pk)
        self.key = ConversationKey(self.found.user_id, self.found.conversation_id)
        if VIEW in self.permissions:
            # For an auditor: who read what a user said. Logs leave the reach of who is audited.
            logger.info(
                "%s looked at %s %s:%s (%s)",
                request.user.get_username(),
                self.model._meta.verbose_name,
                self.key.user_id,
                self.key.conversation_id,
                self.title,
            )
        response: HttpResponseBase
        try:
            response = super().dispatch(request, *args, **kwargs)
        except (ChatError, DatabaseBusy) as error:
            response = self.say(in_words(error), status=status_of(error))
        response.headers["Cache-Control"] = "no-store"
        return response

    def render(
        self, context: dict[str, Any], template: str | None = None, status: int = 200
    ) -> HttpResponse:
        """Return the page with this context and what all pages of admin have."""
        context = {
            **admin.site.each_context(self.request),
            "opts": self.model._meta,
            "found": self.found,
            "title": self.title,
            **context,
        }
        return render(self.request, template or self.template, context, status=status)

    def say(self, words: str, status: int) -> HttpResponse:
        """Return a page that says only this."""
        return self.render({"words": words}, "admin/chat/words.html", status)

    def leave(self, where: str, level: int, words: str, *arguments: Any) -> HttpResponse:
        """Go on to another page, which says these words. Never content of a conversation."""
        messages.add_message(self.request, level, words)
        if not self.request.user.has_perm(VIEW):
            return redirect("admin:index")
        return redirect(where, *arguments)

    def record(self, message: str) -> None:
        """Enter what was done into admin's history of the conversation. Never content."""
        enter(self.request, Conversation.objects.at(self.key) or self.found, message)

    @property
    def waiting_turns(self) -> QuerySet[Turn]:
        """The conversation's turns that wait for the store; none that is being answered."""
        return Turn.objects.of(self.key).waiting()

    @property
    def deadline(self) -> Deadline:
        """Until when the store is waited for."""
        return Deadline(ACTION_SECONDS)


def enter(request: HttpRequest, row: Model, message: str) -> None:
    """Enter what an operator did into admin's history of the row."""
    user_id = request.user.pk
    assert user_id is not None  # admin_view lets nobody in who has not logged in
    LogEntry.objects.log_actions(user_id, [row], CHANGE, message, single_object=True)


def in_words(error: ChatError | DatabaseBusy) -> str:
    """Return what an operator is told."""
    if isinstance(error, StoreUnavailable):
        return "The conversation store does not answer right now."
    if isinstance(error, StoreMissing):
        return "The conversation store has nothing under this key: it has expired, or is deleted."
    if isinstance(error, StoreCorrupt):
        return f"What is stored can't be read: {error.reason}. It was left as it is."
    return error.detail


def status_of(error: ChatError | DatabaseBusy) -> int:
    """Return the status of a page that says no more than the error."""
    if isinstance(error, StoreUnavailable | DatabaseBusy):
        return 503
    if isinstance(error, StoreMissing):
        return 404
    return 409 if isinstance(error, StoreConflict | StoreCorrupt) else 400
