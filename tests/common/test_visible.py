"""Text that others chose, as pages, terminals and logs show it."""

from common.visible import hex_dump, printable, visible, visible_name


def test_visible__writes_out_what_turns_text_round():
    assert visible("a\u202eb\x1b[31m\x00") == "a⟨U+202E⟩b⟨U+001B⟩[31m⟨U+0000⟩"
    assert visible("naïve 漢字 👍 \\n") == "naïve 漢字 👍 \\n"
    assert visible("a\nb", keep="\n") == "a\nb"


def test_visible_name__leaves_no_name_unseen_and_no_two_alike():
    assert visible_name("delta:a b/1") == "delta:a b/1"
    assert visible_name(" ") == "⟨U+0020⟩"
    assert visible_name("a  b ") == "a⟨U+0020⟩⟨U+0020⟩b⟨U+0020⟩"
    assert visible_name("a\u00a0b\u202e\u3164") == "a⟨U+00A0⟩b⟨U+202E⟩⟨U+3164⟩"
    assert visible_name("naïve 漢字 👍") == "naïve 漢字 👍"


def test_visible_name__writes_out_the_same_marks_as_visible():
    seen = (chr(code) for code in range(0x110000) if not chr(code).isspace())
    all_of_them = "".join(f"a{character}b" for character in seen)
    assert visible_name(all_of_them) == visible(all_of_them)


def test_visible_name__writes_out_spaces_that_text_keeps():
    assert visible("\u8cb7\u3000\u7269  ") == "\u8cb7\u3000\u7269  "
    assert visible_name("\u8cb7\u3000\u7269 ") == "\u8cb7⟨U+3000⟩\u7269⟨U+0020⟩"


def test_printable__escapes_what_a_terminal_obeys():
    assert printable("naïve 漢字 \\n") == "naïve 漢字 \\n"
    assert printable("\x1b[31m\n\u202e\u2028") == r"\x1b[31m\n\u202e\u2028"
    assert printable("a\tb\n\r", keep="\n\t") == "a\tb\n\\r"


def test_hex_dump__fills_up_its_last_line():
    assert hex_dump(b"ab\0\xff\n", width=4, offset_digits=2) == (
        "00  61 62 00 ff  ab..\n04  0a           ."
    )
    assert hex_dump(b"") == ""
