"""Text on a small screen."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.display.font import REPLACEMENT, small
from appliance.display.text import ELLIPSIS, cut, fitted, readable, wrapped

GLYPHS = small().glyphs
columns = st.integers(min_value=4, max_value=40)
indents = st.integers(min_value=0, max_value=3)


def read(text: str) -> str:
    return readable(text, GLYPHS)


@given(st.text(), columns, indents)
def test_a_wrapped_line_is_never_too_wide_and_loses_no_letter(text, width, indent):
    lines = wrapped(text, width, indent)
    assert all(0 < len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(st.text(alphabet="ab ", max_size=60), columns)
def test_words_that_fit_a_line_are_not_torn(text, width):
    words = [word for line in wrapped(text, width) for word in line.split()]
    if all(len(word) <= width for word in text.split()):
        assert words == text.split()


@given(st.text(), columns)
def test_a_cut_text_fits_and_says_that_it_was_cut(text, width):
    shown = cut(text, width)
    assert len(shown) <= width
    assert shown == text or shown.endswith(ELLIPSIS)


@given(st.text(), columns, st.integers(min_value=1, max_value=5), indents)
def test_a_fitted_text_has_no_more_rows_than_there_are(text, width, rows, indent):
    lines = fitted(text, width, rows, indent)
    assert len(lines) <= rows
    assert all(len(line) <= width for line in lines)
    assert lines == wrapped(text, width, indent) or lines[-1].endswith(ELLIPSIS)


@given(st.text())
def test_whatever_comes_only_letters_of_the_font_are_left(text):
    shown = read(text)
    assert all(letter in GLYPHS for letter in shown)
    assert shown == " ".join(shown.split())


@given(st.text(alphabet=sorted(set(GLYPHS) - set("☹☺"))))
def test_a_letter_that_the_font_has_is_not_lost(text):
    # Composed first, as the same letter may be written in two ways.
    kept = [letter for letter in read(text) if letter != " "]
    assert len(kept) == len([letter for letter in text if not letter.isspace()])


def test_european_letters_are_shown_as_they_are():
    for text in ("Größe", "Łódź", "Çeşme", "Ελλάδα", "Привіт", "naïve"):
        assert read(text) == text


def test_a_letter_and_its_accent_are_put_together():
    assert read("Chloe\N{COMBINING ACUTE ACCENT}") == "Chloé"


def test_fancy_letters_become_plain_ones():
    assert read("ﬁne ệ \N{MATHEMATICAL BOLD SCRIPT CAPITAL A}") == "fine e A"
    assert read("\N{FULLWIDTH LATIN SMALL LETTER W}") == "w"


def test_emoji_become_words():
    assert read("🙂 👍 🐢 🇫🇷 1️⃣") == ":) [ok] [turtle] FR 1"


def test_an_emoji_that_is_repeated_or_coloured_is_said_once():
    assert read("👍👍🏽👍🏿") == "[ok]"


def test_control_characters_and_direction_marks_are_left_out():
    assert read("a\x1b[0m\x00b\u202ec\u200b\ufeff\td\r\ne") == "a [0m bc d e"


def test_what_cannot_be_shown_is_a_box():
    assert read("日本") == REPLACEMENT * 2
    assert read("\ud800") == REPLACEMENT
