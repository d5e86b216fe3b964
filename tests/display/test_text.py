"""Text for a small screen."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from appliance.display import fonts
from appliance.display.text import (
    ELLIPSIS,
    MAX_CHARACTERS,
    REPLACEMENT,
    Paragraph,
    cut,
    fitted,
    fonts_for,
    is_right_to_left,
    readable,
)

widths = st.integers(min_value=40, max_value=200)
indents = st.integers(min_value=0, max_value=3)
readable_texts = st.text().map(readable)


def broken(text: str, font: fonts.Font, width_px: int, indent: int = 0) -> Paragraph:
    """Return the text in as many lines as it needs."""
    return fitted(text, font, width_px, sys.maxsize, indent)


@given(readable_texts, widths, indents)
def test_a_broken_line_is_never_too_wide_and_loses_no_letter(text, width_px, indent):
    for font in fonts_for(text):
        lines = broken(text, font, width_px, indent).lines
        assert all(0 < font.width_px(line) <= width_px for line in lines)
        assert "".join("".join(lines).split()) == "".join(text.split())


@given(st.text(alphabet="ab ", max_size=60), widths)
def test_words_that_fit_a_line_are_not_broken(text, width_px):
    font = fonts.small()
    lines = broken(text, font, width_px).lines
    if all(font.width_px(word) <= width_px for word in text.split()):
        assert [word for line in lines for word in line.split()] == text.split()


def test_text_without_spaces_is_broken_where_the_line_ends():
    for text in ("小明: 大家好我在门口等你们", "สมชาย: สวัสดีครับที่นี่ไม่มีใครเลย"):
        font = fonts.text()
        first = broken(text, font, 125).lines[0]
        assert font.width_px(first) > 125 - 2 * font.height_px


def test_combining_marks_stay_with_their_letter():
    font = fonts.text()
    for letter in ("की", "ที่", "קָ", "কো"):
        assert font.width_px(letter) == font.width_px(letter[0])
    assert all(line[0] == "क" for line in broken("की" * 20, font, 40).lines)


@given(readable_texts, widths)
def test_a_cut_text_fits_and_ends_with_an_ellipsis(text, width_px):
    font = fonts.text()
    shown = cut(text, font, width_px)
    assert font.width_px(shown) <= width_px
    assert shown == text or shown.endswith(ELLIPSIS)


@given(readable_texts, widths, st.integers(min_value=1, max_value=5), indents)
def test_a_fitted_text_has_no_more_rows_than_there_are(text, width_px, rows, indent):
    font = fonts.text()
    shown = fitted(text, font, width_px, rows, indent)
    assert len(shown.lines) <= rows
    assert all(font.width_px(line) <= width_px for line in shown.lines)
    assert shown.is_whole or shown.lines[-1].endswith(ELLIPSIS)
    if shown.is_whole:
        assert shown == broken(text, font, width_px, indent)


@given(st.text())
def test_readable_text_has_only_characters_of_the_font(text):
    shown = readable(text)
    assert fonts.text().can_show(shown)
    assert shown == " ".join(shown.split())


def test_emoji_whose_names_are_long_get_no_further_than_letters():
    assert len(readable("🐢🚲" * MAX_CHARACTERS)) <= MAX_CHARACTERS


def test_european_letters_are_shown_as_they_are_in_both_fonts():
    for text in ("Größe", "Łódź", "Çeşme", "Ελλάδα", "Привіт", "naïve"):
        assert readable(text) == text
        assert len(fonts_for(text)) == 2


def test_other_scripts_are_shown_as_they_are_in_the_large_font():
    for text in ("שלום", "مرحبا", "नमस्ते", "สวัสดี", "日本", "안녕"):
        assert readable(text) == text
        assert fonts_for(text) == (fonts.text(),)


def test_a_letter_and_its_accent_are_put_together():
    assert readable("Chloe\N{COMBINING ACUTE ACCENT}") == "Chloé"


def test_letters_outside_the_font_become_plain_ones():
    assert readable("\N{MATHEMATICAL BOLD SCRIPT CAPITAL A}") == "A"


def test_emoji_become_words():
    assert readable("👍 🐢 🇫🇷 1️⃣") == "[thumbs up] [turtle] FR 1"


def test_a_repeated_or_coloured_emoji_is_shown_once():
    assert readable("👍👍🏽👍🏿") == "[thumbs up]"


def test_an_emoji_sequence_is_shown_as_the_names_of_its_parts():
    assert readable("👩‍🚒") == "[woman][fire engine]"


def test_control_characters_and_direction_marks_are_left_out():
    assert readable("a\x1b[0m\x00b\u202ec\u200b\ufeff\td\r\ne") == "a [0m bc d e"


def test_a_joiner_between_letters_is_part_of_the_spelling():
    assert readable("می\u200cخواهم") == "می\u200cخواهم"


def test_a_character_without_a_glyph_is_shown_as_a_box():
    assert readable("\N{EGYPTIAN HIEROGLYPH A001}") == REPLACEMENT
    assert readable("\ud800") == REPLACEMENT


def test_the_first_letter_determines_the_direction():
    assert is_right_to_left("1. דנה: hello")
    assert not is_right_to_left("Anna: שלום")
    assert not is_right_to_left("123")
