"""The chat app."""

from django.apps import AppConfig


class ChatConfig(AppConfig):
    """Conversations, their turns and the tasks they are about."""

    name = "chat"
    verbose_name = "Chat"
