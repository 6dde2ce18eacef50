"""Changes: "rename 2 to buy oat milk", "change the description of 2 to monthly".

Where a text can be cut in more than one place ("rename go to shop to go home"), every cut is a
reading, and the tasks that there are decide between them.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from chat.assistant.phrases.command import Command
from chat.assistant.phrases.targets import numbers
from chat.assistant.phrases.wording import (
    APOSTROPHE,
    DETERMINER,
    END_CHARACTERS,
    PUNCTUATION,
    STATE,
    TASK,
    cut_end,
    masked,
    pattern,
    quoted,
    unquoted,
    vocabulary,
    without_full_stop,
)

CUTS_MAX = 8
DESCRIPTIONS = vocabulary("description desc note notes detail details")
_DESCRIPTION = r"(?:description|desc|notes?|details?)"
_FIELD = rf"(?P<field>title|name|text|wording|{_DESCRIPTION})"
_STATUS = r"(?:status|state)"

_CHANGE = pattern(
    r"(?P<verb>rename|retitle|reword|replace|change|update|edit|modify|set|describe)\s(?P<rest>.+)"
)
_CUT = pattern(r"\s(?:to|into|as)(?:\s|:\s?)|\s?(?:->|=>|\u2192)\s?|\s=\s|\s?:(?=\D)\s?")
_CUT_REPLACE = pattern(r"\s(?:with|by)\s")
_CUT_WITH = pattern(rf"\swith\s(?=(?:{DETERMINER}\s)*{_FIELD}\b)")
_FIELD_OF = pattern(rf"(?:{DETERMINER}\s)*{_FIELD}\s(?:of|for|on)\s(?P<target>.+)")
_FIELD_AT_END = pattern(rf"(?:{APOSTROPHE}s?)?\s?,?\s(?:(?:the|its)\s)?{_FIELD}$")
_FIELD_FIRST = pattern(rf"(?:{DETERMINER}\s)*{_FIELD}(?:\s?[:=]|\sto\b)\s?(?P<value>.+)")
_WITH_FIELD = pattern(rf"(?:{DETERMINER}\s)*{_FIELD}(?:\s?[:=]|\sto\b|\s)\s?(?P<value>.+)")
_FIELD_BETWEEN = pattern(
    rf"(?P<target>(?:{TASK}\s)?(?:#|no\.?\s|number\s)?[0-9]{{1,15}})(?:{APOSTROPHE}s)?,?\s{_FIELD}"
    r"\s(?!(?:to|as|into)\s|[:=-])(?P<value>.+)"
)
_STATUS_OF = pattern(rf"(?:{DETERMINER}\s)*{_STATUS}\s(?:of|for|on)\s(?P<target>.+)")
_STATUS_AT_END = pattern(rf"(?:{APOSTROPHE}s?)?\s{_STATUS}$")
_DONE = pattern(STATE)
_NOT_DONE = pattern(rf"(?:not\s{STATE}|active|open|pending|incomplete|undone|unfinished|to-?do)")
_NOTE_TO = pattern(
    rf"(?:add|attach|put|give)\s(?:{DETERMINER}\s)*{_DESCRIPTION}\s(?:to|for|on)\s"
    r"(?P<target>[^:]+):\s?(?P<description>.+)"
)
_NOTE = pattern(rf"(?:add|attach)\s(?:{DETERMINER}\s)*{_DESCRIPTION}:?\s(?P<rest>.+)")
_A_TASK = pattern(rf"(?:{DETERMINER}\s)*{TASK}\s(?!list\b).+")


def described(text: str) -> Command | None:
    """Understand "add a note "monthly" to task 2", before it is taken for a new task."""
    if match := _NOTE_TO.fullmatch(text):
        target, description = match["target"], match["description"]
    elif match := _NOTE.fullmatch(text):
        rest = match["rest"].rstrip(PUNCTUATION)
        at = masked(rest).lower().rfind(" to ")
        target, description = rest[at + 4 :], rest[:at]
        if at <= 0:
            return None
    else:
        return None
    if numbers(target) or _A_TASK.fullmatch(target) or quoted(target) is not None:
        return Command("update", target=target.strip(), description=unquoted(description))
    return None


def changed(text: str) -> Command | None:
    """Understand what begins with a word for changing."""
    match = _CHANGE.fullmatch(text)
    if match is None:
        return None
    verb, rest = match["verb"].lower(), match["rest"]
    readings = list(_readings(verb, rest))
    if readings:
        return replace(readings[0], others=tuple(readings[1:]))
    return None if verb == "set" else Command("update", target=rest.rstrip(PUNCTUATION))


def _readings(verb: str, rest: str) -> Iterator[Command]:
    if match := _FIELD_BETWEEN.fullmatch(rest):
        yield _change(match["target"], match["field"], match["value"])
    hidden = masked(rest)
    if (cut := _CUT_WITH.search(hidden)) and (match := _WITH_FIELD.fullmatch(rest[cut.end() :])):
        yield _change(rest[: cut.start()], match["field"], match["value"])
    cuts = (_CUT_REPLACE if verb == "replace" else _CUT).finditer(hidden)
    for cut in islice(cuts, CUTS_MAX):
        old, new = rest[: cut.start()].strip(), rest[cut.end() :].strip()
        if old and new:
            yield from _cut_here(verb, old, new)


def _cut_here(verb: str, old: str, new: str) -> Iterator[Command]:
    renames = verb in {"rename", "retitle", "reword", "replace"}
    field = None if quoted(old) is not None else _field(old)
    if field and not (renames and field[1].lower() in DESCRIPTIONS):
        yield _change(*field, new)
    elif not renames and verb != "describe":
        if numbers(old) and (match := _FIELD_FIRST.fullmatch(new)):
            yield _change(old, match["field"], match["value"])
        if state := _state(old, new):
            yield state
            return
    if verb != "set" or numbers(old):  # "set the table to ..." is none of ours
        yield _change(old, "description" if verb == "describe" else "title", new)


def _field(old: str) -> tuple[str, str] | None:
    """Return the task and the field, if the words for what is changed name one."""
    if match := _FIELD_OF.fullmatch(old):
        return match["target"], match["field"]
    match = _FIELD_AT_END.search(old, max(0, len(old) - END_CHARACTERS))
    return (old[: match.start()], match["field"]) if match and match.start() else None


def _state(old: str, new: str) -> Command | None:
    """Understand "change 2 to done"."""
    new = new.rstrip(PUNCTUATION)
    if _NOT_DONE.fullmatch(new):
        return Command("reopen")
    if not _DONE.fullmatch(new):
        return None
    if match := _STATUS_OF.fullmatch(old):
        return Command("complete", target=match["target"])
    return Command("complete", target=cut_end(_STATUS_AT_END, old) or old)


def _change(target: str, field: str, value: str) -> Command:
    target = target.strip()
    if field.lower() in DESCRIPTIONS:
        return Command("update", target=target, description=unquoted(value))
    return Command("update", target=target, title=unquoted(without_full_stop(value)))
