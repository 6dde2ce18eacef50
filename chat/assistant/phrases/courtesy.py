"""What people say around a command: greetings, please, can you, thanks."""

from chat.assistant.phrases.wording import APOSTROPHE, PUNCTUATION, cut_end, pattern

_BEFORE = pattern(
    r"(?:(?:(?P<asks>(?:can|could|will|would)\s(?:you|i|we)(?:\s(?:help\sme(?:\sto)?|kindly|also))?)"
    r"|(?:hi|hello|hey|good\s(?:morning|afternoon|evening))(?:\sthere)?"
    r"|ok(?:ay)?|so|now|well(?=,)|alright|actually|also|and|then|just|please|pls|kindly"
    rf"|(?:i|we)(?:{APOSTROPHE}d|\swould)\slike\s(?:you\s)?to"
    r"|i\swant\s(?:you\s)?to|i\swanna|i\sneed\syou\sto"
    rf"|let{APOSTROPHE}?s|let\sme|help\sme(?:\sto)?|go\sahead\sand"
    r")\b[\s,!.:;-]*)"
)
_AFTER = [
    # Without a comma "please" may belong to the title: "learn to say please".
    pattern(
        r"(?:[,.;!?-]\s?|\s-\s)(?:(?:please(?:\sand\sthank\syou)?|pls|thanks|thank\syou|thx|cheers)"
        r"(?:\s(?:very\smuch|so\smuch|a\slot|in\sadvance))?)$"
    ),
    pattern(
        r"(?<!\bsay)(?<!\bsaying)(?<!\bsaid)(?<!\bword)(?<!\bwrite)(?<!\band)\s(?:please|pls)$"
    ),
]
_FOR_ME = pattern(r"\sfor\sme$")


def bare(message: str) -> str:
    """Return the message without the politeness around it, or as it is if that is all of it."""
    start, asks = 0, False
    while match := _BEFORE.match(message, start):
        start, asks = match.end(), asks or match["asks"] is not None
    text = message[start:].strip() or message
    for ending in _AFTER:
        if (rest := cut_end(ending, text.rstrip(PUNCTUATION))) is not None:
            text = rest
    if not asks:
        return text
    text = text.rstrip(" ?")  # of "can you add milk?"; it is no part of the title
    rest = cut_end(_FOR_ME, text)
    return text if rest is None else rest
