"""Routes under /api/. A user id is anything but a slash; whose path it is, the view checks."""

from django.urls import path, register_converter

from chat.api.conversation_views import (
    ConversationsView,
    ConversationView,
    ExportView,
    MessagesView,
)
from chat.api.token_views import RefreshView, TokenView
from chat.api.views import ChatView, StopView


class UserIdConverter:
    """Anything but a slash, newlines included."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(UserIdConverter, "chat_user")
register_converter(UserIdConverter, "chat_conversation")

_CONVERSATION = "<chat_user:user_id>/conversations/<chat_conversation:conversation_id>"

urlpatterns = [
    path("token/", TokenView.as_view()),
    path("token/refresh/", RefreshView.as_view()),
    path("<chat_user:user_id>/chat", ChatView.as_view()),
    path("<chat_user:user_id>/conversations", ConversationsView.as_view()),
    path(_CONVERSATION, ConversationView.as_view()),
    path(f"{_CONVERSATION}/messages", MessagesView.as_view()),
    path(f"{_CONVERSATION}/export", ExportView.as_view()),
    path(f"{_CONVERSATION}/turns/<slug:turn_id>/stop", StopView.as_view()),
]
