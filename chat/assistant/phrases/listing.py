"""Asking for the tasks: "show my tasks", "what's left", "how many have I done?"."""

from chat.assistant.phrases.command import Command
from chat.assistant.phrases.wording import (
    ACTIVE,
    ARTICLES,
    DONE,
    LISTS,
    NOT,
    NOUNS,
    PLURAL,
    WHOLE,
    masked,
    only,
    pattern,
    status,
    vocabulary,
    words,
)

LIST_MAX_CHARACTERS = 200
_ALONE = vocabulary("list show display view")
_SHOW = _ALONE | vocabulary("see give tell read print check get")
_ASK = vocabulary("what what's whats which how do have is are any anything")
_STATES = DONE | ACTIVE | NOT
_BETWEEN = vocabulary(
    "me i we us i've i'm you of on in for at to do be am is are was were have has had got "
    "been there need must should still now today currently so far already many much about any "
    "anything else next up with and or please what which what's that it out can be status "
    "agenda here"
)
_KNOWN = _SHOW | _ASK | _STATES | _BETWEEN | NOUNS | WHOLE | ARTICLES
_OF_A_NAME = _STATES | NOUNS | WHOLE | ARTICLES | vocabulary("to do current of")
_CONTENT = NOUNS | DONE | ACTIVE | WHOLE | vocabulary("next agenda")
_TO_DO = pattern(r".*\b(?:to|should|must|i|we)\sdo\b")
_TO_BE_DONE = vocabulary("need must should left next")


def asked_for(text: str) -> Command | None:
    """Understand what is made of nothing but words for asking, tasks and their state."""
    spoken = _spoken(text)
    if only(spoken, _OF_A_NAME) and spoken[0] != "complete" and (PLURAL | LISTS) & set(spoken):
        return Command("list", filter=status(spoken))
    if not only(spoken, _KNOWN) or spoken[0] not in _SHOW | _ASK:
        return None
    rest = spoken[1:]
    to_do = bool(_TO_DO.match(" ".join(rest)))  # "what do I have to do?", "my to do list"
    if _CONTENT.intersection(rest) or to_do or spoken[0] in _ALONE:
        asks_to_do = _TO_BE_DONE.intersection(spoken) or (to_do and not NOUNS.intersection(spoken))
        is_active = asks_to_do and not DONE.intersection(spoken)
        return Command("list", filter="active" if is_active else status(rest))
    return None


def mentioned(text: str) -> Command | None:
    """Understand a question that is about tasks, whatever else it says: a list does no harm."""
    spoken = _spoken(text)
    if not spoken or spoken[0] not in _SHOW | _ASK - vocabulary("is are do have"):
        return None
    rest = spoken[1:]
    return Command("list", filter=status(rest)) if NOUNS.intersection(rest) - {"one"} else None


def _spoken(text: str) -> list[str]:
    return words(masked(text)) if len(text) <= LIST_MAX_CHARACTERS else []
