"""WebSocket frames of the signalling connection."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from appliance.dtelecom.signal_filter import MAX_MESSAGE, FrameError, FrameFilter


def frame(data, opcode=Opcode.BINARY, *, fin=True):
    return Frame(opcode, data, fin).serialize(mask=False)


def same(message):
    return message


def shorter(message):
    return message.replace(b"key", b"") if b"key" in message else message


def passed(raw, filtered=same, size=None):
    """Return what comes out, if the bytes come in portions of this size."""
    frames = FrameFilter(filtered)
    size = size or max(1, len(raw))
    return b"".join(
        frames.feed(raw[start : start + size]) for start in range(0, len(raw), size)
    )


SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000]


@pytest.mark.parametrize("size", SIZES)
def test_a_message_that_stays_keeps_its_bytes(size):
    raw = frame(b"x" * size)
    assert passed(raw) == raw


@pytest.mark.parametrize("size", SIZES)
def test_a_message_that_changes_is_one_frame(size):
    rest = b"x" * size
    assert passed(frame(b"key" + rest), shorter) == frame(rest)


def test_a_message_in_several_frames_is_filtered_as_a_whole():
    parts = [
        frame(b"ke", fin=False),
        frame(b"ping", Opcode.PING),
        frame(b"y", Opcode.CONT, fin=False),
        frame(b"rest", Opcode.CONT),
    ]
    raw = b"".join(parts)
    # A control frame does not wait for the message around it.
    assert passed(raw, shorter) == parts[1] + frame(b"rest")
    assert passed(raw) == parts[1] + parts[0] + parts[2] + parts[3]


@pytest.mark.parametrize(
    "opcode", [Opcode.PING, Opcode.PONG, Opcode.CLOSE, Opcode.TEXT]
)
def test_only_binary_messages_are_filtered(opcode):
    raw = frame(b"key", opcode)
    assert passed(raw, shorter) == raw


messages = st.lists(
    st.tuples(st.sampled_from(list(Opcode)[1:3]), st.binary(max_size=300)), max_size=6
)


@given(messages, st.integers(1, 50))
def test_portions_of_any_size_give_the_same(contents, size):
    raw = b"".join(frame(data, opcode) for opcode, data in contents)
    assert passed(raw, size=size) == raw
    assert passed(raw, shorter, size) == passed(raw, shorter)


@given(st.binary(max_size=400), st.integers(1, 50))
def test_bytes_that_are_no_frames_end_the_connection_or_pass(raw, size):
    with suppress(FrameError):
        assert len(passed(raw, size=size)) <= len(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xc2\x01x",  # compressed
        b"\x82\x81aaaax",  # masked
        b"\x80\x01x",  # continues nothing
        b"\x02\x01x\x82\x01x",  # begins in the middle of another
        b"\x82\x7f" + struct.pack(">Q", MAX_MESSAGE),
        b"\x82\x7f" + b"\xff" * 8,
        b"\x02\x00" + b"\x00\x00" * (MAX_MESSAGE // 2),
        b"\x89\x00" * 32_768,  # pings without end
    ],
)
def test_what_no_server_may_send_ends_the_connection(raw):
    with pytest.raises(FrameError):
        passed(raw, size=65_536)


def test_the_longest_message_passes():
    raw = frame(b"x" * (MAX_MESSAGE - 10))
    assert passed(raw, size=65_536) == raw
