"""Assistants: they take the recent messages and a new one, and return a reply.

They work on tasks only by the toolbox of the turn.
"""

from collections.abc import Sequence
from typing import Protocol

from django.conf import settings

from chat.conversations.state import MessageEntry
from chat.deadline import Deadline
from chat.live.waiting import Steps
from chat.tools.toolbox import Toolbox


class Assistant(Protocol):
    """The interface of an assistant, which answers one message at a time."""

    def answer(
        self,
        window: Sequence[MessageEntry],
        message: str,
        tools: Toolbox,
        deadline: Deadline,
    ) -> str | Steps[str]:
        """Return the reply to a message; an assistant that waits returns the steps to it.

        Args:
            window: the messages before it, oldest first.
            message: the user's new message, which is not in the window.
            tools: the toolbox of this turn. It records each call at once, so that a turn that is
                taken up again repeats none.
            deadline: the time after which nobody waits for the reply any more.

        Raises:
            ModelFailed, ModelTimeout: the model gave no reply.
            TurnConflict: the turn was deleted, or another process has taken it over.
        """


def prepare_assistant() -> None:
    """Import the modules of the configured assistant, so that the first message does not wait."""
    if settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL:
        # The package itself would import all of this at the first request.
        import aiohttp  # noqa: F401
        import openai.resources.chat.completions  # noqa: F401


def configured_assistant() -> Assistant:
    """Return the assistant on a model if a key or a server is configured, else the built-in one."""
    if settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL:
        from chat.assistant.model import ModelAssistant

        return ModelAssistant()
    from chat.assistant.builtin import BuiltinAssistant

    return BuiltinAssistant()
