"""Lines that wait to be sent: order, repetition and failure."""

import pytest

from appliance.core.chat import OUTBOX_LINES, UNNOTICED_S, Delivery
from appliance.core.commands import SendChat
from appliance.core.events import (
    Cause,
    ChatFailed,
    ChatReceived,
    ChatSent,
    ChatTyped,
    JoinAsked,
    LinkChanged,
    RoomResumed,
)
from appliance.core.session import RESUME_S
from tests.core.story import (
    LEAVE,
    CoreHarness,
    in_room,
    message,
    of,
    started,
    with_presets,
)

HELLO = ChatTyped("c1", "hello", 5)


def sends(box: CoreHarness, *story) -> tuple[str, ...]:
    """Play and return the ids of the lines that are sent."""
    return tuple(command.id for command in of(SendChat, box.play(*story)))


def deliveries(box: CoreHarness) -> list[Delivery]:
    return [line.state for line in box.view().chat]


def test_a_line_typed_in_the_room_is_sent_at_once():
    box = in_room()
    assert box.play(HELLO) == (SendChat(1, "c1", "hello", 5),)
    assert deliveries(box) == [Delivery.QUEUED]
    box.play(ChatSent(1, "c1"))
    assert deliveries(box) == [Delivery.SENT]


def test_a_line_that_is_submitted_twice_is_sent_once():
    box = in_room()
    assert sends(box, HELLO, HELLO) == ("c1",)


def test_lines_typed_while_away_wait_for_the_room_in_their_order():
    box = started()
    assert sends(box, HELLO, ChatTyped("c2", "you", 6)) == ()
    box.play(box.token())
    assert sends(box, box.joined()) == ("c1", "c2")


def test_lines_typed_during_a_pause_are_sent_after_it():
    box = in_room()
    assert sends(box, box.paused(), HELLO) == ()
    assert sends(box, box.resumed()) == ("c1",)


def test_the_outbox_survives_several_outages():
    box = in_room()
    box.play(box.lost(), HELLO, 1)
    for _ in range(5):
        box.play(box.no_token(), 40)
    box.play(box.token())
    assert sends(box, box.joined()) == ("c1",)


def test_a_failure_in_the_room_is_shown_with_its_reason():
    box = in_room()
    box.play(HELLO, ChatFailed(1, "c1", "too long"))
    (line,) = box.view().chat
    assert (line.state, line.reason) == (Delivery.FAILED, "too long")


def test_a_failure_because_the_room_went_is_tried_again():
    box = in_room()
    box.play(HELLO, box.paused(), ChatFailed(1, "c1", "not connected"))
    assert deliveries(box) == [Delivery.QUEUED]
    assert sends(box, box.resumed()) == ("c1",)


def test_a_failure_while_the_network_is_down_is_tried_again():
    box = in_room()
    box.play(LinkChanged("10.0.0.7"), HELLO, LinkChanged(None))
    box.play(ChatFailed(1, "c1", "the room did not accept it in time"))
    assert deliveries(box) == [Delivery.QUEUED]
    assert sends(box, LinkChanged("10.0.0.7")) == ("c1",)


def test_an_answer_of_an_older_session_is_dropped():
    box = in_room()
    box.play(HELLO, box.lost(), 1)
    box.play(ChatSent(1, "c1"), ChatReceived(1, message("late")))
    assert deliveries(box) == [Delivery.QUEUED]


def test_what_was_sent_is_not_sent_again():
    box = in_room()
    box.play(HELLO, ChatSent(1, "c1"))
    assert sends(box, box.paused(), box.resumed()) == ()


def test_a_late_failure_does_not_take_back_what_was_sent():
    box = in_room()
    box.play(HELLO, box.paused(), box.resumed(), ChatSent(1, "c1"))
    box.play(ChatFailed(1, "c1", "not connected"))
    assert deliveries(box) == [Delivery.SENT]


@pytest.mark.parametrize(
    ("before_s", "expected"),
    [
        pytest.param(UNNOTICED_S - 1, Delivery.FAILED, id="just before"),
        pytest.param(UNNOTICED_S + 1, Delivery.SENT, id="long before"),
    ],
)
@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(lambda box: (box.lost(),), id="lost"),
        pytest.param(lambda box: (box.paused(), 20, box.lost()), id="not resumed"),
        pytest.param(lambda box: (box.paused(), RESUME_S), id="too late"),
        pytest.param(
            lambda box: (box.paused(), 20, RoomResumed(1, is_new=True)),
            id="new connection",
        ),
        pytest.param(lambda box: (box.paused(), 20, LEAVE), id="left paused"),
        pytest.param(lambda _: (LinkChanged(None), LEAVE), id="left without network"),
        pytest.param(
            lambda box: (box.paused(), 20, box.lost(Cause.REPLACED)), id="replaced"
        ),
    ],
)
def test_a_line_sent_before_an_outage_is_in_doubt(outage, before_s, expected):
    box = in_room()
    box.play(HELLO, ChatSent(1, "c1"), before_s)
    box.play(*outage(box))
    (line,) = box.view().chat
    assert (line.state, bool(line.reason)) == (expected, expected is Delivery.FAILED)


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(lambda box: (LEAVE, box.left()), id="left"),
        pytest.param(lambda box: (box.lost(Cause.ROOM_CLOSED),), id="closed"),
        pytest.param(lambda box: (box.lost(Cause.REPLACED),), id="replaced"),
    ],
)
def test_a_line_is_not_in_doubt_after_an_end_that_was_announced(story):
    box = in_room()
    box.play(HELLO, ChatSent(1, "c1"))
    box.play(*story(box))
    assert deliveries(box) == [Delivery.SENT]


def test_a_resumed_connection_lost_no_line():
    box = in_room()
    box.play(HELLO, ChatSent(1, "c1"), 1, box.paused(), 5, box.resumed())
    assert deliveries(box) == [Delivery.SENT]


def test_a_full_outbox_is_reported_and_lines_beyond_it_fail():
    box = started()
    lines = [ChatTyped(f"c{number}", "x", number) for number in range(30)]
    box.play(*lines[: OUTBOX_LINES - 1])
    assert box.view().chat_refusal == ""
    box.play(*lines[OUTBOX_LINES - 1 :])
    assert box.view().chat_refusal == "20 lines are waiting to be sent already"
    assert deliveries(box)[OUTBOX_LINES:] == [Delivery.FAILED] * 10
    box.play(box.token())
    assert len(sends(box, box.joined())) == OUTBOX_LINES


def test_many_received_lines_do_not_displace_queued_ones():
    box = in_room()
    box.play(HELLO, box.paused())
    for number in range(500):
        box.play(ChatReceived(1, message("x", key=str(number))))
    assert sends(box, box.resumed()) == ("c1",)


def test_lines_for_one_room_are_not_sent_to_another():
    box = in_room(with_presets("garage"))
    box.play(box.paused(), HELLO, JoinAsked("garage"), box.left())
    box.play(box.token())
    assert sends(box, box.joined()) == ()
    (line,) = box.view().chat
    assert (line.state, line.reason) == (
        Delivery.FAILED,
        "the box went to another room",
    )


def test_lines_wait_for_a_box_that_was_left_to_come_back():
    box = in_room()
    box.play(LEAVE, box.left(), HELLO, 1, LEAVE)
    box.play(box.token())
    assert sends(box, box.joined()) == ("c1",)


def test_received_lines_are_shown():
    box = in_room()
    box.play(ChatReceived(1, message("hi")))
    (line,) = box.view().chat
    assert (line.sender_name, line.text) == ("Alice", "hi")
