"""The view that screen, lamps and page show."""

from dataclasses import replace
from itertools import pairwise

import pytest

from appliance.config import Config, ScreenConfig
from appliance.core.events import (
    Cause,
    ChatReceived,
    FirstBlockSent,
    JoinAsked,
    LinkChanged,
    MuteAsked,
    PageServed,
    Part,
    PartFound,
    Participant,
    PartLost,
    StopAsked,
)
from appliance.core.state import Phase, Talk
from appliance.core.view import ConnectionState, LampStates, TalkState, view
from tests.core.story import (
    ALICE,
    BOB,
    LEAVE,
    MICROPHONE_LOST,
    PRESS,
    RELEASE,
    CoreHarness,
    in_room,
    joining,
    message,
    started,
    with_limit,
    with_presets,
)

SPEAKER_LOST = PartLost(Part.SPEAKER, "USB", "unplugged")


# connection


def test_the_first_session_connects_and_later_ones_reconnect():
    box = CoreHarness()
    assert box.view().connection is ConnectionState.CONNECTING
    box = started()
    assert box.view().connection is ConnectionState.CONNECTING
    box.play(box.no_token())
    assert box.view().connection is ConnectionState.DISCONNECTED
    box.play(1)
    assert box.phase() is Phase.FETCHING
    assert box.view().connection is ConnectionState.RECONNECTING
    box.enter()
    assert box.view().connection is ConnectionState.CONNECTED
    box.play(box.paused())
    assert box.view().connection is ConnectionState.RECONNECTING


def test_a_left_box_is_left_and_then_connects_afresh():
    box = in_room()
    box.play(LEAVE)
    assert box.view().connection is ConnectionState.DISCONNECTED
    box.play(box.left())
    assert box.view().connection is ConnectionState.LEFT
    box.play(1, LEAVE)
    assert box.view().connection is ConnectionState.CONNECTING


def test_a_refused_box_is_refused_with_the_reason_among_the_faults():
    box = started()
    box.play(box.no_token(Cause.REFUSED, is_final=True))
    assert box.view().connection is ConnectionState.REFUSED
    assert box.view().faults == ("no token there",)


def test_leaving_for_a_new_session_is_a_reconnect():
    box = in_room()
    box.play(JoinAsked(display_name="Hall"))
    assert box.view().connection is ConnectionState.RECONNECTING


def test_a_stopping_and_a_stopped_box_are_disconnected():
    box = in_room()
    box.play(StopAsked())
    assert box.view().connection is ConnectionState.DISCONNECTED
    box.play(box.left())
    assert box.view().connection is ConnectionState.DISCONNECTED


# lamps


def test_a_box_that_is_starting_shows_no_lamp():
    assert CoreHarness().view().lamps == LampStates()


def test_the_online_lamp_is_lit_only_in_the_room():
    box = joining()
    assert not box.view().lamps.online
    box.play(box.joined(ALICE))
    assert box.view().lamps.online
    box.play(box.paused())
    assert not box.view().lamps.online


def test_the_receiving_lamp_and_the_talkers_follow_the_room():
    box = in_room()
    assert not box.view().lamps.receiving
    box.play(box.people(ALICE, BOB))
    assert box.view().lamps.receiving
    assert box.view().talkers == ("Bob",)
    box.play(box.paused())
    assert not box.view().lamps.receiving
    assert box.view().talkers == ()


def test_the_talking_lamp_is_lit_only_while_frames_flow_into_a_room():
    box = in_room()
    box.play(PRESS, FirstBlockSent(0.01))
    assert box.view().lamps.talking
    box.play(box.paused())
    assert not box.view().lamps.talking


def test_audio_that_reaches_no_room_does_not_light_the_talking_lamp():
    box = started()
    box.state = replace(box.state, talk=Talk(is_transmitting=True))
    assert not box.view().lamps.talking
    assert box.view().is_muted


def test_the_fault_lamp_stays_lit_during_attempts_and_goes_out_in_the_room():
    box = started()
    box.play(box.no_token())
    assert box.view().lamps.fault
    box.play(1)
    assert box.phase() is Phase.FETCHING
    assert box.view().lamps.fault
    box.enter()
    assert not box.view().lamps.fault


# talk


def test_a_box_is_muted_only_when_no_sample_can_leave_it():
    box = in_room()
    assert box.view().is_muted
    box.play(PRESS)
    assert not box.view().is_muted
    box.play(FirstBlockSent(0.01), 1, RELEASE)
    assert not box.view().is_muted
    box.play(MuteAsked(is_on=True), box.lost())
    assert box.view().is_muted


@pytest.mark.parametrize(
    ("make", "story", "text"),
    [
        (started, (), "cannot talk: not connected"),
        (in_room, (MICROPHONE_LOST,), "cannot talk: no microphone"),
        (joining, (), "cannot talk: not connected"),
    ],
)
def test_the_reason_why_a_press_would_be_refused_is_shown(make, story, text):
    box = make()
    box.play(*story)
    assert box.view().talk is TalkState.UNAVAILABLE
    assert box.view().talk_text == text


def test_being_alone_is_shown():
    box = joining()
    box.play(box.joined())
    assert box.view().talk_text == "cannot talk: nobody here"


def test_talk_states_follow_the_button():
    box = in_room(with_limit(60, 10))
    assert (box.view().talk, box.view().talk_text) == (TalkState.MUTED, "muted")
    box.play(PRESS)
    assert (box.view().talk, box.view().talk_text) == (TalkState.TALKING, "talking")
    assert box.view().talk_left_s is None
    box.play(53.5)
    assert box.view().talk is TalkState.WARNING
    assert box.view().talk_left_s == 7
    assert view(box.state, box.now_s + 60).talk_left_s == 0
    box.play(10)
    assert box.view().talk is TalkState.LOCKED
    assert box.view().talk_left_s is None


# the rest


def test_names_of_rooms_and_of_the_box_are_shown():
    box = in_room(with_presets("garage", "attic"))
    assert box.view().presets == ("garage", "attic")
    assert box.view().preset is None
    box.play(JoinAsked("garage"))
    assert box.view().preset == "garage"
    assert box.view().name == ""
    assert CoreHarness(Config(name="hall")).view().name == "hall"


def test_missing_sound_parts_are_shown():
    box = CoreHarness()
    assert box.view().has_microphone
    assert box.view().has_speaker
    box.play(MICROPHONE_LOST, SPEAKER_LOST)
    assert not box.view().has_microphone
    assert not box.view().has_speaker


def test_the_address_is_shown_as_far_as_it_is_known():
    box = CoreHarness()
    assert box.view().address == ""
    box.play(LinkChanged("10.0.0.7"))
    assert box.view().address == "10.0.0.7"
    box.play(LinkChanged(None))
    assert box.view().address == ""


def test_an_idle_box_has_an_unchanged_view():
    box = in_room()
    assert view(box.state, box.now_s) == view(box.state, box.now_s + 86_400)


def test_a_waiting_box_has_a_new_view_once_a_second():
    box = started()
    for _ in range(6):
        box.play(box.no_token(), 30)
    box.play(box.no_token())
    views = [view(box.state, box.now_s + tenth / 10) for tenth in range(100)]
    changes = sum(one != other for one, other in pairwise(views))
    assert changes == 10


def test_pin_and_chat_are_kept_out_of_logs():
    box = in_room()
    box.play(PageServed("http://box.local", "4711"))
    box.play(ChatReceived(box.state.ticket, message("psst")))
    for logged in (box.view(), box.state):
        assert "4711" not in repr(logged)
        assert "psst" not in repr(logged)


def test_a_missing_optional_screen_lights_no_fault_lamp_but_is_named():
    lost = PartLost(Part.SCREEN, "OLED", "nobody answers")
    box = in_room()
    box.play(lost)
    assert box.view().faults
    assert not box.view().lamps.fault
    promised = in_room(Config(screen=ScreenConfig(driver="ssd1306")))
    promised.play(lost)
    assert promised.view().lamps.fault


def test_participants_with_an_audio_fault_are_named_and_the_list_is_bounded():
    box = in_room()
    many = [Participant(f"p{n}", f"P{n}", sound_fault="no key") for n in range(9)]
    box.play(box.people(many[0], ALICE))
    assert box.view().faults == ("P0: no key",)
    assert box.view().lamps.fault
    box.play(box.people(*many))
    assert box.view().faults == (
        "P0: no key",
        "P1: no key",
        "P2: no key",
        "and 6 more participants with an audio fault",
    )


def test_equal_faults_of_participants_with_one_name_are_one_sentence():
    box = in_room()
    same = [Participant(f"p{n}", "Anna", sound_fault="no key") for n in range(2)]
    box.play(box.people(*same))
    assert box.view().faults == ("Anna: no key",)
    assert box.view().lamps.fault


def test_a_silent_microphone_does_not_light_the_talking_lamp():
    box = in_room()
    silent = PartFound(Part.MICROPHONE, "USB", "only silence", is_silent=True)
    box.play(PRESS, FirstBlockSent(0.01))
    assert box.view().lamps.talking
    box.play(silent)
    shown = box.view()
    assert (shown.talk, shown.talk_text) == (
        TalkState.TALKING,
        "talking, but without sound",
    )
    assert shown.is_silent
    assert not shown.lamps.talking
    assert shown.faults == ("microphone: USB, only silence",)
    box.play(PartFound(Part.MICROPHONE, "USB"))
    assert box.view().lamps.talking
    assert not box.view().faults
