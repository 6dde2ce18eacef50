"""What a model says to its user, where its server leaves all that the model wrote in the text.

That is, without what it thought, without the calls that it wrote (written_calls), and without the
marks that end its answer. Each kind of model has marks of its own. In code a mark means nothing.
"""

from collections.abc import Callable

from chat.model_server.text.markdown import Place
from chat.model_server.text.marks import (
    CALLS,
    END_MAX_CHARACTERS,
    ENDS_OF_THOUGHTS,
    ENVELOPES,
    STOPS,
    THOUGHTS,
    Finder,
)
from chat.model_server.text.written_calls import is_plain, read_calls
from chat.tools.toolbox import Call

RUNS_MAX = 8  # of what looks like calls, so that a text full of marks costs little

_Reader = Callable[[str, int], int]
MayCall = Callable[[str], bool]  # whether markup that begins so may be calls


class Shown:
    """The part of a text that the user sees, as the text comes.

    Attributes:
        calls: that the text ends with, after its end.
    """

    def __init__(self) -> None:
        self.calls: tuple[Call, ...] = ()
        self._visible: list[str] = []
        self._fresh: list[str] = []
        self._place, self._placed = Place(), 0
        self._is_quick = False  # a piece without a mark is shown as it is
        self._is_over = False
        self._waiting = ""  # what may be the beginning of a mark; of a thought, only its end
        self._stopped: list[str] = []  # marks that end the answer, if nothing follows
        self._held: list[str] = []  # from a mark of calls on
        self._is_gap = True  # white space is dropped: what was before it is not shown
        self._has_thought = False
        self._stops = set(STOPS)
        self._end = THOUGHTS["<think>"]
        self._read: _Reader = self._read_beginning
        self._after_held: _Reader = self._read_text

    @property
    def text(self) -> str:
        """What is shown."""
        return "".join(self._visible)

    def add(self, piece: str) -> str:
        """Return what the piece adds to the part that is shown."""
        if self._is_quick and not _FINDER.has_first(piece):
            self._visible.append(piece)
            return piece
        self._fresh = []
        self._go_on(piece)
        self._is_quick = not (self._waiting or self._stopped or self._is_gap or self._held) and (
            self._read == self._read_text
        )
        return "".join(self._fresh)

    def end(self, may_call: MayCall = lambda markup: True) -> None:
        """Read what was held back: it is calls, or text after all."""
        self._is_over = True
        self._go_on("")
        for runs_left in range(RUNS_MAX, -1, -1):
            if not self._held:
                return
            text, self._held = "".join(self._held), []
            end = 1 if runs_left else len(text)
            if runs_left and may_call(text):
                self.calls, end = read_calls(text)
            if self.calls:
                return
            self._read = self._after_held
            if self._read == self._read_text:  # else it is a part of what the model thought
                self._say(text[:end])
            self._go_on(text[end:])

    def _go_on(self, piece: str) -> None:
        text, at = self._waiting + piece, 0
        self._waiting = ""
        while at < len(text):
            at = self._read(text, at)

    def _say(self, text: str) -> None:
        if self._stopped:
            self._stopped.append(text)
            if not text.strip():
                return
            text, self._stopped = "".join(self._stopped), []
        if self._is_gap:
            text = text.lstrip()
        if text:
            self._is_gap = False
            self._visible.append(text)
            self._fresh.append(text)

    # --- What is read next: each returns how far it came ------------------------------------------

    def _read_beginning(self, text: str, at: int) -> int:
        while at < len(text) and text[at].isspace():
            at += 1
        plain = is_plain(text, at)
        if plain is None and not self._is_over:
            self._waiting = text[at:]
            return len(text)
        if plain:
            return self._hold(self._read_text, at)
        self._read = self._read_text
        return at

    def _read_text(self, text: str, at: int) -> int:
        found = _FINDER.search(text, at)
        if found is None:
            cut = len(text) if self._is_over else _FINDER.begun_at(text, at)
            self._say(text[at:cut])
            self._waiting = text[cut:]
            return len(text)
        self._say(text[at : found.start()])
        self._place.go_on("".join(self._visible[self._placed :]))
        self._placed = len(self._visible)
        if not self._place.is_code:
            return _TAKES[found[0]](self, found[0], found.start())
        self._say(found[0])
        return found.end()

    def _read_thought(self, text: str, at: int) -> int:
        found = self._end.search(text, at)
        if found is None:
            # Thoughts are long: to search all of it again would make each word cost more.
            self._waiting = text[max(at, len(text) - END_MAX_CHARACTERS) :]
            return len(text)
        if found.lastgroup == "calls":
            return self._hold(self._read_thought, found.start())
        self._after_thought()
        return found.end()

    def _read_held(self, text: str, at: int) -> int:
        self._held.append(text[at:])
        return len(text)

    # --- Marks: each returns how far it came ------------------------------------------------------

    def _hold(self, after: _Reader, at: int) -> int:
        self._read, self._after_held = self._read_held, after
        return at

    def _take_calls(self, mark: str, at: int) -> int:
        return self._hold(self._read_text, at)

    def _take_thought(self, mark: str, at: int) -> int:
        self._has_thought = True
        if self._place.is_amid and not self._stopped:
            return self._take_text(mark, at)
        self._stopped = []
        self._read, self._end = self._read_thought, THOUGHTS[mark]
        return at

    def _take_end_of_thought(self, mark: str, at: int) -> int:
        """Take what was shown for a thought: templates write its first mark into the prompt."""
        if self._has_thought or self._place.is_quoted:
            return self._take_text(mark, at)
        self._has_thought = True
        self._visible, self._fresh, self._stopped = [], [], []
        self._place, self._placed = Place(), 0
        self._after_thought()
        return at + len(mark)

    def _take_envelope(self, mark: str, at: int) -> int:
        if not self._is_gap:
            return self._take_text(mark, at)
        self._stops.add(ENVELOPES[mark])
        return at + len(mark)

    def _take_stop(self, mark: str, at: int) -> int:
        if mark not in self._stops:
            return self._take_text(mark, at)
        self._stopped.append(mark)
        return at + len(mark)

    def _take_strike(self, mark: str, at: int) -> int:
        self._stops.discard("</s>")  # it is HTML's
        return self._take_text(mark, at)

    def _take_text(self, mark: str, at: int) -> int:
        self._say(mark)
        return at + len(mark)

    def _after_thought(self) -> None:
        if not self._visible:
            self._is_gap, self._read = True, self._read_beginning
        else:
            self._is_gap, self._read = self._visible[-1][-1].isspace(), self._read_text


_TAKES: dict[str, Callable[[Shown, str, int], int]] = {
    **dict.fromkeys(CALLS, Shown._take_calls),
    **dict.fromkeys(THOUGHTS, Shown._take_thought),
    **dict.fromkeys(ENDS_OF_THOUGHTS, Shown._take_end_of_thought),
    **dict.fromkeys(ENVELOPES, Shown._take_envelope),
    **dict.fromkeys((*STOPS, *ENVELOPES.values()), Shown._take_stop),
    "<s>": Shown._take_strike,
}
_FINDER = Finder(_TAKES)


def read_said(text: str, may_call: MayCall = lambda markup: True) -> tuple[str, tuple[Call, ...]]:
    """Return the text that the user sees, and the calls that it ends with."""
    shown = Shown()
    shown.add(text)
    shown.end(may_call)
    return shown.text, shown.calls
