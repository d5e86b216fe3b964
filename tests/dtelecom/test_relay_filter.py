"""Removal of what nodes add to messages."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dtelecom.relay import SignalFilter
from tests.dtelecom.real_node import ROOM_KEY, response_of_fork
from tests.dtelecom.wire import field, fields, varint

ROOM = field(1, "RM_x") + field(2, "kitchen") + field(10, 1) + field(9, 3)
PERSON = (
    field(1, "PA_x") + field(2, "ann") + field(4, field(1, "TR_x")) + field(6, 2**40)
)
JOIN = field(
    1,
    field(1, ROOM)
    + field(2, PERSON)
    + field(3, PERSON * 2)
    + field(3, PERSON)
    + field(4, "1.4.1"),
)
UPDATE = field(5, field(1, PERSON) + field(1, PERSON))
ROOM_UPDATE = field(11, field(1, ROOM))
SPEAKERS = field(6, field(1, field(1, "PA_x") + field(14, 1) + field(11, "x")))
OF_LIVEKIT = [JOIN, UPDATE, ROOM_UPDATE, SPEAKERS]
AGENT = PERSON + field(14, 4)
NEWER_ROOM = ROOM + field(11, 2)


def filtered(message):
    return SignalFilter().filtered(message)


@pytest.mark.parametrize("message", OF_LIVEKIT)
def test_what_a_node_added_is_removed_and_nothing_else(message):
    changed = response_of_fork(message)
    assert (changed != message) == (message is not SPEAKERS)
    assert filtered(changed) == message


@pytest.mark.parametrize("message", OF_LIVEKIT)
def test_a_message_without_additions_is_returned_itself(message):
    assert filtered(message) is message


@pytest.mark.parametrize("room", [NEWER_ROOM, ROOM])
def test_the_join_of_a_newer_livekit_server_is_returned_itself(room):
    """Its rooms have a number where dTelecom's have a key, or none for 0; agents have a
    kind."""
    join = field(1, field(1, room) + field(2, PERSON) + field(3, AGENT))
    signal = SignalFilter()
    assert signal.filtered(join) is join
    update = field(5, field(1, AGENT))
    assert signal.filtered(update) is update
    room_update = field(11, field(1, NEWER_ROOM))
    assert signal.filtered(room_update) is room_update


def test_a_key_is_removed_even_beside_livekits_number():
    join = field(1, field(1, NEWER_ROOM + field(11, ROOM_KEY)) + field(2, AGENT))
    assert filtered(join) == field(1, field(1, NEWER_ROOM) + field(2, PERSON))


def test_a_key_is_removed_wherever_it_is_in_the_room():
    room = field(11, ROOM_KEY) + ROOM + field(11, "")
    assert filtered(field(11, field(1, room))) == ROOM_UPDATE


def test_lengths_shrink_with_the_message():
    long = field(5, "x" * 100)
    changed = field(1, field(1, long + field(11, "k" * 200)))
    assert filtered(changed) == field(1, field(1, long))


@pytest.mark.parametrize(
    "message",
    [
        b"\x08",
        b"\x0a\x05abc",
        b"\x0a" + b"\xff" * 9 + b"\x7f",
        b"\xff" * 11,
        b"\x0b",
        b"\x0c",
        field(1, b"\x0a\x7f"),
        field(11, field(1, field(11, "key") + b"\x0b")),
        field(5, field(1, field(14, 1)) + b"\x09short"),
    ],
)
def test_a_malformed_message_is_returned_itself(message):
    assert filtered(message) is message


def test_a_large_room_is_joined():
    join = field(1, field(1, ROOM) + field(3, PERSON) * 1500)
    assert filtered(response_of_fork(join)) == join


MANY = 250_000


@pytest.mark.parametrize(
    "message",
    [
        field(5, field(1, field(14, 1)) * MANY),
        field(11, field(1, "") * MANY),
        field(1, field(2, "") * MANY + field(3, "")),
        field(1, "") * MANY,
    ],
)
def test_a_message_with_too_many_parts_is_returned_itself_and_takes_no_memory(message):
    tracemalloc.start()
    try:
        assert filtered(message) is message
        assert tracemalloc.get_traced_memory()[1] < MANY
    finally:
        tracemalloc.stop()


@given(st.binary())
def test_no_message_is_an_error_and_none_grows(message):
    assert len(filtered(message)) <= len(message)


def values():
    return st.integers(0, 2**64 - 1) | st.binary(max_size=20)


def message_of(inner):
    """Return messages with the numbers that mean something here, and others."""
    numbers = st.sampled_from([1, 2, 3, 5, 11, 14, 15, 2**28])
    pairs = st.lists(st.tuples(numbers, inner), max_size=6)
    return pairs.map(lambda found: b"".join(field(*pair) for pair in found))


NESTED = message_of(values() | message_of(values() | message_of(values())))


@given(NESTED)
def test_a_message_never_grows_and_is_clean_the_second_time(message):
    once = filtered(message)
    assert len(once) <= len(message)
    assert filtered(once) == once


@given(NESTED, st.integers(0, 200))
def test_a_message_that_is_cut_off_never_grows(message, end):
    assert len(filtered(message[:end])) <= end


@given(NESTED)
def test_fields_that_mean_nothing_here_stay(message):
    kept = [each for each in fields(filtered(message)) if each[0] not in {1, 5, 11}]
    assert kept == [each for each in fields(message) if each[0] not in {1, 5, 11}]


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=4))
def test_a_length_in_more_bytes_than_needed_is_understood(parts):
    room = b"".join(field(11, part) for part in parts) + field(2, "kitchen")
    padded = bytes([len(room) | 0x80, 0]) if len(room) < 0x80 else varint(len(room))
    join = field(1, b"\x0a" + padded + room)
    assert filtered(join) == field(1, field(1, field(2, "kitchen")))
