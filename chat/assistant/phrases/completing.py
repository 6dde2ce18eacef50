"""Tasks that are done: "complete 2", "mark 2 done", "I've finished 2", "2 is done"."""

from chat.assistant.phrases.command import Command
from chat.assistant.phrases.targets import FROM_THE_LIST, numbers
from chat.assistant.phrases.wording import (
    APOSTROPHE,
    PUNCTUATION,
    STATE,
    cut_end,
    masked,
    pattern,
)

_I_HAVE = rf"(?:i|we)(?:{APOSTROPHE}(?:ve|m|re)|\shave|\sam|\sare)?\s"
_COMPLETE = pattern(
    r"(?:complete|finish|close|resolve|tick(?:\s(?:off|out))?|(?:check|cross|mark|strike)\s(?:off|out)"
    rf"|(?:mark|set)\s(?:as\s)?{STATE}"
    rf"|(?:{_I_HAVE})?(?:(?:just|already|now|finally)\s)*"
    rf"(?:completed|finished|done|did(?!\s(?:i|we|you)\b))(?:\swith)?"
    r")(?:\s?:)?\s(?P<target>.+)"
)
_I_AM_DONE = pattern(rf"{_I_HAVE}(?:(?:just|already|now|all|finally)\s)*(?:{STATE})")
_MARK = pattern(r"(?P<verb>mark|set|tick|check|cross|flag|make)\s(?P<target>.+)")
_AS_DONE = pattern(rf"(?:\s(?:as|to|is|are|to\sbe|as\sbeing))?(?:\s(?:now|already))?\s{STATE}$")
_DONE = pattern(  # "set 2 to done": see changing
    rf"(?:\sas|(?<!\sto)(?<!\sbe)(?<!\sis)(?<!\sare))\s{STATE}$"
)
_OFF = pattern(r"\soff(?:\s(?:of\s)?(?:my|the|our)\s(?:(?:to[\s-]?do|task)\s)?list)?$")
_AS_NOT_DONE = pattern(
    rf"(?:\s(?:as|to))?\s(?:not\s(?:yet\s)?{STATE}|incomplete|undone|unfinished|uncompleted)$"
    r"|\s(?:as|to)\s(?:active|open|pending|to-?do)$"
)
_REOPEN = pattern(
    r"undo(?:\s.+)?|(?:reopen|re-open|uncomplete|uncheck|untick|unmark)\s.+"
    rf"|(?:i|we)\s(?:have\snot|haven{APOSTROPHE}?t|did\snot|didn{APOSTROPHE}?t)\s(?:yet\s)?"
    rf"(?:do|finish|{STATE})\b.*"
)
_IS_DONE = pattern(
    rf"(?:\s(?:is|are|was|were|got|(?:has|have)\sbeen)|{APOSTROPHE}(?:s|re))"
    rf"(?:\s(?:now|all|already|finally))?\s{STATE}(?:\s(?:now|already|too))?$"
    rf"|\s?[:=]\s?{STATE}$|\s[\u2013-]\s{STATE}$"
)
_IS_NOT_DONE = pattern(
    rf"\s(?:is|are|was|were)(?:\snot|n{APOSTROPHE}t)(?:\syet)?\s{STATE}(?:\syet)?$"
)
_IT_AT_END = pattern(r"\s?[,;.:-]\s?(?:it|that|this)$")
_STATE_AT_END = pattern(rf"\s{STATE}$")


def undone(text: str) -> Command | None:
    """Understand that a task is not done (any more), which nothing can be made of."""
    plain = text.rstrip(PUNCTUATION)
    marked = _MARK.match(plain) and cut_end(_AS_NOT_DONE, plain)
    if marked or _REOPEN.fullmatch(plain) or cut_end(_IS_NOT_DONE, plain):
        return Command("reopen")
    return None


def completed(text: str) -> Command | None:
    """Understand what begins with a word for completing."""
    plain = text.rstrip(PUNCTUATION)
    if match := _MARK.fullmatch(plain):
        may_be_off = match["verb"].lower() not in {"set", "make"}
        target = cut_end(_AS_DONE if may_be_off else _DONE, match["target"])
        if target is None and may_be_off:
            target = cut_end(_OFF, match["target"])
        if target:
            return _complete(target)
    if match := _COMPLETE.fullmatch(plain):
        return _complete(match["target"])
    if _I_AM_DONE.fullmatch(plain):
        return Command("complete")
    match = _MARK.fullmatch(plain)
    is_number = match and match["verb"].lower() in {"mark", "tick", "cross"}
    return _complete(match["target"]) if match and is_number and numbers(match["target"]) else None


def said_to_be_done(text: str) -> Command | None:
    """Understand "buy milk is done"; "is buy milk done?" is a question."""
    plain = text.rstrip(PUNCTUATION)
    if text.endswith("?"):
        return None
    if (target := cut_end(_IS_DONE, masked(plain))) is not None:
        target = plain[: len(target)]
        without_it = cut_end(_IT_AT_END, target)
        return _complete(without_it or target)
    short = cut_end(_STATE_AT_END, plain)
    return _complete(short) if short and numbers(short) else None


def _complete(target: str) -> Command:
    target = target.strip()
    rest = cut_end(FROM_THE_LIST, target)
    return Command("complete", target=rest or target)
