"""Properties of `step` as a whole."""

import pytest

from appliance.core.commands import (
    CloseGate,
    CloseSound,
    Exit,
    LeaveRoom,
    SetGain,
    SetVolume,
)
from appliance.core.events import (
    ConnectionMeasured,
    GainAsked,
    JoinAsked,
    LevelsMeasured,
    PageServed,
    Part,
    PartFound,
    PartLost,
    Started,
    StopAsked,
    Ticked,
    VolumeAsked,
)
from appliance.core.session import LEAVE_S
from appliance.core.state import Phase
from appliance.core.step import step, wake_at_s
from tests.core.story import (
    ALICE,
    LEAVE,
    PRESS,
    CoreHarness,
    in_room,
    joining,
    of,
    started,
)

END = (CloseSound(), Exit())


def test_a_step_changes_nothing_but_its_answer():
    box = in_room()
    before = box.state
    first = step(before, PRESS, 2000.0)
    assert step(before, PRESS, 2000.0) == first
    assert box.state == before


def test_the_start_sets_the_levels_that_the_page_shows():
    box = CoreHarness()
    box.play(VolumeAsked(35), GainAsked(-6.0))
    commands = box.play(Started())
    assert of(SetVolume, commands) == (SetVolume(35),)
    assert of(SetGain, commands) == (SetGain(-6.0),)


def test_an_idle_box_asks_for_no_tick():
    box = in_room()
    assert wake_at_s(box.state) == float("inf")
    before = box.state
    assert box.play(Ticked(), 3600, Ticked()) == ()
    assert box.state is before


# stopping at every stage


def waiting() -> CoreHarness:
    box = started()
    box.play(box.no_token())
    return box


def paused() -> CoreHarness:
    box = in_room()
    box.play(box.paused())
    return box


def talking() -> CoreHarness:
    box = in_room()
    box.play(PRESS)
    return box


def leaving() -> CoreHarness:
    box = in_room()
    box.play(LEAVE)
    return box


def moving() -> CoreHarness:
    box = in_room()
    box.play(JoinAsked(display_name="Hall"))
    return box


def left() -> CoreHarness:
    box = leaving()
    box.play(box.left())
    return box


def refused() -> CoreHarness:
    box = started()
    box.play(box.no_token(is_final=True))
    return box


@pytest.mark.parametrize("make", [CoreHarness, started, waiting, left, refused])
def test_a_stop_outside_a_room_is_immediate(make):
    box = make()
    assert box.play(StopAsked()) == END
    assert box.phase() is Phase.STOPPED


@pytest.mark.parametrize("make", [joining, in_room, paused])
def test_a_stop_in_a_session_leaves_first(make):
    box = make()
    assert box.play(StopAsked()) == (LeaveRoom(1),)
    assert box.play(box.left()) == END


def test_a_stop_during_a_talk_closes_the_gate_first():
    assert talking().play(StopAsked()) == (CloseGate(0), LeaveRoom(1))


@pytest.mark.parametrize("make", [leaving, moving])
def test_a_stop_while_leaving_waits_for_its_end(make):
    box = make()
    assert box.play(StopAsked()) == ()
    assert box.play(box.left()) == END


EVERY_STAGE = [
    CoreHarness,
    started,
    joining,
    in_room,
    paused,
    talking,
    waiting,
    leaving,
    moving,
    left,
    refused,
]


@pytest.mark.parametrize("make", EVERY_STAGE)
def test_a_stop_ends_in_time_and_once_even_if_nobody_answers(make):
    box = make()
    asked_at_s = box.now_s
    box.play(StopAsked(), LEAVE_S, StopAsked(), 3600)
    assert box.phase() is Phase.STOPPED
    assert box.state.since_s - asked_at_s <= LEAVE_S < 3
    assert box.commands[-2:] == END
    assert len(of(Exit, box.commands)) == 1


@pytest.mark.parametrize("make", EVERY_STAGE)
def test_a_stopped_box_does_nothing_any_more(make):
    box = make()
    late = (box.token(), box.joined(ALICE), box.left(), PRESS, LEAVE, Started())
    box.play(StopAsked(), LEAVE_S)
    before = box.state
    assert box.play(*late, StopAsked(), JoinAsked(), Ticked()) == ()
    assert box.state == before
    assert wake_at_s(box.state) == float("inf")


# parts


def test_a_missing_part_is_named_until_it_is_found():
    box = CoreHarness()
    box.play(PartLost(Part.BUTTON, "GPIO17", "busy"))
    assert box.view().faults == ("button: GPIO17: busy",)
    box.play(PartFound(Part.BUTTON, "GPIO17"))
    assert box.view().faults == ()


def test_another_part_of_the_same_kind_that_is_found_does_not_help():
    box = CoreHarness()
    box.play(PartLost(Part.LAMP, "GPIO22", "busy"), PartFound(Part.LAMP, "GPIO23"))
    assert box.view().faults == ("lamp: GPIO22: busy",)


@pytest.mark.parametrize("part", [Part.MICROPHONE, Part.SPEAKER, Part.SCREEN])
def test_any_device_that_is_found_replaces_the_missing_one(part):
    box = CoreHarness()
    box.play(PartLost(part, "the old one", "unplugged"))
    assert box.state.lost
    box.play(PartFound(part, "another one"))
    assert not box.state.lost


@pytest.mark.parametrize("part", [Part.MICROPHONE, Part.SPEAKER])
def test_a_second_choice_works_and_is_a_fault_until_the_first_is_found_or_it_is_lost(
    part,
):
    box = in_room()
    other = PartFound(part, "HDMI", 'not "Jabra"')
    box.play(PartLost(part, "Jabra", "unplugged"), other, other)
    shown = box.view()
    assert shown.faults == (f'{part}: HDMI, not "Jabra"',)
    assert shown.lamps.fault
    assert shown.has_microphone
    assert shown.has_speaker
    assert "no microphone" not in shown.talk_text
    box.play(PartFound(part, "Jabra"))
    assert box.view().faults == ()
    box.play(other, PartLost(part, "HDMI", "unplugged"))
    assert box.view().faults == (f"{part}: HDMI: unplugged",)


@pytest.mark.parametrize("part", [Part.MICROPHONE, Part.SPEAKER])
def test_no_fault_of_the_sound_card_is_shown_while_it_is_closed(part):
    box = in_room()
    lost = PartLost(part, "USB", "unplugged")
    quiet = PartFound(part, "USB", "its level is too low")
    box.play(PartLost(Part.LAMP, "GPIO22", "busy"))
    for fault in (lost, quiet):
        box.play(fault)
        assert len(box.view().faults) == 2
        box.play(LEAVE, box.left(), 1.0)
        assert box.view().faults == ("lamp: GPIO22: busy",)
        box.play(fault)
        assert len(box.view().faults) == 1, "it was on its way"
        box.play(JoinAsked(), box.token(), box.joined(ALICE))


def test_a_loss_that_is_reported_again_keeps_its_place_and_its_newest_reason():
    box = CoreHarness()
    busy, broken = (PartLost(Part.LAMP, "GPIO22", why) for why in ("busy", "broken"))
    box.play(busy, PartLost(Part.SCREEN, "0x3C", "silent"))
    box.play(broken, PartLost(Part.SCREEN, "0x3D", "silent"))
    assert box.view().faults == ("lamp: GPIO22: broken", "screen: 0x3D: silent")


# what is only shown


def test_page_levels_and_round_trip_are_shown():
    box = in_room()
    box.play(
        PageServed("http://box.local:8080", "1234"),
        LevelsMeasured(-20, -30, is_voice=True),
        ConnectionMeasured(box.state.ticket, 0.0421),
    )
    assert (box.view().page_url, box.view().pin) == ("http://box.local:8080", "1234")
    assert (box.view().microphone_dbfs, box.view().speaker_dbfs) == (-20, -30)
    assert box.view().is_voice
    assert box.view().rtt_ms == 42


def test_the_round_trip_time_of_a_lost_room_is_not_shown():
    box = in_room()
    box.play(ConnectionMeasured(box.state.ticket, 0.04), box.lost())
    assert box.view().rtt_ms is None
    box.play(ConnectionMeasured(box.state.ticket, 0.04))
    assert box.view().rtt_ms is None
