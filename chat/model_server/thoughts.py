"""What a model thought, where its server has no parser for that and leaves it in the text.

It is at the beginning, between marks of which each kind of model has its own.
"""

import re

_MARKS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "[THINK]": "[/THINK]",
    "<|channel|>": "<|channel|>final<|message|>",
}
# Templates that write the first mark into the prompt leave only the second one, on its own line.
_END_ALONE = re.compile(r"^[ \t]*</think(?:ing)?>[ \t]*$", re.MULTILINE)
_AFTER_ANSWER = ("<|return|>", "<|end|>")


class Shown:
    """The part of a text that is no thought, as the text comes."""

    def __init__(self) -> None:
        self.has_begun = False
        self.is_thought = False
        self.held = ""  # what is not shown yet, or never; of a thought only the end
        self._end = ""

    def add(self, piece: str) -> str:
        """Return what the piece adds to the part that is shown."""
        if self.has_begun:
            return piece
        self.held += piece
        while not self.has_begun:
            if self.is_thought:
                _, ends, rest = self.held.partition(self._end)
                if not ends:
                    # Thoughts are long: to search all of it again would make each word cost more.
                    self.held = self.held[1 - len(self._end) :]
                    return ""
                self.held, self.is_thought = rest, False
            self.held = self.held.lstrip()
            begun = [mark for mark in _MARKS if self.held.startswith(mark)]
            if begun:
                self.is_thought, self._end = True, _MARKS[begun[0]]
            elif any(mark.startswith(self.held) for mark in _MARKS):
                return ""
            else:
                self.has_begun = True
        return self.held


def without_thoughts(text: str) -> str:
    """Return the text without what the model thought; of a thought without an end nothing stays."""
    shown = Shown()
    visible = shown.add(text)
    if not shown.has_begun:
        return "" if shown.is_thought else shown.held
    if (end := _END_ALONE.search(visible)) and not any(
        mark in visible[: end.start()] for mark in _MARKS
    ):
        visible = visible[end.end() :]
    for mark in _AFTER_ANSWER:
        visible = visible.rstrip().removesuffix(mark)
    return visible
