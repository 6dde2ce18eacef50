"""Assistants: history window and message in, reply out; tool calls go through the toolbox."""

from collections.abc import Sequence
from typing import Protocol

from django.conf import settings

from chat.conversations.state import MessageEntry
from chat.deadline import Deadline
from chat.tools.toolbox import Toolbox


class Assistant(Protocol):
    """What answers a message."""

    def answer(
        self,
        window: Sequence[MessageEntry],
        message: str,
        tools: Toolbox,
        deadline: Deadline,
    ) -> str:
        """Return the reply.

        Args:
            window: the messages before this one, oldest first.
            message: what the user says now; it is not in the window.
            tools: of this turn. What they did stands in the turn, whatever becomes of the reply.
            deadline: when an answer is of no use any more.

        Raises:
            ModelFailed, ModelTimeout: there is no reply.
            TurnConflict: the turn is gone, or another process has it.
        """


def prepare_assistant() -> None:
    """Import what the configured assistant needs: the first message need not wait for it."""
    if settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL:
        import openai.resources.chat  # noqa: F401


def configured_assistant() -> Assistant:
    """Return the model-backed assistant if a key or a server is configured, else the built-in."""
    if settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL:
        from chat.assistant.model import ModelAssistant

        return ModelAssistant()
    from chat.assistant.builtin import BuiltinAssistant

    return BuiltinAssistant()
