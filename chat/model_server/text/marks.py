"""The marks that models set in their text, each kind of model its own."""

import re
from collections.abc import Iterable

BAR = "\uff5c"  # DeepSeek's, in place of "|"

# Calls begin with these. Harmony's begin as its thoughts do.
CALLS = (
    "<tool_call>",  # Hermes, Qwen, GLM
    "<tool_calls>",
    "<function=",  # Llama
    "<function_call>",
    "<function_calls>",
    "<minimax:tool_call>",
    "<|tool_call|>",  # Granite, Phi
    "<|python_tag|>",  # Llama 3
    "[TOOL_CALLS]",  # Mistral
    "<|tool_calls_section_begin|>",  # Kimi
    "<|tool_call_begin|>",
    f"<{BAR}tool\u2581calls\u2581begin{BAR}>",  # DeepSeek
    f"<{BAR}tool\u2581call\u2581begin{BAR}>",
    "<|START_ACTION|>",  # Cohere
)
_THOUGHTS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",  # Mistral
    "\u25c1think\u25b7": "\u25c1/think\u25b7",  # Kimi
    "<|START_THINKING|>": "<|END_THINKING|>",  # Cohere
    "<|channel>thought": "<channel|>",  # Gemma
}
_HARMONY = ("<|start|>", "<|channel|>")
_END_OF_HARMONY = re.compile(
    r"<\|channel\|>final<\|message\|>"
    r"|(?P<calls><\|(?:channel\|>\w{1,16}|start\|>assistant) to=)"
)
# By their first marks, what ends them.
THOUGHTS = {mark: re.compile(re.escape(end)) for mark, end in _THOUGHTS.items()}
THOUGHTS |= dict.fromkeys(_HARMONY, _END_OF_HARMONY)
END_MAX_CHARACTERS = 64
ENDS_OF_THOUGHTS = tuple(_THOUGHTS.values())
# Around an answer: the second one ends it only where the first one begins it.
ENVELOPES = {"<answer>": "</answer>", "<|START_RESPONSE|>": "<|END_RESPONSE|>"}
STOPS = (
    "<|im_end|>",
    "</s>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<eos>",
    f"<{BAR}end\u2581of\u2581sentence{BAR}>",
    "<|END_OF_TURN_TOKEN|>",
    "<|return|>",
    "<|end|>",
    "<|call|>",
)


class Finder:
    """Finds marks in a text that comes in pieces.

    Attributes:
        search: for the next mark, as of a regular expression.
        has_first: whether a text has the first character of one.
    """

    def __init__(self, marks: Iterable[str]) -> None:
        marks = tuple(marks)
        firsts = "".join(re.escape(first) for first in {mark[0] for mark in marks})
        self.search = re.compile("|".join(map(re.escape, marks))).search
        self.has_first = re.compile(f"[{firsts}]").search
        self._begun = {mark[:length] for mark in marks for length in range(1, len(mark))}
        self._max_characters = max(map(len, self._begun))

    def begun_at(self, text: str, at: int) -> int:
        """Return where a mark begins that goes on after the text, else the end of the text."""
        for start in range(max(at, len(text) - self._max_characters), len(text)):
            if text[start:] in self._begun:
                return start
        return len(text)
