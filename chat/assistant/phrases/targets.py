"""Which tasks a user means: by number, all of them, by title, or not said clearly."""

import re

from chat.assistant.phrases.wording import (
    ACTIVE,
    ARTICLES,
    DONE,
    LISTS,
    NOUNS,
    PLURAL,
    PUNCTUATION,
    SINGULAR,
    WHOLE,
    cut_end,
    only,
    pattern,
    quoted,
    status,
    unquoted,
    vocabulary,
    words,
)

TARGET_MAX_CHARACTERS = 300  # of numbers, or of words for many: a title may be longer

FROM_THE_LIST = pattern(
    r"\s(?:(?:from|off)(?:\sof)?(?:\s(?:my|the|our))?|(?:on|in|of)\s(?:my|the|our))"
    r"\s(?:(?:to[\s-]?do|task)\s)?(?:list|tasks|to-?dos)$"
)

_TOKEN = re.compile(r"[0-9]+|[^\W0-9_]+|\S")
_DIGITS = re.compile(r"[0-9]{1,15}")
_ONE_AND_A_HALF = re.compile(r"[0-9][.:][0-9]")
_BESIDE_NUMBERS = vocabulary("task tasks todo todos item items reminder reminders the my and also")
_BESIDE_NUMBERS |= vocabulary("number numbers no nos nr id ids now # , & . ; : ! ? ( )")

_OF_MANY = vocabulary(
    "of on in from that that's which are is was were have has been what what's i i've we already "
    "so far not yet now currently still"
)
_MANY = NOUNS | DONE | ACTIVE | WHOLE | ARTICLES | _OF_MANY
_VAGUE = _MANY | vocabulary(
    "it its them they these those he him first second third last next other others both some "
    "any previous latest newest oldest"
)

_ONE = r"(?:task|to-?do|reminder|item)"
_NAMED = pattern(
    rf"(?:(?:the|my|our|this|that)\s)?"
    rf"(?:{_ONE}(?:\s(?:called|named|titled)|\s?:)?\s|(?:called|named|titled)\s)?"
)
_NOUN_AT_END = pattern(rf"\s{_ONE}$")


def numbers(target: str) -> list[int] | None:
    """Return the task numbers that the target names ("3", "tasks 1, 2 and 5"), None for a title."""
    if len(target) > TARGET_MAX_CHARACTERS or _ONE_AND_A_HALF.search(target):
        return None
    found: list[int] = []
    for token in _TOKEN.findall(target.lower()):
        if _DIGITS.fullmatch(token):
            found.append(int(token))
        elif token not in _BESIDE_NUMBERS:
            return None
    return list(dict.fromkeys(found)) or None


def whole_list(target: str) -> str | None:
    """Return the filter if the target means many ("all", "completed tasks"), None otherwise."""
    if len(target) > TARGET_MAX_CHARACTERS or quoted(target) is not None:
        return None
    spoken = words(target)
    if not only(spoken, _MANY):
        return None
    one_of_many = SINGULAR.intersection(spoken) and not {"every", "each"}.intersection(spoken)
    which = status(spoken)
    owned = ARTICLES.intersection(spoken) and (PLURAL | LISTS).intersection(spoken)
    clear = (
        WHOLE.intersection(spoken)
        or DONE.intersection(spoken)
        or owned
        or (which != "all" and PLURAL.intersection(spoken))
    )
    return which if clear and not one_of_many else None


def is_vague(target: str) -> bool:
    """Return whether the target names nothing: "it", "the last one", "a task"."""
    if len(target) > TARGET_MAX_CHARACTERS or quoted(target) is not None:
        return False
    spoken = words(target)
    return not spoken or only(spoken, _VAGUE)


def spellings(target: str) -> list[str]:
    """Return the titles that the target may mean, as it stands first, without "the task" last."""
    if (inner := quoted(target)) is not None:
        return [inner]
    plain = target.strip(PUNCTUATION)
    match = _NAMED.match(plain)
    named = unquoted(plain[match.end() :] if match else plain)
    shorter = cut_end(_NOUN_AT_END, named) or named
    return list(dict.fromkeys(spelling for spelling in (plain, named, shorter) if spelling))
