"""New tasks: "add buy milk", "todo: buy milk", "remind me to buy milk", "I need to buy milk"."""

import re

from chat.assistant.phrases.command import Command
from chat.assistant.phrases.wording import (
    APOSTROPHE,
    DETERMINER,
    TASK,
    cut_end,
    masked,
    pattern,
    unquoted,
    without_full_stop,
)

_COLON = r"(?:\s?:|\s[\u2013-])"
_THE_LIST = r"(?:(?:my|the|our)\s)?(?:(?:to[\s-]?do|task)\s)?(?:list|tasks|to-?dos)"

_ADD = pattern(
    rf"(?:add|create|insert|new|(?:make|write|note|put)(?=\s(?:{DETERMINER}\s)*{TASK}\b))(?:{_COLON}\s?|\s|$)"
    rf"(?:(?:to\s{_THE_LIST}|(?:{DETERMINER}\s)*{TASK}(?![\w-]|\slist\b))"
    rf"(?:{_COLON}|\s(?:called|named|titled|to|for|about|saying)\b)?(?:\s|$))?(?P<title>.*)"
)
_TODO = pattern(
    rf"(?:(?:{DETERMINER}|one\smore)\s)*(?:{TASK}|to\sdo|note(?:\sto\sself)?){_COLON}\s?(?P<title>.+)"
)
_DONT_FORGET = pattern(
    rf"(?:don{APOSTROPHE}?t|do\snot|never)\s(?:let\sme\s)?forget(?:\s(?:to|about|that)\b)?[\s:]\s?"
    r"(?P<title>.*)"
)
_WANTED = [
    pattern(text)
    for text in [
        r"(?:remind\sme|remember)(?:\s(?:to|about|of|that)\b)?[\s:]\s?(?P<title>.+)",
        rf"(?:(?:i|we)(?:{APOSTROPHE}ve)?(?:\salso)?\s)?"
        r"(?:(?:need|have|got|ought)\sto\s|gotta\s|(?<=i\s)(?:must|should|need)\s)"
        rf"(?:[\s.,\u2026]*(?:also|not\sforget\sto|don{APOSTROPHE}?t\sforget\sto|remember\sto)\s)?"
        r"[\s.,\u2026]*(?P<title>.+)",
        r"(?:write|note|jot)\sdown[\s:]\s?(?P<title>.+)",
        r"(?:put|make)\s(?P<title>.+)",
    ]
]
_ONTO_THE_LIST = pattern(
    rf"\s(?:(?:to|onto|into)\s{_THE_LIST}|as\s(?:an?\s)?(?:new\s)?(?:task|to-?do|reminder))$"
)
_ON_MY_LIST = pattern(rf"\s(?:on|in)\s{_THE_LIST}$")
_DESCRIPTION = pattern(
    r"(?:\s?[,;(]\s?|\s)with\s(?:(?:the|a)\s)?(?:description|(?:notes?|details?)(?=\s?:))\b[\s:]*"
    r"|\s?[,;(]\s?(?:description|notes?|details?)\s?(?::|\b)\s?|\sdescription\s?:\s?"
)


def not_forgotten(text: str) -> Command | None:
    """Understand "don't forget to buy milk", before "don't" says no."""
    match = _DONT_FORGET.fullmatch(text)
    return _add(match["title"]) if match else None


def added(text: str) -> Command | None:
    """Understand what says that it is about a new task."""
    match = _ADD.fullmatch(text) or _TODO.fullmatch(text)
    return _add(match["title"]) if match else None


def wanted(text: str) -> Command | None:
    """Understand what may be about a new task, if it is nothing else."""
    match = next((match for form in _WANTED if (match := form.fullmatch(text))), None)
    if match is None:
        return None
    if text[:3].lower() == "put":
        return _add(_without(_ON_MY_LIST, match["title"]))
    return _add(match["title"])


def _add(text: str) -> Command:
    text = _without(_ONTO_THE_LIST, without_full_stop(text))
    split = _DESCRIPTION.search(masked(text))
    if split is None or not split.start():
        return Command("add", title=unquoted(text))
    description = text[split.end() :]
    if text[split.start() : split.end()].lstrip().startswith("("):
        description = description.removesuffix(")")
    return Command("add", title=unquoted(text[: split.start()]), description=unquoted(description))


def _without(ending: re.Pattern[str], text: str) -> str:
    rest = cut_end(ending, text)
    return text if rest is None else rest
