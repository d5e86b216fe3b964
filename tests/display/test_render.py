"""The OLED's picture, compared px by px with reference pictures.

`pytest --update-pictures` draws them anew; look at them before keeping them.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from appliance.core.chat import Delivery
from appliance.core.events import Person
from appliance.core.state import ScreenPage
from appliance.core.view import Connection, TalkState
from appliance.display.bitmap import Canvas, Picture, Size
from appliance.display.font import large, small
from appliance.display.layout import SPEAKER
from appliance.display.render import drift, grid, lines, picture
from tests.pictures.situations import SILENT, SITUATIONS, line

PICTURES = Path(__file__).parents[1] / "pictures"
TALL, FLAT = (128, 64), (128, 32)
SIZES = (TALL, FLAT)
BAR_X, BAR_Y = 2, 12
"""A px inside the bar of both sizes, beside its words."""


def image(shown: Picture) -> Image.Image:
    return Image.frombytes("1", (shown.width, shown.height), shown.bits)


def as_text(shown: Picture) -> str:
    bits = "".join(f"{byte:08b}" for byte in shown.bits).translate({48: " ", 49: "█"})
    width = shown.width
    return "\n".join(f"|{bits[y : y + width]}|" for y in range(0, len(bits), width))


def reference(path: Path) -> Picture:
    with Image.open(path) as kept:
        return Picture(*kept.size, kept.convert("1").tobytes())


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_picture_is_the_reference_picture(situation, size, request):
    shown = picture(SITUATIONS[situation], size)
    path = PICTURES / f"{situation}-{size[0]}x{size[1]}.png"
    if request.config.getoption("--update-pictures", default=False):
        image(shown).save(path)
    wanted = reference(path)
    assert shown == wanted, f"{path.name}\n{as_text(wanted)}\nis\n{as_text(shown)}"


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
def test_the_bar_is_filled_while_talking_and_only_then(size):
    for view in SITUATIONS.values():
        if view.screen_page is ScreenPage.TALK:
            is_lit = bool(image(picture(view, size)).getpixel((BAR_X, BAR_Y)))
            assert is_lit == (view.talk in {TalkState.TALKING, TalkState.WARNING})


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
def test_the_talk_page_says_state_speaker_and_newest_line(size):
    said = "\n".join(lines(replace(SILENT, speakers=("Anna",)), size))
    for wanted in ("in kitchen", "MUTED", f"{SPEAKER} Anna", "me: on my way"):
        assert wanted in said


def test_the_cause_and_the_next_try_are_in_words():
    assert "no internet, retry in 12s" in lines(SITUATIONS["disconnected"], FLAT)


def test_what_the_bar_says_is_not_said_again_below_it():
    view = replace(SITUATIONS["reconnecting"], banner="connecting", chat=())
    assert lines(view, TALL) == ("kitchen box", "RECONNECTING")


def test_a_missing_speaker_is_said_beside_who_is_there():
    assert any("no speaker!" in said for said in lines(SITUATIONS["no_speaker"], FLAT))


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
def test_the_pairing_page_shows_address_and_pin_whole(size):
    said = lines(SITUATIONS["pairing"], size)
    assert "PIN 481 516" in said
    assert "http://192.168.1.23:8080" in said


def test_without_a_page_nothing_is_shown_to_pair_with():
    view = replace(SITUATIONS["pairing"], page_url="")
    assert lines(view, TALL) == ("pairing", "there is no page now")


def test_every_fault_is_at_least_begun():
    faults = ("microphone: unplugged", "screen: gone", "button: " + "busy " * 40)
    view = replace(SITUATIONS["health"], faults=faults)
    for size in SIZES:
        said = "\n".join(lines(view, size))
        assert all(fault.split(":")[0] in said for fault in faults)


def test_an_own_line_that_waits_says_so():
    assert "me (waiting): I will look" in lines(SITUATIONS["chat_page"], TALL)


def test_an_own_line_that_failed_says_so():
    chat = (line("", "Hello", Delivery.FAILED),)
    assert "me (not sent): Hello" in lines(replace(SILENT, chat=chat), FLAT)


def test_a_flat_screen_says_the_banner_where_nobody_is_there_to_be_named():
    assert "in kitchen" in lines(SITUATIONS["alone"], FLAT)


def test_alone_in_open_mode_is_said():
    view = replace(SITUATIONS["talking"], people=())
    assert "nobody else here" in lines(view, TALL)


def test_no_pixel_is_lost_while_the_picture_drifts():
    for size in SIZES:
        at_rest = picture(SITUATIONS["talking"], size)
        for step in range(8):
            moved = picture(SITUATIONS["talking"], size, drift(step))
            assert sum(map(int.bit_count, moved.bits)) == sum(
                map(int.bit_count, at_rest.bits)
            )


names = st.text(min_size=1, max_size=60)
views = st.builds(
    replace,
    st.just(SILENT),
    banner=names,
    talk_text=names,
    talk=st.sampled_from(TalkState),
    connection=st.sampled_from(Connection),
    people=st.builds(lambda name: (Person(id=name, name=name),), names),
    speakers=st.lists(names, max_size=5).map(tuple),
    chat=st.lists(st.builds(line, st.text(), st.text(max_size=300))).map(tuple),
    faults=st.lists(names, max_size=9).map(tuple),
    screen_page=st.sampled_from(ScreenPage),
    page_url=st.text(),
)


@given(views, st.sampled_from(SIZES))
def test_whatever_people_write_the_picture_is_whole(view, size):
    shown = picture(view, size, drift(5))
    assert len(shown.bits) == size[0] * size[1] // 8
    assert len(lines(view, size)) <= grid(size)[1]


def test_letters_that_do_not_fit_are_cut_at_the_edges():
    canvas = Canvas((16, 8))
    for x in (-7, 0, 14, 40):
        canvas.write("WWWW", small(), x, 4)
        canvas.write("WWWW", large(), x, 7)
    assert len(canvas.picture((3, 1)).bits) == 16


def test_an_unknown_letter_is_a_box_in_both_fonts():
    for font in (small(), large()):
        assert font.rows("日") == font.rows("\N{REPLACEMENT CHARACTER}")
        assert any(font.rows("日"))


def test_a_screen_has_room_for_twenty_five_letters():
    sizes: tuple[Size, ...] = SIZES
    assert [grid(size) for size in sizes] == [(25, 7), (25, 4)]
