from dataclasses import replace
from unicodedata import combining, east_asian_width

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import Config
from appliance.core.chat import ChatLine, Delivery
from appliance.core.state import State
from appliance.core.view import ConnectionState, Lamps, TalkState, view
from appliance.demo.line import live_line, meter, plain_line

VIEW = replace(
    view(State(config=Config(name="demo")), 0.0),
    connection=ConnectionState.CONNECTED,
    banner="in demo",
    talk=TalkState.MUTED,
    talk_text="muted",
)


def said(text, sender="Companion"):
    sender_id = sender.lower()
    return ChatLine("1", sender_id, sender, text, 0, Delivery.SENT)


def test_the_line_has_banner_talk_levels_and_the_last_line_of_chat():
    shown = replace(
        VIEW,
        talk=TalkState.TALKING,
        talk_text="talking",
        speakers=("Companion",),
        lamps=Lamps(online=True, talking=True),
        microphone_dbfs=-30,
        speaker_dbfs=-96,
        chat=(said("first"), said("You wrote: hi")),
    )
    assert live_line(shown, 200) == (
        "●▲·· │ in demo │ TALKING  Companion speaks │ "
        "mic ▮▮▮▮▯▯▯▯ speaker ▯▯▯▯▯▯▯▯ │ Companion: You wrote: hi"
    )


def test_an_own_line_shows_how_far_it_got():
    own = ChatLine("1", "", "", "hi", 0, Delivery.QUEUED)
    assert live_line(replace(VIEW, chat=(own,)), 200).endswith("you: hi (queued)")


def test_a_line_that_is_being_typed_is_shown_instead():
    assert live_line(VIEW, 80, "hello") == "say: hello_"
    assert live_line(VIEW, 20, "x" * 100 + "end") == "say: " + "x" * 11 + "end_"


@pytest.mark.parametrize(
    ("dbfs", "lit"), [(-96, 0), (-60, 0), (-30, 4), (-3, 8), (0, 8), (6, 8)]
)
def test_a_meter_goes_from_silence_to_full_scale(dbfs, lit):
    assert meter(dbfs) == "▮" * lit + "▯" * (8 - lit)


def columns_of(line):
    widths = [
        0 if combining(x) else 1 + (east_asian_width(x) in {"W", "F"}) for x in line
    ]
    return sum(widths)


TYPED = st.text(st.characters(exclude_categories=("C", "Z")))


@given(st.text(), st.integers(1, 120), st.one_of(st.none(), TYPED))
def test_the_line_is_one_line_and_never_too_wide(text, columns, draft):
    line = live_line(replace(VIEW, chat=(said(text),)), columns, draft)
    assert len(line.splitlines()) == 1
    assert columns_of(line) <= columns


def test_wide_letters_are_counted_twice():
    line = live_line(replace(VIEW, chat=(said("漢字" * 50),)), 100)
    assert line.endswith("…")
    assert columns_of(line) in {99, 100}


def test_a_plain_line_stays_the_same_while_only_levels_and_seconds_change():
    later = replace(VIEW, microphone_dbfs=-12, speaker_dbfs=-9, is_voice=True)
    later = replace(later, banner="retry in 3 s", rtt_ms=5)
    assert plain_line(later) == plain_line(VIEW) == "connected"


def test_a_plain_line_says_who_talks_and_what_was_written():
    talking = replace(VIEW, talk=TalkState.TALKING, talk_text="talking")
    talking = replace(talking, speakers=("Companion",), chat=(said("hello"),))
    wanted = "connected | talking | Companion speaks | Companion: hello"
    assert plain_line(talking) == wanted
