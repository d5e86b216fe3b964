"""Scripts that the screen shows: a sample of each, and the table in the README."""

import unicodedata
from pathlib import Path

import pytest
from PIL.ImageFont import Layout

from appliance.display import fonts
from appliance.display.text import fonts_for, readable

README = Path(__file__).parents[2] / "README.md"

# Article 1 of the Universal Declaration of Human Rights, its beginning.
SENTENCES = {
    "Latin": "Wszyscy ludzie rodzą się wolni. Alle Menschen sind frei und gleich.",
    "Vietnamese": "Tất cả mọi người sinh ra đều được tự do",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι",
    "Cyrillic": "Всі люди народжуються вільними",
    "Hebrew": "כל בני האדם נולדו בני חורין",
    "Arabic": "يولد جميع الناس أحراراً. تمام انسان آزاد به دنیا می‌آیند",
    "Devanagari": "सभी मनुष्यों को गौरव और अधिकारों",
    "Bengali": "সমস্ত মানুষ স্বাধীনভাবে",
    "Tamil": "மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระ",
    "Armenian": "Բոլոր մարդիկ ծնվում են ազատ",
    "Georgian": "ყველა ადამიანი იბადება თავისუფალი",
    "Ethiopic": "የሰው፡ልጅ፡ሁሉ፡ሲወለድ፡ነጻና",
    "Chinese": "人人生而自由，在尊严和权利上一律平等。",
    "Japanese": "すべての人間は、カタカナ、生まれながらにして自由であり",
    "Korean": "모든 인간은 태어날 때부터 자유로우며",
}
SMALL = ("Latin", "Greek", "Cyrillic")
"""Scripts that the 8 px font also shows."""
SYMBOLS = "€₹£¥ °±×÷ ←↑→↓ ♥★☎☀☂♪ ½¼ №©®™ „“”«»–—…"


def has_glyph(character: str, font: fonts.Font) -> bool:
    """Return whether the font has a glyph other than the one for missing ones."""
    if unicodedata.category(character) in {"Cf", "Zs"}:
        return True
    drawn = font.pillow.getmask(character, mode="1")
    missing = font.pillow.getmask("\uffff", mode="1")
    return bool(drawn.getbbox()) and bytes(drawn) != bytes(missing)


@pytest.mark.parametrize("script", SENTENCES)
def test_every_character_of_the_sentence_has_a_glyph(script):
    text = readable(SENTENCES[script])
    assert text == unicodedata.normalize("NFC", SENTENCES[script])
    for font in fonts_for(text):
        assert [x for x in text if not has_glyph(x, font)] == []


def test_common_symbols_have_a_glyph():
    assert [x for x in readable(SYMBOLS) if not has_glyph(x, fonts.text())] == []


def test_the_small_font_claims_only_what_it_has():
    characters = map(chr, range(0x21, 0x3000))
    claimed = [x for x in characters if fonts.small().has(x)]
    assert len(claimed) > 900
    assert [x for x in claimed if not has_glyph(x, fonts.small())] == []


@pytest.mark.parametrize("script", SENTENCES)
def test_only_european_scripts_are_shown_small(script):
    is_small = fonts.small() in fonts_for(readable(SENTENCES[script]))
    assert is_small == (script in SMALL)


def test_the_readme_has_the_table_of_scripts():
    large = [script for script in SENTENCES if script not in SMALL]
    table = (
        "| text on the screen | scripts |\n"
        "|---|---|\n"
        f"| 8 px where 16 px have no room | {', '.join(SMALL)} |\n"
        f"| 16 px | {', '.join(large)}, and all others of Unicode's basic plane |\n"
    )
    indented = table.replace("|\n|", "|\n  |")
    assert indented in README.read_text(), table


def test_shaping_is_there_so_that_letters_join_and_hebrew_is_not_mirrored():
    assert fonts.text().pillow.layout_engine == Layout.RAQM
