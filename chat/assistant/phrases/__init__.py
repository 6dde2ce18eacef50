"""Plain English, as far as task commands need it: what a message asks for, and of which tasks.

Quotation marks win: what stands in them is never taken for a part of the command.
"""

from collections.abc import Callable

from chat.assistant.phrases import adding, changing, completing, courtesy, deleting, listing
from chat.assistant.phrases.command import Command, Verb
from chat.assistant.phrases.targets import numbers
from chat.assistant.phrases.wording import APOSTROPHE, PUNCTUATION, pattern, words

_BARE: dict[str, Verb] = {
    "add": "add",
    "complete": "complete",
    "finish": "complete",
    "done": "complete",
    "all done": "complete",
    "finished": "complete",
    "mark as done": "complete",
    "i'm done": "complete",
    "delete": "delete",
    "remove": "delete",
    "clear": "delete",
    "rename": "update",
    "update": "update",
    "change": "update",
    "edit": "update",
}
_SPACES = pattern(r"(\s)\s+")
_HELP = pattern(
    r"(?:(?:i\sneed\s)?help|commands)(?:\sme)?|(?:hi|hello|hey|good\s(?:morning|afternoon|evening))(?:\sthere)?"
    r"|what\s(?:can|do)\s(?:you|i)\s(?:do|say|ask)(?:\shere)?|what\sare\syour\scommands"
    r"|(?:who|what)\sare\syou|how\s(?:do|can|does|should|to)\b.*"
)
_THANKS = pattern(
    r"(?:thanks|thank\syou|thx|cheers)(?:\s(?:a\slot|so\smuch|very\smuch))?"
    r"|ok|okay|great|perfect|cool|nice|good"
)
_DECLINE = pattern(
    rf"(?:no(?!s?\.?\s?#?[0-9])|nope|nah|cancel|stop|never\s?mind|don{APOSTROPHE}?t|do\snot|not\snow)"
    r"\b.*"
)
_NEED = pattern(r"(?:(?:i|we)\s)?(?:need|have|want)\sto\s(?P<rest>.+)")


def understand(message: str) -> Command | None:
    """Return what the message asks for, None when it is none of our commands."""
    text = courtesy.bare(_SPACES.sub(r"\1", message.strip()))
    return next((command for read in _READINGS if (command := read(text))), None)


def _alone(text: str) -> Command | None:
    plain = text.rstrip(PUNCTUATION)
    if verb := _BARE.get(" ".join(words(plain[:20]))):
        return Command(verb) if len(plain) <= 20 else None
    if _THANKS.fullmatch(plain):
        return Command("thanks")
    return Command("help") if _HELP.fullmatch(plain) else None


def _declined(text: str) -> Command | None:
    return Command("decline") if _DECLINE.fullmatch(text) else None


def _needed(text: str) -> Command | None:
    """ "I need to delete task 2" names a task; "I need to finish the report" is a new one."""
    match = _NEED.fullmatch(text)
    command = next((c for read in _OF_TASKS if (c := read(match["rest"]))), None) if match else None
    if command and (command.verb == "list" or numbers(command.target)):
        return command
    return None


# The first that understands the text wins.
_OF_TASKS: list[Callable[[str], Command | None]] = [
    listing.asked_for,
    completing.undone,
    completing.completed,
    changing.changed,
    deleting.deleted,
]
_READINGS: list[Callable[[str], Command | None]] = [
    _alone,
    adding.not_forgotten,
    _declined,
    changing.described,
    adding.added,
    *_OF_TASKS,
    completing.said_to_be_done,
    _needed,
    adding.wanted,
    listing.mentioned,
]
