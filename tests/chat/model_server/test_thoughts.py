"""What a model thought, and the marks that end its answer, are no part of what the user sees."""

import pytest

from chat.model_server.text.thoughts import Shown, read_said

START, FINAL = "<|start|>assistant", "<|channel|>final<|message|>"
SENTENCE = "<\uff5cend\u2581of\u2581sentence\uff5c>"


def cut(text):
    """What is told of a text in pieces of any size, and all of it at the end."""
    for size in range(1, len(text) + 1):
        shown = Shown()
        told = "".join(shown.add(text[at : at + size]) for at in range(0, len(text), size))
        shown.end()
        yield told, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # in quotes, in code, or closing what is there
        *(
            (text, text)
            for text in (
                "`</think>` ends it.",
                'A "</think>" ends it.',
                "A \u201c</think>\u201d ends it.",
                "```\n</think>\n```\nThat ends it.",
                "```\nhm\n</think>",
                "Write `a </think> b` here.",
                "Write <think> first and then </think> there.",
                "It is <think>hm</think>, they say.",
            )
        ),
        # marks of other models
        ("<thought>hm</thought>Done.", "Done."),
        ("<reasoning>\nhm\n</reasoning>\nDone.", "Done."),
        ("<seed:think>hm</seed:think>Done.", "Done."),
        ("\u25c1think\u25b7hm\u25c1/think\u25b7Done.", "Done."),
        (
            "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Done.<|END_RESPONSE|>",
            "Done.",
        ),
        (
            f"<|start|>assistant<|channel|>analysis<|message|>hm<|end|><|start|>assistant{FINAL}Done.",
            "Done.",
        ),
        (f"{START}{FINAL}Done.<|return|>", "Done."),
        ("<|channel>thought\nhm<channel|>Done.", "Done."),
        # after the first words
        ("Sure. <think>hm</think> Done.", "Sure. Done."),
        ("Sure!\n\n<think>\nhm\n</think>\n\nDone.", "Sure!\n\nDone."),
        ("Sure.<think>hm</think>\nDone.", "Sure.\nDone."),
        ("Sure. <think>hm", "Sure."),
        ("Use `<think>` first.", "Use `<think>` first."),
        ("```\n<think>hm</think>\n```", "```\n<think>hm</think>\n```"),
        # the end of the answer
        *(
            (f"Done.{stop}", "Done.")
            for stop in (
                "<|im_end|>",
                "</s>",
                "<|eot_id|>",
                "<|eom_id|>",
                "<end_of_turn>\n",
                "<|endoftext|>",
                SENTENCE,
                "<|return|>",
                "<|im_end|>\n<|endoftext|>\n",
            )
        ),
        ("<think>hm</think>\n<answer>\nDone.\n</answer>", "Done."),
        ("<answer>Done.</answer><|im_end|>", "Done."),
        *(
            (text, text)
            for text in (
                "<|im_end|> ends a message.",
                "It ends with `</s>`",
                "It was <s>milk</s>",
                "In <answer>this</answer>",
                "It says this</answer>",
                "a < b",
                "[x] milk </sub>",
                "<",
            )
        ),
    ],
)
def test_shown__is_the_answer(text, expected):
    assert read_said(text)[0].rstrip() == expected
    for told, shown in cut(text):
        assert shown.text.rstrip() == expected
        assert shown.text.startswith(told)  # what is held back is told at the end


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The user says hi. I greet.</think>Done.", "Done."),
        ('I reply with "Done."</think>\n\nDone.', "Done."),
        ("```\n1\n```\nI use `1`.</think>Done.", "Done."),
        ("hm\u25c1/think\u25b7Done.", "Done."),
        ("hm<|END_THINKING|><|START_RESPONSE|>Done.<|END_RESPONSE|>", "Done."),
        ("hm</think>", ""),
        ("</think>\n\nDone.", "Done."),
    ],
)
def test_shown__a_first_mark_may_be_in_the_prompt(text, expected):
    assert read_said(text)[0].rstrip() == expected
    for told, shown in cut(text):
        assert shown.text.rstrip() == expected
        assert told.endswith(expected)  # the thought was told before, as nobody could know
        assert ">" not in told


def test_shown__a_thought_may_name_the_marks_of_calls():
    text = "I call <tool_call> or not.</think>Done."
    assert {shown.text for _, shown in cut(text)} == {"Done."}


def test_shown__holds_back_what_may_be_a_mark():
    shown = Shown()
    assert [shown.add(piece) for piece in ("Done", ".<|ret", "urn|>", "\n")] == [
        "Done",
        ".",
        "",
        "",
    ]
    assert shown.add("No.") == "<|return|>\nNo."


def test_shown__words_without_marks_are_told_as_they_come():
    shown = Shown()
    words = ["Sure", "! `a", "` {", "} > ", "\u20ac", "]\n"]
    assert [shown.add(word) for word in words] == words
