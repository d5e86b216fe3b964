"""Removal of the fields by which dTelecom's messages differ from LiveKit's.

Two fields that dTelecom added have numbers that LiveKit gave to others later:
`Room.key` (text) is LiveKit's `Room.num_publishers` (a number), and LiveKit's SDK
rejects the whole message for it; `ParticipantInfo` has a flag where LiveKit has the
participant's kind. Everything else is passed on as it is, malformed messages included.

Source: LiveKit's `livekit_rtc.proto` and `livekit_models.proto`; the wire format is
that of protobuf's documentation, "Encoding".
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from appliance.errors import ApplianceError

MAX_MESSAGE: Final = 1024 * 1024
"""Bytes, heads of frames included; our choice: enough for joining a room with 2,000
participants."""

MAX_FRAMES: Final = 2000
"""Frames in one portion of data; our choice: real messages are far fewer, and
64 KiB of empty frames would take the event loop 0.3 s on a Pi."""

_CONTINUATION: Final = 0
_BINARY: Final = 2
_FIRST_CONTROL: Final = 8
_FINAL: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_SHORT: Final = 125
"""Longest payload whose length is in the second byte itself."""
_SHORTEST_HEAD: Final = 2
_LENGTHS: Final = {126: struct.Struct(">H"), 127: struct.Struct(">Q")}

_VARINT: Final = 0
_FIXED_64: Final = 1
_LENGTH_DELIMITED: Final = 2
_FIXED_32: Final = 5
_SIZES: Final = {_FIXED_64: 8, _FIXED_32: 4}
_MORE: Final = 0x80
"""Bit of a varint that says that more bytes follow."""
_VARINT_BYTES: Final = 10
"""Longest varint, of a negative number."""
MAX_FIELDS: Final = 20_000
"""Fields of one message; our choice: enough for joining a room with 1,500 participants,
and read in 0.2 s on a Pi. A message with more is passed on as it is."""
_Kind = tuple[int, int]
"""Number and wire type of a field."""
_ROOM_KEY: Final = (11, _LENGTH_DELIMITED)
_PARTICIPANT_FLAG: Final = (14, _VARINT)
_JOIN: Final = (1, _LENGTH_DELIMITED)
_ROOM: Final = (1, _LENGTH_DELIMITED)


class FrameError(ApplianceError, ValueError):
    """Bytes that are no frames of a server, or a message that is too long."""


@dataclass(frozen=True, slots=True)
class _Head:
    """Head of a frame."""

    is_final: bool
    opcode: int
    size: int
    """Bytes of the head itself."""
    end: int
    """Place behind the payload, counted from the head's start."""


class FrameFilter:
    """Filter for the binary messages in a server's frames.

    A message that the filter leaves as it is keeps its own frames, byte for byte.
    """

    def __init__(self, filtered: Callable[[bytes], bytes]) -> None:
        """Start at the beginning of a frame.

        Args:
            filtered: takes a binary message and returns it or a replacement.
        """
        self._filtered = filtered
        self._received = bytearray()
        self._frames = bytearray()
        """Frames of the message that is not complete yet."""
        self._message = bytearray()
        self._opcode: int | None = None
        """Opcode of that message; None: none has begun."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the server, and return the bytes to pass on now.

        At most one message and what `data` contains is held back.

        Raises:
            FrameError: the connection has to be closed.
        """
        self._received += data
        return b"".join(self._passed())

    def _passed(self) -> Iterator[bytes]:
        frames = 0
        while (head := _head(self._received)) is not None:
            if len(self._frames) + head.end > MAX_MESSAGE:
                message = f"message of more than {MAX_MESSAGE} bytes"
                raise FrameError(message)
            if len(self._received) < head.end:
                return
            frames += 1
            if frames > MAX_FRAMES:
                message = f"more than {MAX_FRAMES} frames at once"
                raise FrameError(message)
            frame = bytes(self._received[: head.end])
            del self._received[: head.end]
            if head.opcode >= _FIRST_CONTROL:
                yield frame
            else:
                yield self._taken(head, frame)

    def _taken(self, head: _Head, frame: bytes) -> bytes:
        """Take a data frame, and return the whole message once it is complete."""
        if (head.opcode == _CONTINUATION) == (self._opcode is None):
            message = "message continued or begun at the wrong place"
            raise FrameError(message)
        if self._opcode is None:
            self._opcode = head.opcode
        self._frames += frame
        self._message += frame[head.size :]
        if not head.is_final:
            return b""
        frames, before = bytes(self._frames), bytes(self._message)
        is_binary = self._opcode == _BINARY
        self._frames.clear()
        self._message.clear()
        self._opcode = None
        if not is_binary:
            return frames
        after = self._filtered(before)
        return frames if after is before else _frame(after)


def _head(received: bytearray) -> _Head | None:
    """Return the head of the first frame, or None if it is not complete.

    Raises:
        FrameError: no server may send it; compression is never negotiated.
    """
    if len(received) < _SHORTEST_HEAD:
        return None
    first, second = received[0], received[1]
    if first & _RESERVED or second & _MASKED:
        message = "frame that a server may not send"
        raise FrameError(message)
    opcode, size, length = first & 0x0F, _SHORTEST_HEAD, second
    if second > _SHORT:
        form = _LENGTHS[second]
        size += form.size
        if len(received) < size:
            return None
        (length,) = form.unpack_from(received, _SHORTEST_HEAD)
    return _Head(bool(first & _FINAL), opcode, size, size + length)


def _frame(message: bytes) -> bytes:
    """Return a binary message in one frame."""
    first, length = _FINAL | _BINARY, len(message)
    if length <= _SHORT:
        return bytes((first, length)) + message
    marker = 126 if length < 1 << 16 else 127
    return bytes((first, marker)) + _LENGTHS[marker].pack(length) + message


class _MalformedError(ValueError):
    """Bytes that are no protobuf message, or one with too many fields."""


@dataclass(frozen=True, slots=True)
class _Field:
    """Place of one field in its message."""

    kind: _Kind
    start: int
    """Of its tag."""
    value: int
    """Of its value, behind the length if it has one."""
    end: int


@dataclass(frozen=True, slots=True)
class _Shape:
    """The fields of one kind of message that concern us."""

    dropped: _Kind | None = None
    nested: Mapping[int, "_Shape"] = field(default_factory=dict)


class SignalFilter:
    """Filter for the messages of one server, which it knows after the first join."""

    def __init__(self) -> None:
        """Start with an unknown server."""
        self._response = _RESPONSE

    def filtered(self, message: bytes) -> bytes:
        """Return a `SignalResponse` that LiveKit's SDK can parse; never a longer one.

        Args:
            message: from the server, untrusted. It is returned itself if it has
                nothing to remove or is malformed.
        """
        numbers = count()
        try:
            if _is_livekit(message, numbers):
                self._response = _RESPONSE_OF_LIVEKIT
            return _without(message, self._response, numbers)
        except _MalformedError:
            return message


def _shape(participant: _Shape) -> _Shape:
    """Return the shape of a `SignalResponse` with this one of `ParticipantInfo`."""
    room = _Shape(dropped=_ROOM_KEY)
    # With the room: this participant and the others.
    join = _Shape(nested={1: room, 2: participant, 3: participant})
    update, room_update = _Shape(nested={1: participant}), _Shape(nested={1: room})
    return _Shape(nested={1: join, 5: update, 11: room_update})


_RESPONSE: Final = _shape(_Shape(dropped=_PARTICIPANT_FLAG))
_RESPONSE_OF_LIVEKIT: Final = _shape(_Shape())


def _is_livekit(message: bytes, numbers: Iterator[int]) -> bool:
    """Return whether this is the join of a server with LiveKit's own `Room`.

    A participant's kind has to pass there, because that is how agents are known. The
    absence of the key tells: LiveKit's number is left out while it is 0.
    """
    kinds = {
        in_room.kind
        for join in _nested(message, _JOIN, numbers)
        for room in _nested(join, _ROOM, numbers)
        for in_room in _fields(room, numbers)
    }
    return bool(kinds) and _ROOM_KEY not in kinds


def _nested(message: bytes, kind: _Kind, numbers: Iterator[int]) -> Iterator[bytes]:
    """Yield every nested message of this kind."""
    for found in _fields(message, numbers):
        if found.kind == kind:
            yield message[found.value : found.end]


def _without(message: bytes, shape: _Shape, numbers: Iterator[int]) -> bytes:
    """Return the message without the dropped fields, itself if it has none.

    Raises:
        _MalformedError: it cannot be parsed.
    """
    parts = []
    copied_to = 0
    for found in _fields(message, numbers):
        number, wire_type = found.kind
        nested = shape.nested.get(number) if wire_type == _LENGTH_DELIMITED else None
        if found.kind == shape.dropped:
            replacement = b""
        elif nested is not None:
            before = message[found.value : found.end]
            after = _without(before, nested, numbers)
            if after is before:
                continue
            replacement = _varint(number << 3 | wire_type) + _varint(len(after)) + after
        else:
            continue
        parts += [message[copied_to : found.start], replacement]
        copied_to = found.end
    if not copied_to:
        return message
    return b"".join((*parts, message[copied_to:]))


def _fields(message: bytes, numbers: Iterator[int]) -> Iterator[_Field]:
    """Yield every field of the message.

    Raises:
        _MalformedError: a field is cut off or of an unknown wire type, or there are too
            many.
    """
    place = 0
    while place < len(message):
        if next(numbers) > MAX_FIELDS:
            raise _MalformedError
        start = place
        tag, place = _read_varint(message, place)
        wire_type = tag & 7
        if wire_type == _VARINT:
            value = place
            _, end = _read_varint(message, place)
        elif wire_type == _LENGTH_DELIMITED:
            length, value = _read_varint(message, place)
            end = value + length
        elif wire_type in _SIZES:
            value, end = place, place + _SIZES[wire_type]
        else:
            raise _MalformedError
        if end > len(message):
            raise _MalformedError
        yield _Field((tag >> 3, wire_type), start, value, end)
        place = end


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    """Return the number at this place, and the place behind it."""
    number = 0
    for nth, byte in enumerate(message[place : place + _VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * nth)
        if not byte & _MORE:
            return number, place + nth + 1
    raise _MalformedError


def _varint(number: int) -> bytes:
    """Return the shortest encoding."""
    encoded = bytearray()
    while number >= _MORE:
        encoded.append(number & 0x7F | _MORE)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
