"""WebSocket frames from a server: finds the messages in a stream of bytes.

Source: RFC 6455, section 5.2.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
