"""The PIN on the screen while somebody pairs a phone."""

import pytest

from appliance.config import TalkMode
from appliance.core.events import (
    Button,
    ButtonPressed,
    FirstBlockSent,
    PairingAsked,
    PhonePaired,
)
from appliance.core.state import PIN_SHOWN_S, ScreenPage
from tests.core.story import (
    HOLD,
    OPEN,
    PAGE_DOWN,
    PAGE_UP,
    PRESS,
    PUSH_TO_TALK,
    RELEASE,
    in_room,
    live,
    started,
    with_mode,
)

NEXT_PAGE = ButtonPressed(Button.NEXT_PAGE)


def test_the_pin_is_shown_while_the_pairing_form_is_open():
    box = started()
    assert box.view().screen_page is ScreenPage.TALK
    box.play(PairingAsked())
    assert box.view().screen_page is ScreenPage.PAIRING
    box.play(PIN_SHOWN_S - 1)
    assert box.view().screen_page is ScreenPage.PAIRING
    box.play(1)
    assert box.view().screen_page is ScreenPage.TALK


def test_a_repeated_request_shows_the_pin_for_longer():
    box = started()
    box.play(PairingAsked(), PIN_SHOWN_S - 1, PairingAsked(), PIN_SHOWN_S - 1)
    assert box.view().screen_page is ScreenPage.PAIRING


def test_the_pin_is_hidden_as_soon_as_a_phone_is_paired():
    box = started()
    box.play(NEXT_PAGE, PairingAsked())
    assert box.view().screen_page is ScreenPage.PAIRING
    box.play(PhonePaired())
    assert box.view().screen_page is ScreenPage.CHAT


def test_the_page_button_hides_the_pin():
    box = started()
    box.play(PairingAsked(), NEXT_PAGE)
    assert box.view().screen_page is ScreenPage.CHAT


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_a_talk_has_priority_over_the_pin(mode: TalkMode):
    box = live(mode)
    box.play(PairingAsked())
    assert box.view().screen_page is ScreenPage.TALK
    box.play(1, RELEASE, PAGE_DOWN, PAGE_UP)
    assert not box.is_live()
    assert box.view().screen_page is ScreenPage.PAIRING


def test_a_phone_that_is_paired_during_a_talk_leaves_no_pin_after_it():
    box = live(HOLD)
    box.play(PairingAsked(), PhonePaired(), RELEASE)
    assert box.view().screen_page is ScreenPage.TALK


def test_the_release_tail_of_a_talk_is_still_shown():
    box = in_room()
    box.play(PairingAsked(), PRESS, FirstBlockSent(0.01), 1, RELEASE)
    assert not box.state.talk.is_open
    assert box.view().screen_page is ScreenPage.TALK


def test_in_open_mode_the_pin_is_shown_although_the_talk_never_ends():
    box = in_room(with_mode(OPEN))
    box.play(PairingAsked())
    assert box.view().screen_page is ScreenPage.PAIRING
