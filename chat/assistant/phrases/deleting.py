"""Deleting: "delete 2", "take milk off my list", "clear completed"."""

from chat.assistant.phrases.command import Command
from chat.assistant.phrases.completing import said_to_be_done
from chat.assistant.phrases.targets import FROM_THE_LIST, numbers, whole_list
from chat.assistant.phrases.wording import PUNCTUATION, cut_end, pattern

_DELETE = pattern(
    r"(?:delete|remove|drop|erase|discard|trash|scrap|purge|clear(?:\s(?:out|up))?|empty|wipe"
    r"|get\srid\sof|throw\s(?:away|out))[:\s]\s?(?P<target>.+)"
)
_TAKE = pattern(r"take\s(?P<target>.+)")


def deleted(text: str) -> Command | None:
    """Understand what begins with a word for deleting."""
    plain = text.rstrip(PUNCTUATION)
    if match := _TAKE.fullmatch(plain):
        taken = cut_end(FROM_THE_LIST, match["target"])
        return Command("delete", target=taken) if taken else None
    if (match := _DELETE.fullmatch(plain)) is None:
        return None
    target = match["target"]
    if numbers(target) is None and whole_list(target) is None:
        if said := said_to_be_done(text):  # "remove stains is done"
            return said
        target = cut_end(FROM_THE_LIST, target) or target
    return Command("delete", target=target)
