"""The chat app."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class ChatConfig(AppConfig):
    """Conversations, their turns and the tasks they are about."""

    name = "chat"
    verbose_name = "Chat"

    def ready(self) -> None:
        """Bound the waiting of every database connection."""
        from chat.locks import limit_waiting  # needs the models

        connection_created.connect(limit_waiting)
