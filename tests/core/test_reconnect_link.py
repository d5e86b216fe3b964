"""Attempts after the network was away."""

import pytest

from appliance.config import Config, TalkConfig
from appliance.core import session
from appliance.core.commands import (
    CloseGate,
    Earcon,
    FetchToken,
    OpenGate,
    PlayEarcon,
    SendChat,
)
from appliance.core.events import (
    Button,
    ButtonPressed,
    Cause,
    ChatTyped,
    FirstBlockSent,
    JoinAsked,
    LinkChanged,
)
from appliance.core.reconnect import TEN_MINUTES_S
from appliance.core.state import Phase
from appliance.core.view import ConnectionState
from tests.core.story import (
    LEAVE,
    PRESS,
    RELEASE,
    TOGGLE,
    CoreHarness,
    in_room,
    joining,
    of,
    started,
    with_mode,
)

AWAY, HOME, ELSEWHERE = map(LinkChanged, (None, "192.168.1.5", "10.0.0.7"))
BY_VPN = LinkChanged("192.168.1.5", ("10.8.0.2",))


def wait_s(box: CoreHarness) -> float:
    """Return how long the box is going to wait before its next attempt."""
    assert box.phase() is Phase.WAITING
    return box.state.retry_at_s - box.now_s


def next_try(box: CoreHarness) -> None:
    box.play(wait_s(box))
    assert box.phase() is Phase.FETCHING


# the link


def test_a_link_that_comes_back_ends_the_wait_at_once():
    box = started()
    box.play(HOME, AWAY)
    for _ in range(6):
        box.play(box.no_token(Cause.NO_INTERNET))
        next_try(box)
    box.play(box.no_token(Cause.NO_INTERNET))
    assert of(FetchToken, box.play(HOME)) == (FetchToken(8, None, None),)
    box.play(box.no_token())
    assert wait_s(box) < 1


def test_another_address_ends_the_wait_at_once():
    box = started()
    box.play(HOME, box.no_token())
    assert of(FetchToken, box.play(ELSEWHERE))


def test_a_vpn_that_comes_up_ends_the_wait_after_a_refusal_without_it():
    box = started()
    box.play(HOME, box.no_token(is_final=True))
    assert box.phase() is Phase.REFUSED
    assert of(FetchToken, box.play(BY_VPN))


@pytest.mark.parametrize("link", [HOME, BY_VPN])
def test_a_repeated_report_of_the_link_changes_nothing(link):
    box = started()
    box.play(link, box.no_token())
    assert box.play(link) == ()


def test_the_first_report_of_the_address_changes_nothing():
    box = started()
    box.play(box.no_token(is_final=True))
    assert box.play(HOME) == ()


def test_a_token_request_without_a_link_is_repeated_when_it_is_back():
    box = started()
    box.play(AWAY)
    assert box.play(HOME) == (FetchToken(2, None, None),)


def test_another_address_does_not_disturb_a_running_session():
    for box in (started(), joining(), in_room()):
        box.play(HOME)
        assert box.play(ELSEWHERE) == ()
        assert box.state.address == "10.0.0.7"


def test_a_link_that_comes_and_goes_in_the_room_leaves_it_to_livekit():
    box = in_room()
    commands = box.play(HOME, AWAY, HOME)
    assert commands == (PlayEarcon(Earcon.LOST), PlayEarcon(Earcon.JOINED))
    assert box.phase() is Phase.IN_ROOM


def test_without_a_link_nothing_shows_that_the_box_is_in_the_room():
    box = in_room()
    box.play(HOME, AWAY)
    seen = box.view()
    assert seen.connection is ConnectionState.RECONNECTING
    assert not seen.lamps.online
    assert box.play(PRESS) == (PlayEarcon(Earcon.REFUSED),)
    assert box.view().talk_text == "cannot talk: no network"


def test_a_talk_stops_with_the_link_and_goes_on_when_it_is_back_soon():
    box = in_room()
    box.play(HOME, PRESS, FirstBlockSent(0.01))
    assert of(CloseGate, box.play(AWAY)) == (CloseGate(tail_ms=0),)
    assert not box.view().lamps.talking
    assert of(OpenGate, box.play(5, HOME))


def test_a_line_typed_without_a_link_is_sent_when_it_is_back():
    box = in_room()
    box.play(HOME, AWAY)
    assert box.play(ChatTyped("1", "hello", 1)) == ()
    assert of(SendChat, box.play(HOME)) == (SendChat(1, "1", "hello", 1),)


@pytest.mark.parametrize("make", [in_room, started])
def test_a_link_does_not_make_a_left_box_join(make):
    box = make()
    box.play(HOME, LEAVE, box.left(), AWAY)
    assert box.play(HOME) == ()


def test_without_a_link_the_cause_is_not_the_internet():
    box = started()
    box.play(AWAY, box.no_token(Cause.NO_INTERNET))
    assert box.view().banner.startswith("disconnected: no network,")


def test_a_link_lost_during_the_wait_is_named():
    box = started()
    box.play(HOME, box.no_token(Cause.NO_INTERNET))
    assert box.view().banner.startswith("disconnected: no internet,")
    box.play(AWAY)
    assert box.view().banner.startswith("disconnected: no network,")


@pytest.mark.parametrize("order", ["link first", "token first"])
def test_a_lost_link_does_not_hide_another_cause(order):
    box = started()
    blow = (AWAY, box.no_token(Cause.TOKEN_SOURCE))
    box.play(HOME, *(blow if order == "link first" else reversed(blow)))
    assert box.state.cause is Cause.TOKEN_SOURCE


# the same identity twice


def replaced(box: CoreHarness, stay_s: float = 300) -> float:
    """Replace the box in the room after a while; return how long it waits."""
    box.enter()
    box.play(stay_s, box.lost(Cause.REPLACED))
    return wait_s(box)


def test_a_replaced_box_backs_off_by_minutes():
    box = started()
    waits = []
    for _ in range(8):
        waits.append(replaced(box))
        next_try(box)
    assert waits == [60, 120, 240, 480, 600, 600, 600, 600]


def test_two_boxes_with_one_identity_replace_each_other_ever_more_rarely():
    box = started()
    for _ in range(8):
        last_s = replaced(box, stay_s=TEN_MINUTES_S)
        next_try(box)
    assert last_s == TEN_MINUTES_S


def test_a_session_of_an_hour_resets_the_wait_after_replacements():
    box = started()
    for _ in range(4):
        replaced(box)
        next_try(box)
    assert replaced(box, stay_s=session.EVICTION_RESET_S) == 60


def test_a_session_of_an_hour_that_was_resumed_resets_the_wait_after_replacements():
    box = started()
    for _ in range(4):
        replaced(box)
        next_try(box)
    box.enter()
    for _ in range(4):
        box.play(session.EVICTION_RESET_S / 4, box.paused(), 2, box.resumed())
    box.play(box.lost(Cause.REPLACED))
    assert wait_s(box) == 60


def test_other_failures_do_not_shorten_the_wait_after_a_replacement():
    box = started()
    replaced(box)
    next_try(box)
    box.play(box.no_token())
    next_try(box)
    assert replaced(box) == 120


def test_another_address_does_not_end_the_wait_after_a_replacement():
    box = started()
    box.play(HOME)
    replaced(box)
    assert box.play(ELSEWHERE, AWAY, HOME) == ()


def test_a_press_ends_the_wait_after_a_replacement():
    box = started()
    replaced(box)
    assert of(FetchToken, box.play(LEAVE))
    assert replaced(box) == 60


# removed by a moderator


def removed(box: CoreHarness) -> float:
    """Remove the box from the room; return how long it waits."""
    box.enter()
    box.play(box.lost(Cause.ROOM_CLOSED))
    return wait_s(box)


def test_a_removed_box_waits_from_one_to_ten_minutes():
    box = started()
    waits = []
    for _ in range(6):
        waits.append(removed(box))
        next_try(box)
    assert waits == [60, 120, 240, 480, 600, 600]


def test_the_wait_after_a_removal_is_shown():
    box = started()
    removed(box)
    assert box.view().banner == "disconnected: room closed, retry in 60 s"
    assert box.view().faults == ("the room went",)


@pytest.mark.parametrize("press", [PRESS, LEAVE, JoinAsked()])
@pytest.mark.parametrize("cause", [Cause.ROOM_CLOSED, Cause.REPLACED])
def test_a_press_rejoins_at_once_after_a_removal(press, cause):
    box = started(Config(talk=TalkConfig(leave_hold_ms=800)))
    box.enter()
    box.play(box.lost(cause))
    assert of(FetchToken, box.play(press)) == (FetchToken(2, None, None),)
    assert removed(box) == 60


@pytest.mark.parametrize("button", Button)
def test_a_button_that_is_found_held_down_does_not_rejoin_after_a_removal(button):
    box = started()
    removed(box)
    assert box.play(ButtonPressed(button, is_at_boot=True)) == ()


def test_a_press_that_rejoins_does_not_talk_until_it_is_pressed_again():
    box = started()
    removed(box)
    box.play(PRESS)
    box.enter()
    assert not box.is_live()
    box.play(RELEASE, 1, PRESS)
    assert box.is_live()


def test_a_latched_talk_ends_when_the_box_is_removed():
    box = started(with_mode(TOGGLE))
    box.enter()
    box.play(PRESS, RELEASE)
    assert box.is_live()
    box.play(box.lost(Cause.ROOM_CLOSED), 60)
    box.enter()
    assert not box.is_live()


def test_another_address_does_not_end_the_wait_after_a_removal():
    box = started()
    box.play(HOME)
    removed(box)
    assert box.play(ELSEWHERE, AWAY, HOME) == ()
