"""The user's word for deleting several tasks: the whole next message, and nothing else in it.

What the model says, and what stands in pasted text or in titles, is not the user's word.
"""

import re

from chat.models import Conversation

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
