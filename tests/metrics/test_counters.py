"""Counts of joins, leaves and reconnects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import Config, Preset, RoomConfig
from appliance.core.events import (
    Caption,
    CaptionReceived,
    Cause,
    ChatFailed,
    ChatMessage,
    ChatReceived,
    ChatSent,
    ChatTyped,
    ConnectionDetails,
    ConnectionMeasured,
    Failure,
    FirstBlockSent,
    JoinAsked,
    LeaveAsked,
    Participant,
    Reception,
    RoomJoined,
    RoomLeft,
    RoomLost,
    RoomPaused,
    RoomResumed,
    Started,
    StopAsked,
    TailEnded,
    TalkAsked,
    Ticked,
    TokenReady,
)
from appliance.core.state import Phase, State
from appliance.core.step import step
from appliance.metrics.counters import RESUMED, Counters, Histogram

JOINING = (Started(), TokenReady(1, ConnectionDetails("wss://x", "t", "box")))
IN_ROOM = (*JOINING, RoomJoined(1, "kitchen", (Participant("bob", "Bob"),)))


def counted(*story, state=None):
    """Play events, each a second after the one before it, or (event, seconds)."""
    counts, now_s = Counters(), 100.0
    state = state or State(Config())
    for item in story:
        event, after_s = item if isinstance(item, tuple) else (item, 1.0)
        now_s += after_s
        before = state
        state, _ = step(before, event, now_s)
        counts.observe(event, before, state, now_s)
    return counts


def test_a_join_is_counted_when_the_room_has_it():
    assert counted(*JOINING).joins == 0
    assert counted(*IN_ROOM).joins == 1


def test_leaving_by_command_is_not_a_reconnect():
    counts = counted(*IN_ROOM, LeaveAsked(), RoomLeft(1))
    assert (counts.leaves, counts.reconnects.total()) == (1, 0)
    assert counted(*IN_ROOM, StopAsked()).leaves == 1
    assert counted(*IN_ROOM, JoinAsked(display_name="Ann")).leaves == 1


def test_a_lost_room_is_a_reconnect_with_its_cause_and_no_leave():
    counts = counted(*IN_ROOM, RoomLost(1, Failure(Cause.ROOM_CLOSED, "closed")))
    assert counts.reconnects == {Cause.ROOM_CLOSED: 1}
    assert counts.leaves == 0


def test_a_connection_that_livekit_resumes_is_not_a_new_join():
    counts = counted(*IN_ROOM, RoomPaused(1), RoomResumed(1))
    assert counts.reconnects == {RESUMED: 1}
    assert counts.joins == 1


def test_a_room_that_cannot_be_resumed_is_a_lost_server():
    counts = counted(*IN_ROOM, RoomPaused(1), (Ticked(), 60.0))
    assert counts.reconnects == {Cause.SERVER_LOST: 1}
    assert counts.leaves == 0


def test_an_answer_of_an_older_session_is_not_counted():
    lost = RoomLost(0, Failure(Cause.REPLACED, "old"))
    counts = counted(*IN_ROOM, lost, ChatSent(0, "a"))
    assert counts.reconnects.total() == 0
    assert counts.chat.total() == 0


def test_the_connection_value_rises_until_the_room_is_joined():
    stations = [counted(*IN_ROOM[:count]).connection for count in range(4)]
    assert stations == sorted(stations)
    assert stations[-1] == 5
    assert counted(*IN_ROOM, LeaveAsked(), RoomLeft(1)).connection == 0


def test_every_phase_has_its_number():
    for phase in Phase:
        counts = Counters()
        state = State(Config(), phase=phase)
        counts.observe(Ticked(), state, state, 0.0)
        assert counts.connection in range(6)


def test_there_is_no_round_trip_time_outside_the_room():
    assert counted(*IN_ROOM, ConnectionMeasured(1, 0.02)).rtt_s == 0.02
    assert counted(*IN_ROOM, ConnectionMeasured(1, 0.02), LeaveAsked()).rtt_s is None


def test_lost_packets_are_summed_and_delay_and_concealment_are_those_of_now():
    story = (
        *IN_ROOM,
        ConnectionMeasured(1, None, Reception(0.08, 0.05, 3), 2),
        ConnectionMeasured(1, None, Reception(0.06, 0.02, 1), 5),
        ConnectionMeasured(7, None, Reception(0.9, 0.9, 9), 9),
    )
    counts = counted(*story)
    assert (counts.reception_delay_s, counts.concealed_ratio) == (0.06, 0.02)
    assert counts.lost_packets == {"receive": 4, "send": 7}
    silent = counted(*story, ConnectionMeasured(1, None))
    assert (silent.reception_delay_s, silent.concealed_ratio) == (None, None)
    assert silent.lost_packets == counts.lost_packets
    left = counted(*story, LeaveAsked())
    assert (left.reception_delay_s, left.concealed_ratio) == (None, None)
    assert left.lost_packets == counts.lost_packets


def test_talk_time_is_the_time_in_which_audio_was_sent():
    counts = counted(
        *IN_ROOM,
        TalkAsked(is_on=True),
        FirstBlockSent(0.012),
        (Ticked(), 2.0),
        (TalkAsked(is_on=False), 0.0),
        (TailEnded(), 0.5),
        (Ticked(), 9.0),
    )
    assert counts.talk_s == 2.5
    assert counts.access.counts[-1] == 1
    assert counts.access.total == 0.012


def test_a_duplicate_and_an_edit_of_a_line_are_not_counted():
    line = ChatReceived(1, ChatMessage("a", "bob", "Bob", "hi", 1))
    edit = ChatReceived(1, ChatMessage("a", "bob", "Bob", "hi!", 1, is_edit=True))
    counts = counted(*IN_ROOM, line, line, edit, ChatReceived(1, other()))
    assert counts.chat == {("receive", "received"): 2}


def other():
    return ChatMessage("b", "bob", "Bob", "hi", 2)


def test_own_lines_are_counted_in_each_state_they_reach():
    typed = (ChatTyped("a", "hi", 1), ChatTyped("b", "ho", 2))
    counts = counted(*IN_ROOM, *typed, ChatSent(1, "a"), ChatFailed(1, "b", "no"))
    assert counts.chat == {
        ("send", "queued"): 2,
        ("send", "sent"): 1,
        ("send", "failed"): 1,
    }


def test_lines_that_an_outage_may_have_lost_are_counted_and_logged(caplog):
    typed = (ChatTyped("a", "hi", 1), ChatTyped("b", "ho", 2))
    sent = (ChatSent(1, "a"), ChatSent(1, "b"))
    lost = RoomLost(1, Failure(Cause.SERVER_LOST, "gone"))
    counts = counted(*IN_ROOM, *typed, *sent, lost, (Ticked(), 0.1))
    assert counts.chat == {
        ("send", "queued"): 2,
        ("send", "sent"): 2,
        ("send", "failed"): 2,
    }
    (line,) = caplog.messages
    assert "count=2" in line
    assert "connection was lost" in line


def test_captions_are_no_messages():
    caption = Caption("s", "bob", "Bob", "hi", is_final=True, ts_ms=1)
    assert not counted(*IN_ROOM, CaptionReceived(1, caption)).chat


def test_lines_for_another_room_are_counted_and_logged(caplog):
    rooms = Config(room=RoomConfig(presets=(Preset(name="garage"),)))
    story = (*IN_ROOM, RoomPaused(1), ChatTyped("a", "hi", 1), JoinAsked("garage"))
    counts = counted(*story, state=State(rooms))
    assert counts.chat == {("send", "queued"): 1, ("send", "failed"): 1}
    assert "another room" in caplog.text


@pytest.mark.parametrize("value", [0.05, 0.1])
def test_a_value_on_a_bound_counts_below_it(value):
    histogram = Histogram((0.05, 0.1))
    histogram.add(value)
    assert histogram.counts == [value <= 0.05, 1, 1]
    assert histogram.total == value


@given(st.lists(st.floats(-10, 10)))
def test_buckets_grow_and_the_last_holds_everything(values):
    histogram = Histogram((0.1, 0.5, 1.0))
    for value in values:
        histogram.add(value)
    assert histogram.counts == sorted(histogram.counts)
    assert histogram.counts[-1] == len(values)
    assert histogram.total == pytest.approx(sum(values))
