"""Where a Markdown text that grows has come to: what is written in code there means nothing."""

import re

_TAIL_CHARACTERS = 8
# A sentence that goes on, or a mark that is emphasised or quoted.
_AMID = re.compile(r"""[\w,;:(\[<|*"'`\u201c\u2018\xab-]\s*$""")
_QUOTATION = re.compile(r"""(?:^|[\s(\[])["'\u201c\u2018\xab]$""")


class Place:
    """The end of a text.

    Attributes:
        is_code: it is in a block of code, or in a code span.
    """

    def __init__(self) -> None:
        self._is_fenced = False
        self._head = self._tail = ""  # of its line
        self._ticks = 0

    def go_on(self, text: str) -> None:
        """Move to the end of what follows."""
        for number, line in enumerate(text.split("\n")):
            if number:
                self._is_fenced ^= self._head.lstrip().startswith("```")
                self._head, self._tail, self._ticks = "", "", 0
            self._head += line[: _TAIL_CHARACTERS - len(self._head)]
            self._tail = (self._tail + line)[-_TAIL_CHARACTERS:]
            self._ticks += line.count("`")

    @property
    def is_code(self) -> bool:
        return self._is_fenced or self._ticks % 2 == 1

    @property
    def is_amid(self) -> bool:
        """Whether a sentence goes on here."""
        return bool(_AMID.search(self._tail))

    @property
    def is_quoted(self) -> bool:
        """Whether a quotation has just begun."""
        return bool(_QUOTATION.search(self._tail))
