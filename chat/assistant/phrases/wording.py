"""The words that the built-in assistant knows, and how it cuts a text.

A regular expression holds the whole process, and no deadline ends it. So patterns here either stand
at a place and go through the text once (`match`), or look at its last few characters (`cut_end`);
what a text is made of is asked word by word.
"""

import re
from collections.abc import Collection, Sequence

END_CHARACTERS = 80  # as far as cut_end looks: longer than any ending that we know
PUNCTUATION = " \t\r\n.,;:!?\u2026"

TASK = r"(?:tasks?|to-?dos?|reminders?|items?)"
STATE = r"(?:complete|completed|done|finished)"
DETERMINER = r"(?:the|my|our|a|an|another|new|this|that)"
APOSTROPHE = r"['\u2019]"


def vocabulary(text: str) -> frozenset[str]:
    """Return the words of a list of words."""
    return frozenset(text.split())


SINGULAR = vocabulary("task todo to-do reminder item one")
PLURAL = vocabulary("tasks todos to-dos reminders items ones things")
LISTS = vocabulary("list lists")
NOUNS = SINGULAR | PLURAL | LISTS
DONE = vocabulary("complete completed done finished")
ACTIVE = vocabulary(
    "active open pending remaining unfinished incomplete uncompleted outstanding undone left"
)
NOT = vocabulary("not isn't aren't haven't hasn't yet")
WHOLE = vocabulary("all every everything each whole entire")
ARTICLES = vocabulary("the my our a an this that")

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_QUOTED = re.compile(
    r"\"[^\"]*\"|`[^`]*`|\u201c[^\u201c\u201d]*\u201d|(?<!\w)'[^']*'(?!\w)|\u2018[^\u2018\u2019]*\u2019"
)
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}


def pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern as all of ours are: upper case is lower case, a newline is a character."""
    return re.compile(text, re.IGNORECASE | re.DOTALL)


def words(text: str) -> list[str]:
    """Return the words, in lower case, without punctuation."""
    return [word.casefold().replace("\u2019", "'") for word in _WORD.findall(text)]


def status(spoken: Collection[str]) -> str:
    """Return which tasks the words mean: "all", "active" or "completed"."""
    done, active = DONE.intersection(spoken), ACTIVE.intersection(spoken)
    if done and NOT.intersection(spoken):
        return "active"
    if done and active:  # "left to be done", but "done and pending"
        return "all" if {"and", "or"}.intersection(spoken) else "active"
    if done:
        return "completed"
    return "active" if active else "all"


def only(spoken: Sequence[str], known: Collection[str]) -> bool:
    """Return whether there are words, and all of them are among these."""
    return bool(spoken) and all(word in known for word in spoken)


def cut_end(ending: re.Pattern[str], text: str) -> str | None:
    """Return the text before the ending (a pattern that ends in `$`), None if it ends otherwise."""
    match = ending.search(text, max(0, len(text) - END_CHARACTERS))
    return text[: match.start()].rstrip() if match else None


def masked(text: str) -> str:
    """Return the text with what stands in quotation marks made illegible, place for place."""
    return _QUOTED.sub(lambda match: "\0" * len(match[0]), text)


def quoted(text: str) -> str | None:
    """Return what the quotation marks around the whole text hold, None if there are none."""
    text = text.strip().rstrip(PUNCTUATION)
    if len(text) < 2 or _QUOTES.get(text[0]) != text[-1]:
        return None
    inner = text[1:-1]
    if text[0] == '"' and '"' in inner:  # "milk" and "eggs" are two
        return None
    return inner.strip()


def unquoted(text: str) -> str:
    """Return the text without quotation marks around it."""
    inner = quoted(text)
    return text.strip() if inner is None else inner


def without_full_stop(text: str) -> str:
    """Take "!" and a full stop off; "...", and that of "etc." or "5 p.m.", belong to the title."""
    text = text.strip()
    if quoted(text) is not None:
        return text
    text = text.rstrip("! ")
    last = text[text.rfind(" ") + 1 :]
    return text[:-1] if last.count(".") == 1 and last.endswith(".") and last != "etc." else text
