"""The chat log: duplicates, edits, captions and its limits."""

from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.chat import (
    KEPT_BYTES,
    KEPT_LINES,
    OUTBOX_LINES,
    UNKNOWN_ID,
    ChatLog,
    Delivery,
)
from appliance.core.events import (
    ChatFailed,
    ChatMessage,
    ChatReceived,
    ChatSent,
    ChatTyped,
    Participant,
)
from tests.core.story import in_room, message

TYPED = ChatTyped("c1", "mine", 9)

_key = st.sampled_from([*"abcdef", ""])
_message = st.builds(
    ChatMessage, _key, _key, _key, _key, st.integers(0, 9), st.booleans()
)
_answer = st.one_of(
    st.builds(ChatSent, st.just(1), _key),
    st.builds(ChatFailed, st.just(1), _key, st.just("why")),
)
_typed = st.builds(ChatTyped, st.one_of(_key, st.uuids().map(str)), _key, st.just(0))
_change = st.one_of(_message, _answer, _typed, st.just("give up"))


def log(*messages: ChatMessage) -> ChatLog:
    return reduce(ChatLog.received, messages, ChatLog())


def texts(chat: ChatLog) -> list[str]:
    return [line.text for line in chat.lines]


def test_a_message_received_twice_appears_once():
    assert texts(log(message("hi"), message("hi"))) == ["hi"]


def test_two_senders_may_use_the_same_id():
    assert texts(log(message("hi"), message("ho", sender="bob"))) == ["hi", "ho"]


def test_an_edit_replaces_the_text_and_keeps_place_and_time():
    edit = replace(message("hi!"), ts_ms=99, is_edit=True)
    chat = log(message("hi"), message("ho", key="m2"), edit)
    assert texts(chat) == ["hi!", "ho"]
    assert chat.lines[0].ts_ms == 1


def test_the_same_id_again_is_an_edit_too():
    assert texts(log(message("hi"), message("hi!"))) == ["hi!"]


def test_an_edit_of_an_unknown_line_adds_none():
    assert texts(log(replace(message("hi!"), is_edit=True))) == []


def test_a_participant_cannot_edit_the_lines_of_another():
    edit = replace(message("pwned", sender="bob"), is_edit=True)
    assert texts(log(message("hi"), edit)) == ["hi"]


@pytest.mark.parametrize("is_joined_again", [False, True])
def test_lines_get_the_name_that_becomes_known_later(is_joined_again):
    box = in_room()
    box.play(ChatReceived(1, message("hi", sender="guest-7f")))
    zoe = Participant("guest-7f", "Zoe")
    if is_joined_again:
        box.play(box.lost(), 1)
        box.play(box.token(), box.joined(zoe))
    else:
        box.play(box.people(zoe))
    box.play(box.people())
    assert [line.sender_name for line in box.view().chat] == ["Zoe"]


def test_own_lines_and_those_of_unknown_senders_never_get_a_name():
    box = in_room()
    box.play(TYPED, ChatReceived(1, message("hi", sender="")))
    before = box.view().chat
    box.play(box.people(Participant("", "Eve"), Participant(UNKNOWN_ID, "Boss")))
    assert box.view().chat == before


def test_a_message_without_a_sender_is_not_ours():
    mine = ChatLog().typed(TYPED)
    chat = mine.received(message("pwned", key="c1", sender=""))
    assert texts(chat) == ["mine", "pwned"]
    assert [line.is_own for line in chat.lines] == [True, False]


def test_only_the_newest_fifty_lines_are_kept():
    chat = log(*(message(str(number), key=str(number)) for number in range(80)))
    assert texts(chat) == [str(number) for number in range(30, 80)]


def test_the_total_size_of_the_kept_lines_is_bounded():
    longest = "\N{WAVING HAND SIGN}" * 4000
    chat = log(*(message(longest, key=str(number)) for number in range(50)))
    assert [line.id for line in chat.lines] == ["48", "49"]
    assert size_bytes(chat) <= KEPT_BYTES


def test_edits_cannot_make_the_log_longer_than_new_lines_can():
    chat = log(*(message("hi", key=str(number)) for number in range(50)))
    for number in range(50):
        edit = replace(message("x" * 4000, key=str(number)), is_edit=True)
        chat = chat.received(edit)
    assert size_bytes(chat) <= KEPT_BYTES
    assert chat.lines[-1].text == "x" * 4000


def test_long_queued_lines_are_kept_until_they_are_given_up():
    chat = ChatLog()
    for number in range(OUTBOX_LINES):
        chat = chat.typed(ChatTyped(str(number), "x" * 8000, 9))
    chat = chat.received(message("hi"))
    assert len(chat.queued) == OUTBOX_LINES
    assert chat.lines[-1].text == "hi"
    assert size_bytes(chat.given_up(chat.queued)) <= KEPT_BYTES


def test_an_answer_for_an_unknown_line_changes_nothing():
    chat = log(message("hi"))
    assert chat.answered(ChatSent(1, "c1"), 1.0) is chat
    assert chat.answered(ChatSent(1, "m1"), 1.0) is chat


def test_a_failed_line_may_still_turn_out_to_be_sent():
    chat = ChatLog().typed(TYPED).answered(ChatFailed(1, "c1", "why"), 1.0)
    (line,) = chat.answered(ChatSent(1, "c1"), 1.0).lines
    assert (line.state, line.reason) == (Delivery.SENT, "")


def size_bytes(chat: ChatLog) -> int:
    return sum(len(line.text.encode()) for line in chat.lines)


def changed(chat: ChatLog, change: object) -> ChatLog:
    match change:
        case ChatMessage():
            return chat.received(change)
        case ChatTyped():
            return chat.typed(change)
        case ChatSent() | ChatFailed():
            return chat.answered(change, 1.0)
        case _:
            return chat.given_up(chat.queued)


@given(st.lists(_change, max_size=120))
def test_the_log_is_bounded_has_each_line_once_and_loses_no_queued_one(changes):
    chat = ChatLog()
    for change in changes:
        before, chat = chat, changed(chat, change)
        keys = [(line.sender_id, line.id) for line in chat.lines]
        assert len(keys) == len(set(keys)) <= KEPT_LINES
        assert len(chat.queued) <= OUTBOX_LINES
        if isinstance(change, ChatMessage):
            assert chat.queued == before.queued
