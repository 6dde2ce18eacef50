"""The user's word for deleting several tasks: the whole next message, and nothing else in it.

Neither what the model says nor text that was pasted, nor a title, is the user's word. So the
question is not the model's either: it is added below the reply, and names the tasks. Only a turn
that was answered so has asked.
"""

import re

from chat.models import Conversation, Task, Turn
from chat.tools.toolbox import NEEDS_CONFIRMATION

_CONFIRMATION = re.compile(
    r"(?:yes|yep|yeah|yup|y|ok|okay|sure|confirm|confirmed|i confirm|do it|go ahead|please do)"
    r"(?:[\s,!.]+(?:please|do it|do that|go ahead|i(?:'m| am) sure|i confirm|confirm(?:ed)?|"
    r"(?:delete|remove) (?:them|these|those|it|all|all of them|everything)))*[\s.!]*",
    re.IGNORECASE,
)


def confirmed_deletes(conversation: Conversation, message: str) -> list[int]:
    """Return the ids of the tasks whose deletion this message says yes to.

    Any other message drops what was asked. The index row is changed, not saved.
    """
    asked, conversation.awaiting_confirmation = conversation.awaiting_confirmation, []
    return asked if _CONFIRMATION.fullmatch(message) else []


def ask_to_confirm(turn: Turn) -> list[int]:
    """Add to the turn's reply the question about the tasks that it may not delete yet.

    Return their numbers, none if the assistant tried to delete none. The turn is not saved.
    """
    refused = [
        call["parameters"]["task_id"]
        for call in turn.tool_calls
        if call["result"].get("error") == NEEDS_CONFIRMATION
    ]
    tasks = list(Task.objects.filter(user_id=turn.user_id, number__in=refused)) if refused else []
    if tasks:
        lines = (f"{task.number}. {' '.join(task.title.split())}" for task in tasks)
        question = f'Deleting these {len(tasks)} can\'t be undone. Say "yes" to delete them:'
        paragraphs = [turn.reply] if turn.reply else []
        turn.reply = "\n\n".join([*paragraphs, "\n".join([question, *lines])])
    return [task.number for task in tasks]
