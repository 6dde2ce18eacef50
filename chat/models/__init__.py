"""Conversations' index, their turns, tasks, and what is in quarantine.

User ids are text, whoever issued them: the users of another issuer have no row in auth_user.
"""

from chat.models.conversations import Conversation
from chat.models.quarantine import Quarantine
from chat.models.sessions import EndedSession
from chat.models.turns import DeadLetter, Turn
from chat.models.users import ChatUser, Task

__all__ = [
    "ChatUser",
    "Conversation",
    "DeadLetter",
    "EndedSession",
    "Quarantine",
    "Task",
    "Turn",
]
