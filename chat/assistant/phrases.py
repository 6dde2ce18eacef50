"""Plain English, as far as task commands need it: what a message asks for, and of which tasks."""

import re
from dataclasses import dataclass
from typing import Literal, cast

Verb = Literal["add", "list", "complete", "update", "delete", "help", "decline"]


COMMAND_MAX_CHARACTERS = 1_500  # a title, a description and some words
TARGET_MAX_CHARACTERS = 300  # a title and some words
LIST_MAX_CHARACTERS = 160

# The patterns go back and forth over what they do not match, so each verb has its own limit: a
# regular expression holds the whole process, and no deadline ends it.
_MAX_CHARACTERS: dict[Verb, int] = {
    "add": COMMAND_MAX_CHARACTERS,
    "update": COMMAND_MAX_CHARACTERS,
    "complete": TARGET_MAX_CHARACTERS,
    "delete": TARGET_MAX_CHARACTERS,
    "list": LIST_MAX_CHARACTERS,
    "help": LIST_MAX_CHARACTERS,
    "decline": COMMAND_MAX_CHARACTERS,
}


@dataclass(frozen=True, slots=True)
class Command:
    """What a message asks for.

    `target` is the task or the tasks as the user put it; `title` and `description` the new texts;
    `filter` what to list.
    """

    verb: Verb
    target: str = ""
    title: str = ""
    description: str | None = None
    filter: str = "all"


_POLITE = re.compile(
    r"^(?:(?:hi|hello|hey)\b[\s,!.]*)?(?:please\b[\s,]*)?"
    r"(?:(?:can|could|would|will) you\b\s*|i(?:'d| would) like (?:you )?to\b\s*|"
    r"i want (?:you )?to\b\s*)?"
    r"(?:please\b[\s,]*)?",
    re.IGNORECASE,
)
# Taken off only when the whole is no command: a title may end in "please".
_PLEASE_AT_END = re.compile(r"[\s,]+please[\s.!?]*$", re.IGNORECASE)
_SPACES = re.compile(r"(\s)\s+")  # runs of them are what the patterns go back and forth over
_TASK = r"(?:task|todo|to-do|reminder|item)s?"
_MY = r"(?:(?:the|my|a|an|another|new)\s+)*"

# The first that matches wins, so the narrow ones stand first.
_PATTERNS: list[tuple[Verb, re.Pattern[str]]] = [
    (cast(Verb, verb), re.compile(pattern, re.IGNORECASE | re.DOTALL))
    for verb, pattern in [
        ("help", r"(?:help|hi|hello|hey|what can you do|how does this work)\W*"),
        ("add", r"don'?t (?:let me )?forget\s+(?:to\s+|about\s+)?(?P<title>.+)"),
        ("decline", r"(?:no|nope|cancel|stop|never ?mind|don'?t|do not)\b.*"),
        (
            "list",
            rf"(?:list|show|display|see|view|give)\b(?:\s+me)?\s*{_MY}(?P<filter>(?:all|every|active|open|"
            rf"pending|remaining|unfinished|incomplete|completed?|done|finished)\b)?\s*(?:of\s+)?{_MY}"
            rf"(?:{_TASK}|list|everything|all)?(?:\s+list)?\W*",
        ),
        (
            "list",
            rf"(?:what(?:'s| is| are| do)?|which|do i have)\b.*?(?P<filter>completed|done|finished|"
            rf"active|open|pending|remaining|left)?\b.*?(?:{_TASK}|list|to do|left)\b"
            rf"(?:.*?(?P<filter2>completed|done|finished|active|open|pending|remaining|left))?\W*",
        ),
        (
            "update",
            rf"(?:set|change|update|edit)\s+{_MY}(?:description|note|details?)\s+(?:of|for|on)\s+"
            rf"(?P<target>.+?)\s+to\s+(?P<description>.+)",
        ),
        (
            "update",
            rf"(?:add|attach)\s+{_MY}(?:description|note)\s+(?P<description>.+?)\s+to\s+{_MY}"
            rf"(?P<target>(?:{_TASK}\s+)?#?\d+|{_TASK}\s+.+)",
        ),
        (
            "update",
            rf"(?:rename|retitle|change|update|edit)\s+{_MY}(?:(?:title|name)\s+of\s+)?"
            rf"(?P<target>.+?)\s+(?:to|into|as)\s+(?P<title>.+)",
        ),
        ("update", r"(?:rename|update|edit|change)\s+(?P<target>[^:]+?)\s*:\s*(?P<title>.+)"),
        ("update", r"(?:rename|retitle|update|edit|change)\s+(?P<target>.+)"),
        (
            "complete",
            r"(?:mark|set|tick|check)\s+(?:off\s+)?(?P<target>.+?)\s+(?:as|off|to)\s*(?:as\s+)?"
            r"(?:complete|completed|done|finished)?\W*",
        ),
        ("complete", r"(?:check|tick|cross)\s+off\s+(?P<target>.+)"),
        (
            "complete",
            r"(?:complete|finish|close|done with)\s+(?P<target>.+)",
        ),
        (
            "complete",
            r"i(?:'ve| have)?\s+(?:just\s+)?(?:completed|finished|did|done)\s+(?P<target>.+)",
        ),
        (
            "complete",
            r"(?P<target>.+?)\s+(?:is|are)\s+(?:now\s+)?(?:complete|completed|done|finished)\W*",
        ),
        ("delete", rf"(?:clear|empty|wipe)\s+{_MY}(?P<target>.*)"),
        ("delete", r"(?:delete|remove|drop|erase|discard|get rid of)\s+(?P<target>.+)"),
        (
            "add",
            rf"(?:add|create|make|new|put)\s+{_MY}(?:{_TASK}\b)?\s*(?:(?:called|named|titled|to|:|-)\s*)?"
            rf"(?P<title>.*)",
        ),
        ("add", r"(?:remind me|remember)\s+(?:to\s+|about\s+)?(?P<title>.+)"),
        ("add", r"i\s+(?:need|have|must|should)\s+(?:to\s+)?(?P<title>.+)"),
    ]
]
_DESCRIPTION = re.compile(
    r"^(?P<title>.+?)[\s,;(]+(?:with\s+(?:the\s+|a\s+)?)?(?:description|note)\s*:?\s+(?P<description>.+?)\)?$",
    re.IGNORECASE | re.DOTALL,
)
_TRAILER = re.compile(
    r"\s+(?:to|on|in|from|off)\s+(?:my|the)\s+(?:to-?do\s+|task\s+)?(?:list|tasks)\W*$",
    re.IGNORECASE,
)
_QUOTES = "\"'`\u201c\u201d\u2018\u2019"
_BARE: dict[str, Verb] = {
    "add": "add",
    "complete": "complete",
    "finish": "complete",
    "delete": "delete",
    "remove": "delete",
    "rename": "update",
    "update": "update",
}
_ACTIVE = {"active", "open", "pending", "remaining", "unfinished", "incomplete", "left"}
_DONE = {"complete", "completed", "done", "finished"}


def understand(message: str) -> Command | None:
    """Return what the message asks for, None when it is none of our commands."""
    if len(message) > COMMAND_MAX_CHARACTERS:
        return None
    message = _SPACES.sub(r"\1", message.strip())
    text = _POLITE.sub("", message, count=1).strip() or message
    return _match(text) or _match(_PLEASE_AT_END.sub("", text))


def _match(text: str) -> Command | None:
    if bare := _BARE.get(text.lower()):
        return Command(bare)
    for verb, pattern in _PATTERNS:
        if len(text) <= _MAX_CHARACTERS[verb] and (match := pattern.fullmatch(text)):
            return _command(verb, match.groupdict())
    return None


def _command(verb: Verb, groups: dict[str, str | None]) -> Command:
    title = _TRAILER.sub("", groups.get("title") or "")
    description = groups.get("description")
    if verb == "add" and (match := _DESCRIPTION.match(title)):
        title, description = match["title"], match["description"]
    return Command(
        verb,
        target=_TRAILER.sub("", groups.get("target") or "").strip(),
        title=unquoted(title),
        description=None if description is None else unquoted(description),
        filter=_filter((groups.get("filter") or groups.get("filter2") or "").lower()),
    )


def _filter(word: str) -> str:
    if word in _ACTIVE:
        return "active"
    return "completed" if word in _DONE else "all"


def unquoted(text: str) -> str:
    """Return the text without quotation marks around it."""
    text = text.strip()
    if len(text) > 1 and text[0] in _QUOTES and text.rstrip(".!")[-1:] in _QUOTES:
        return text.rstrip(".!")[1:-1].strip()
    return text


_NUMBERS = re.compile(
    rf"{_MY}(?:{_TASK})?\s*(?:(?:number|nos?\.?|ids?)\s*)?#?\d{{1,15}}(?:(?:[\s,&]|and)+"
    rf"(?:{_TASK}\s*)?#?\d{{1,15}})*\W*",
    re.IGNORECASE,
)
_ALL = re.compile(
    rf"(?:all|every|everything|each)?\s*(?:of\s+)?(?:(?:the|my)\s+)*(?P<which>active|open|pending|"
    rf"unfinished|remaining|complete|completed|done|finished)?\s*(?:{_TASK}|list|everything|all|them)?\W*",
    re.IGNORECASE,
)


def numbers(target: str) -> list[int] | None:
    """Return the task numbers that the target names ("3", "tasks 1, 2 and 5"), None for a title."""
    if len(target) > TARGET_MAX_CHARACTERS or not _NUMBERS.fullmatch(target):
        return None
    return list(dict.fromkeys(int(number) for number in re.findall(r"\d+", target)))


def whole_list(target: str) -> str | None:
    """Return the filter if the target means many ("all", "completed tasks"), None otherwise."""
    match = _ALL.fullmatch(target) if len(target) <= TARGET_MAX_CHARACTERS else None
    if match is None or not re.search(
        r"\b(all|every|everything|each|tasks|todos|list|items|them)\b", target.lower()
    ):
        return None
    return _filter((match["which"] or "").lower())


def title_of(target: str) -> str:
    """Return the title that the target names, without "the task called" and quotation marks."""
    text = re.sub(
        rf"^{_MY}(?:{_TASK}\b\s*)?(?:(?:called|named|titled)\s+)?",
        "",
        target.strip(),
        flags=re.IGNORECASE,
    )
    return re.sub(rf"\s+{_TASK}$", "", unquoted(text or target), flags=re.IGNORECASE).rstrip(".!")
