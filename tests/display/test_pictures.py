"""Pictures of the OLED, compared pixel by pixel with reference pictures.

`pytest --update-pictures` draws them anew; check them before committing.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from appliance.core.chat import Delivery
from appliance.core.events import Participant
from appliance.core.state import ScreenPage
from appliance.core.view import ConnectionState, TalkState
from appliance.display import fonts
from appliance.display.layout import SPEAKER, Look, bar, layout, whole
from appliance.display.rendering import lines, picture, pixel_shift
from tests.pictures.situations import SCRIPTS, SILENT, SITUATIONS, line

PICTURES = Path(__file__).parents[1] / "pictures"
TALL, FLAT = (128, 64), (128, 32)
SIZES = (TALL, FLAT)


def as_text(shown: Image.Image) -> str:
    bits = "".join(f"{byte:08b}" for byte in shown.tobytes())
    drawn = bits.translate({48: " ", 49: "█"})
    width = shown.width
    return "\n".join(f"|{drawn[y : y + width]}|" for y in range(0, len(bits), width))


def reference(path: Path) -> Image.Image:
    with Image.open(path) as kept:
        return kept.convert("1")


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_picture_is_the_reference_picture(situation, size, request):
    shown = picture(SITUATIONS[situation], size)
    path = PICTURES / f"{situation}-{size[0]}x{size[1]}.png"
    if request.config.getoption("--update-pictures", default=False):
        shown.save(path)
    wanted = reference(path)
    assert shown == wanted, f"{path.name}\n{as_text(wanted)}\nis\n{as_text(shown)}"


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
def test_the_bar_is_filled_while_talking_and_only_then(size):
    for view in SITUATIONS.values():
        y = 0
        for part in layout(view, size):
            # Left of its words, below its upper edge.
            is_lit = bool(picture(view, size).getpixel((2, y + 2)))
            if part.look in {Look.FRAMED, Look.LIT} and part.height_px > 8:
                assert is_lit == (view.talk in {TalkState.TALKING, TalkState.WARNING})
            y += part.height_px + part.gap_px


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
def test_the_talk_page_shows_state_speaker_and_newest_line(size):
    said = "\n".join(lines(replace(SILENT, talkers=("Anna",)), size))
    for wanted in ("in kitchen", "MUTED", f"{SPEAKER} Anna", "me: on my way"):
        assert wanted in said


def test_the_cause_and_the_next_attempt_are_shown():
    assert "no internet, retry in 12s" in lines(SITUATIONS["disconnected"], FLAT)


def test_the_text_of_the_bar_is_not_repeated_below_it():
    view = replace(SITUATIONS["reconnecting"], banner="connecting", chat=())
    assert lines(view, TALL) == ("kitchen box", "RECONNECTING")


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
@pytest.mark.parametrize(
    ("connection", "status", "shown"),
    [
        (ConnectionState.CONNECTING, "connecting", ""),
        (ConnectionState.RECONNECTING, "connecting: server lost", "server lost "),
        (
            ConnectionState.DISCONNECTED,
            "disconnected: no internet, retry in 12 s",
            "no internet, retry in 12s ",
        ),
        (
            ConnectionState.REFUSED,
            "refused, asks again in 10 min",
            "asks again in 10 min ",
        ),
        (ConnectionState.LEFT, "left, press leave to rejoin", "press leave to rejoin "),
    ],
)
def test_another_rooms_cause_is_shown_after_that_of_the_state(
    connection, status, shown, size
):
    banner = f"{status} (garage: refused)"
    view = replace(SITUATIONS["connecting"], connection=connection, banner=banner)
    said = " ".join(lines(view, size))
    assert said.endswith(f"{connection.upper()} {shown}(garage: refused)")


def test_a_missing_speaker_is_shown_with_the_participants():
    assert any("no speaker!" in said for said in lines(SITUATIONS["no_speaker"], FLAT))


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
def test_a_box_configured_without_a_microphone_shows_that_it_only_listens(size):
    said = lines(SITUATIONS["listener"], size)
    assert any("LISTENS ONLY" in line for line in said)


def test_a_talk_without_sound_is_not_shown_as_talking():
    for state in (TalkState.TALKING, TalkState.WARNING):
        said = "\n".join(lines(replace(SILENT, talk=state, is_silent=True), TALL))
        assert "NO SOUND" in said
        assert "TALKING" not in said


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
def test_a_box_configured_without_a_speaker_has_no_warning(size):
    view = replace(SILENT, has_speaker=False, is_announcer=True)
    assert lines(view, size) == lines(SILENT, size)


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
def test_the_pairing_page_shows_address_and_pin_whole(size):
    said = lines(SITUATIONS["pairing"], size)
    assert "PIN 481 516" in said
    assert "http://192.168.1.23:8080" in said


@pytest.mark.parametrize("url", ["", " ", "\u200b"])
def test_without_a_page_no_pin_is_shown(url):
    view = replace(SITUATIONS["pairing"], page_url=url)
    assert lines(view, TALL) == ("pairing", "there is no page now")


def test_the_beginning_of_every_fault_is_shown():
    faults = ("microphone: unplugged", "screen: gone", "button: " + "busy " * 40)
    view = replace(SITUATIONS["health"], faults=faults)
    for size in SIZES:
        said = "\n".join(lines(view, size))
        assert all(fault.split(":")[0] in said for fault in faults)


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
@pytest.mark.parametrize("situation", ["connecting", "disconnected", "refused", "left"])
def test_a_box_outside_of_its_room_shows_its_state_as_its_health(situation, size):
    view = replace(SITUATIONS[situation], screen_page=ScreenPage.HEALTH)
    said = " ".join(lines(view, size)).split()
    assert said == ["health", *view.banner.split(), view.address]


def test_a_queued_own_line_is_marked():
    assert "me (waiting): I will look" in lines(SITUATIONS["chat_page"], TALL)


def test_a_failed_own_line_is_marked():
    chat = (line("", "Hello", Delivery.FAILED),)
    assert "me (failed): Hello" in lines(replace(SILENT, chat=chat), FLAT)


def test_a_flat_screen_shows_the_banner_if_there_are_no_participants():
    assert "in kitchen" in lines(SITUATIONS["alone"], FLAT)


def test_being_alone_in_open_mode_is_shown():
    view = replace(SITUATIONS["talking"], people=())
    assert "nobody else here" in lines(view, TALL)


def test_no_pixel_is_lost_by_the_pixel_shift():
    for size in SIZES:
        at_rest = picture(SITUATIONS["talking"], size)
        for step in range(8):
            moved = picture(SITUATIONS["talking"], size, pixel_shift(step))
            assert moved.histogram() == at_rest.histogram()


names = st.text(min_size=1, max_size=60)
views = st.builds(
    replace,
    st.just(SILENT),
    banner=names,
    talk_text=names,
    talk=st.sampled_from(TalkState),
    connection=st.sampled_from(ConnectionState),
    people=st.builds(lambda name: (Participant(id=name, name=name),), names),
    talkers=st.lists(names, max_size=5).map(tuple),
    chat=st.lists(st.builds(line, st.text(), st.text(max_size=300))).map(tuple),
    faults=st.lists(names, max_size=9).map(tuple),
    screen_page=st.sampled_from(ScreenPage),
    page_url=st.text(),
)


@given(views, st.sampled_from(SIZES))
def test_lines_fit_the_screen_for_any_text(view, size):
    shown = layout(view, size)
    width_px, height_px = size
    used_px = sum(line.height_px + line.gap_px for line in shown[:-1])
    assert used_px + shown[-1].height_px <= height_px
    for each in shown:
        assert each.indent_px + each.font.width_px(each.text) <= width_px
    assert picture(view, size, pixel_shift(5)).size == size


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_speaker_and_chat_are_shown_in_every_script(script, size):
    said = lines(SCRIPTS[script], size)
    speaker = SCRIPTS[script].talkers[0].split()[0]
    assert any(line.startswith(f"{SPEAKER} {speaker}") for line in said)
    assert any(line.startswith(f"{speaker}") and ": " in line for line in said)


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
def test_a_text_that_fits_large_is_large_and_a_longer_one_small(size):
    view = replace(SILENT, chat=(), connection=ConnectionState.DISCONNECTED)
    for cause, font in (
        ("server lost", fonts.text()),
        ("no internet", fonts.text()),
        ("the server says that nobody may come in now", fonts.small()),
    ):
        shown = layout(replace(view, banner=f"disconnected: {cause}"), size)
        assert shown[-1].font is font


def test_the_newest_chat_line_is_whole_though_the_speaker_is_small_for_it():
    text = "The postman is here with two parcels and a letter"
    view = replace(SILENT, talkers=("Anna",), chat=(line("Ben", text),))
    words = " ".join(" ".join(lines(view, TALL)).split())
    assert text in words


def test_right_to_left_text_stands_at_the_right_and_begins_there():
    alef, bet = "\N{HEBREW LETTER ALEF}", "\N{HEBREW LETTER BET}"
    shown = picture(_chat_page(alef, bet), TALL)
    left, _, right, _ = shown.getbbox() or (0, 0, 0, 0)
    assert (left > TALL[0] // 2, right <= TALL[0]) == (True, True)
    # The name alone is the right end of name and text.
    name = picture(_chat_page(alef, ""), TALL)
    start = (TALL[0] - 3 - 8, 0, TALL[0], 16)
    assert ImageChops.difference(shown.crop(start), name.crop(start)).getbbox() is None


def _chat_page(name, text):
    return replace(SILENT, chat=(line(name, text),), screen_page=ScreenPage.CHAT)


def test_arabic_letters_are_joined():
    joined = picture(_chat_page("", "\N{ARABIC LETTER BEH}" * 3), TALL)
    isolated = picture(_chat_page("", "\N{ARABIC LETTER BEH ISOLATED FORM}" * 3), TALL)
    assert joined != isolated


def test_each_talk_page_shows_the_state_in_a_bar_or_in_small_letters():
    for view in SITUATIONS.values():
        if view.screen_page is not ScreenPage.TALK:
            continue
        for size in SIZES:
            shown = layout(view, size)
            has_bar = any(line.look in {Look.FRAMED, Look.LIT} for line in shown)
            assert has_bar or any(line.aside == "MUTED" for line in shown)


@pytest.mark.parametrize("size", SIZES)
def test_the_text_of_a_bar_is_cut_to_the_screen(size):
    room = whole(size)
    shown = bar("0" * 15 + "\N{TIBETAN SYMBOL RDO RJE}", Look.FRAMED, room)
    assert shown.text.endswith("…")
    assert shown.font.width_px(shown.text) < room.width_px
