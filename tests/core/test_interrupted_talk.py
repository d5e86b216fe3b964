"""Talks that an outage or a pause interrupts."""

import pytest

from appliance.config import TalkMode
from appliance.core.commands import CloseGate, Earcon, LeaveRoom, OpenGate
from appliance.core.events import (
    FirstBlockSent,
    JoinAsked,
    LeaveAsked,
    LinkChanged,
    MuteAsked,
    TailEnded,
)
from appliance.core.talk import INTERRUPTED_S
from tests.core.story import (
    BOB,
    HOLD,
    HYBRID,
    LEAVE,
    MICROPHONE_FOUND,
    MICROPHONE_LOST,
    OPEN,
    PAGE_DOWN,
    PRESS,
    PUSH_TO_TALK,
    RELEASE,
    TOGGLE,
    earcons,
    in_room,
    live,
    of,
    with_limit,
    with_mode,
    with_presets,
)

# loss and return


@pytest.mark.parametrize("mode", TalkMode)
def test_a_talk_goes_on_while_livekit_resumes(mode):
    """The audio often gets through: the server's answers alone were late."""
    box = in_room(with_mode(mode))
    if mode is not OPEN:
        box.play(PRESS)
    box.play(FirstBlockSent(0.01))
    assert box.play(box.paused()) == ()
    assert box.state.talk.is_open
    assert not box.view().lamps.talking, "nobody knows whether it is heard"
    assert earcons(box.play(5, box.resumed())) == ()
    assert box.view().lamps.talking


def test_while_livekit_resumes_no_talk_begins():
    box = in_room(with_mode(HOLD))
    commands = box.play(box.paused(), PRESS)
    assert earcons(commands) == (Earcon.LOST, Earcon.REFUSED)
    assert not of(OpenGate, commands)


def test_a_talk_that_ends_while_livekit_resumes_says_that_the_room_is_lost():
    box = live(HOLD)
    commands = box.play(box.paused(), 1, RELEASE)
    assert of(CloseGate, commands)
    assert earcons(commands) == (Earcon.LOST,)
    assert earcons(box.play(box.resumed())) == (Earcon.JOINED,)


@pytest.mark.parametrize("blow", ["lost", "no network"])
def test_a_talk_ends_when_livekit_does_not_resume(blow):
    box = live(HOLD)
    box.play(box.paused())
    commands = box.play(LinkChanged(None) if blow == "no network" else box.lost())
    assert of(CloseGate, commands) == (CloseGate(tail_ms=0),)
    assert earcons(commands) == (Earcon.LOST,)


@pytest.mark.parametrize("mode", TalkMode)
def test_a_talk_whose_room_livekit_does_not_resume_in_time_says_that_it_is_lost(mode):
    box = in_room(with_mode(mode))
    if mode is not OPEN:
        box.play(PRESS)
    if mode in {TOGGLE, HYBRID}:
        box.play(0.1, RELEASE)
    box.play(FirstBlockSent(0.01))
    assert earcons(box.play(box.paused(), 31, box.left(), 5)) == (Earcon.LOST,)


@pytest.mark.parametrize("leave", [LEAVE, LeaveAsked(), JoinAsked("garage")])
def test_leaving_on_request_while_livekit_resumes_has_no_earcon(leave):
    box = in_room(with_presets("garage"))
    box.play(PRESS, FirstBlockSent(0.01), box.paused())
    assert earcons(box.play(leave, box.left())) == ()


def test_a_talk_that_goes_on_after_a_rejoin_has_one_earcon():
    """The one of the room would be sent through the open gate."""
    box = in_room(with_mode(OPEN))
    assert earcons(box.play(box.lost())) == (Earcon.LOST,)
    box.play(2)
    assert earcons(box.enter()) == (Earcon.PERMIT,)


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID, OPEN])
def test_after_a_rejoin_a_latched_talk_goes_on(mode):
    box = in_room(with_mode(mode))
    if mode is not OPEN:
        box.play(PRESS, 0.1, RELEASE)
    box.play(box.lost())
    assert not box.is_live()
    box.play(2)
    box.enter()
    assert box.is_live()


def test_a_refusal_that_the_network_ends_leaves_the_talk_as_it_was():
    box = in_room(with_mode(TOGGLE))
    box.play(PRESS, RELEASE, LinkChanged(None), box.lost(), 2)
    box.play(box.no_token(is_final=True))
    assert not box.is_live()
    box.play(LinkChanged("10.0.0.7"))
    box.enter()
    assert box.is_live()


@pytest.mark.parametrize("cause", ["outage", "microphone"])
@pytest.mark.parametrize("limit_s", [0, 3600])
@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_a_latched_talk_does_not_go_on_by_itself_after_a_long_interruption(
    mode, limit_s, cause
):
    box = in_room(with_limit(limit_s, 10, mode))
    box.play(PRESS, 0.1, RELEASE, 60)
    if cause == "microphone":
        box.play(MICROPHONE_LOST, INTERRUPTED_S + 1, MICROPHONE_FOUND)
    else:
        box.play(box.lost(), 1, LinkChanged(None), INTERRUPTED_S, LinkChanged("::1"))
        box.enter()
    assert not box.is_live()
    assert earcons(box.play(PRESS)) == (Earcon.PERMIT,)


def test_a_latched_talk_goes_on_after_a_short_interruption_although_it_is_long():
    box = in_room(with_limit(0, 10, HYBRID))
    box.play(PRESS, 0.1, RELEASE, 2 * INTERRUPTED_S)
    for _ in range(2):
        box.play(MICROPHONE_LOST, INTERRUPTED_S - 1, MICROPHONE_FOUND, 1)
        assert box.is_live()


def test_an_open_box_is_open_after_every_interruption():
    box = in_room(with_mode(OPEN))
    box.play(MICROPHONE_LOST, 2 * INTERRUPTED_S, MICROPHONE_FOUND)
    assert box.is_live()


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_after_a_rejoin_a_muted_box_is_still_muted(mode):
    box = in_room(with_mode(mode))
    box.play(PRESS, 5, RELEASE, 0.2, PRESS if mode is TOGGLE else 0, RELEASE)
    box.play(box.lost(), 2)
    box.enter()
    assert not box.is_live()


def test_a_microphone_that_comes_back_is_live_again_while_the_button_is_held():
    box = live(HOLD)
    assert of(CloseGate, box.play(MICROPHONE_LOST)) == (CloseGate(tail_ms=0),)
    assert of(OpenGate, box.play(1, MICROPHONE_FOUND))


def test_a_held_talk_goes_on_when_the_listener_comes_back():
    box = live(HOLD)
    assert earcons(box.play(box.people())) == (Earcon.END,)
    assert of(OpenGate, box.play(1, box.people(BOB)))


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_a_latched_talk_is_over_when_everybody_has_gone(mode):
    box = live(mode)
    box.play(0.1, RELEASE, box.people(), 3600)
    assert not of(OpenGate, box.play(box.people(BOB)))


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
@pytest.mark.parametrize("leave", [LEAVE, LeaveAsked()])
def test_leaving_mutes_the_box_even_if_the_button_stays_down(mode, leave):
    box = live(mode)
    box.play(leave, box.left(), 5, JoinAsked())
    box.enter()
    assert not box.is_live()
    box.play(5, RELEASE)
    assert not box.is_live()


def test_leaving_ends_the_talk_of_the_page_as_well():
    box = in_room()
    box.play(PAGE_DOWN, LEAVE, box.left(), LEAVE)
    box.enter()
    assert not box.is_live()


def test_a_leave_that_is_undone_while_leaving_mutes_nevertheless():
    box = live(HYBRID)
    box.play(0.1, RELEASE, LEAVE, LEAVE, box.left())
    box.enter()
    assert not box.is_live()


def test_a_talk_is_not_carried_into_another_room():
    box = in_room(with_presets("garage"))
    box.play(PRESS, 0.1, RELEASE, JoinAsked("garage"), box.left())
    box.enter()
    assert not box.is_live()


# what really flows


def test_the_talking_lamp_waits_for_sound_and_stays_through_the_tail():
    box = in_room()
    box.play(PRESS)
    assert not box.view().lamps.talking
    box.play(FirstBlockSent(0.02))
    assert box.view().lamps.talking
    box.play(1, RELEASE)
    assert box.view().lamps.talking
    box.play(TailEnded())
    assert not box.view().lamps.talking


@pytest.mark.parametrize("blow", ["lost", "people"])
def test_the_talking_lamp_goes_out_with_the_room_even_if_no_tail_is_reported(blow):
    box = in_room()
    box.play(PRESS, FirstBlockSent(0.02), getattr(box, blow)())
    assert not box.state.talk.is_transmitting


def test_a_late_report_of_an_ended_talk_does_not_light_the_lamp():
    box = in_room()
    box.play(PRESS, 1, RELEASE, FirstBlockSent(0.02))
    assert not box.view().lamps.talking


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_a_latched_talk_is_given_up_when_nobody_comes_back_after_an_outage(mode):
    box = in_room(with_mode(mode))
    box.play(PRESS, 0.1, RELEASE, box.lost())
    box.play(2)
    box.play(box.token())
    box.play(box.joined(), 60)
    box.play(box.people(BOB))
    assert not box.is_live()


def test_a_latched_talk_goes_on_when_the_others_come_back_a_little_later():
    box = in_room(with_mode(HYBRID))
    box.play(PRESS, 0.1, RELEASE, box.lost())
    box.play(2)
    box.play(box.token())
    box.play(box.joined(), 5, box.people(BOB))
    assert box.is_live()


def test_muting_during_the_release_tail_cuts_it():
    box = in_room(with_mode(HOLD))
    box.play(PRESS, FirstBlockSent(0.01), 1, RELEASE)
    commands = box.play(MuteAsked(is_on=True))
    assert of(CloseGate, commands) == (CloseGate(tail_ms=0),)
    assert not box.state.talk.is_transmitting


@pytest.mark.parametrize("event", ["people left", "sent late"])
def test_muting_cuts_a_release_tail_that_the_lamp_does_not_show(event):
    box = live(HOLD)
    if event == "people left":
        box.play(FirstBlockSent(0.01), 1, RELEASE, box.people())
    else:
        box.play(0.01, RELEASE, FirstBlockSent(0.01))
    assert not box.view().lamps.talking
    assert of(CloseGate, box.play(MuteAsked(is_on=True))) == (CloseGate(tail_ms=0),)


@pytest.mark.parametrize("leave", [LEAVE, LeaveAsked(), JoinAsked("garage")])
def test_the_release_tail_is_cut_before_the_room_is_left(leave):
    """Or the next room would hear the last words."""
    box = in_room(with_presets("garage"))
    box.play(PRESS, FirstBlockSent(0.01), 5, RELEASE)
    assert box.play(leave) == (CloseGate(tail_ms=0), LeaveRoom(1))


@pytest.mark.parametrize("is_paused", [False, True])
def test_the_release_tail_is_cut_when_the_room_is_lost(is_paused):
    box = live(HOLD)
    box.play(FirstBlockSent(0.01), 5, RELEASE)
    if is_paused:
        assert of(CloseGate, box.play(box.paused(), 1)) == ()
    assert of(CloseGate, box.play(box.lost())) == (CloseGate(tail_ms=0),)


def test_a_release_tail_that_is_over_is_not_cut():
    box = live(HOLD)
    box.play(FirstBlockSent(0.01), 5, RELEASE, TailEnded())
    assert of(CloseGate, box.play(MuteAsked(is_on=True), box.lost())) == ()


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_a_latched_talk_does_not_outlast_its_time_limit_in_an_outage(mode):
    box = in_room(with_limit(60, 10, mode))
    box.play(PRESS, 0.1, RELEASE, 20, box.lost(), 2)
    box.enter()
    assert box.is_live()
    box.play(37)
    assert box.is_live()
    assert not earcons(box.play(box.lost(), 5, box.token())).count(Earcon.WARNING)
    box.play(box.joined(BOB))
    assert not box.is_live()


def test_a_button_that_is_held_through_a_long_outage_has_to_be_released_first():
    box = in_room(with_limit(60, 10))
    box.play(PRESS, box.lost(), 3600)
    box.play(box.token(), box.joined(BOB))
    assert not box.is_live()
    assert box.view().talk_text == "time is up: release the button"
