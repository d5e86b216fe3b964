"""Callback of a PortAudio stream, in the sound process.

It sends each captured period to the appliance and waits some milliseconds for the one
to play. If that comes later it plays silence, as after an underflow, and the appliance
still gets every captured period. Within an idle window it only counts.
"""

from __future__ import annotations

import os
import struct
from select import POLLIN, poll

from appliance.audio.realtime import raise_priority

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Importing `typing` would cost half as much memory as all the rest.
    from typing import Any, TypeAlias

    Native: TypeAlias = Any
    """Object of cffi, or a parameter of one; they have no type annotations."""

HEARD = struct.Struct("=IIIId")
"""Header of a captured period: stream, number, periods skipped before it, PortAudio's
flags, and time of the first frame at the converter."""
PLAYED = struct.Struct("=III")
"""Header of a period to play: stream, number, and how many of the next are skipped."""
MARGIN_S = 0.003
"""Time before the end of the card's buffer at which the callback stops waiting."""
LATE = 4
"""PortAudio's flag for an output underflow, set also when no period came in time."""
NOTHING = -1
Facts = tuple[int, float]
Parameters = tuple[int, int, int, int, int, float]
"""Device and channels of the microphone, the same of the speaker, rate in Hz, latency
in seconds. A direction without channels is not opened."""


def callback(
    library: Native, flag: memoryview, exchange: Exchange, wanted: Parameters
) -> Native:
    """Return the native callback of a stream as a pointer.

    Args:
        library: cffi's object and PortAudio's functions.
        flag: byte that ends an idle window.
        exchange: of the stream's periods.
        wanted: parameters of the stream.
    """
    ffi, lib = library
    _, heard_channels, _, played_channels, rate_hz, _ = wanted
    frame_bytes = rate_hz // 100 * ffi.sizeof("short")
    heard_bytes = frame_bytes * heard_channels
    played_bytes = frame_bytes * played_channels
    silence, go_on, end = bytes(played_bytes), int(lib.paContinue), int(lib.paAbort)
    buffer, fill = ffi.buffer, ffi.memmove
    # Periods that may still be skipped, and those that were.
    left = skipped = 0

    def run(
        heard: Native, played: Native, _: int, times: Native, flags: int, *__: Native
    ) -> int:
        # Runs 100 times a second: no calls or objects that are not needed.
        nonlocal left, skipped
        if exchange.is_over:
            return end
        if left and not flags and not flag[0]:
            left -= 1
            skipped += 1
            if played_bytes:
                fill(played, silence, played_bytes)
            return go_on
        message = [buffer(heard, heard_bytes)] if heard_bytes else []
        room = [buffer(played, played_bytes)] if played_bytes else []
        adc_s = times.inputBufferAdcTime if heard_bytes else 0.0
        left, skipped = exchange.run(message, room, skipped, (flags, adc_s))
        if left == NOTHING:
            left = 0
            if played_bytes:
                fill(played, silence, played_bytes)
        return go_on

    return ffi.callback("PaStreamCallback", run, error=end)


class Exchange:
    """Exchange of the periods of one stream with the appliance.

    Thread: PortAudio's.
    """

    def __init__(self, socket: int, number: int, latency_s: float) -> None:
        """Prepare.

        Args:
            socket: for the periods.
            number: of the stream.
            latency_s: how long the card can wait for a period.
        """
        self._socket = socket
        self._number = number
        self._wait_ms = round((latency_s - MARGIN_S) * 1000)
        waiting = poll()
        waiting.register(socket, POLLIN)
        self._is_there = waiting.poll
        self._answer = bytearray(PLAYED.size)
        self._period = self._late = 0
        self.is_over = False
        """Whether the stream is to end with the next period. PortAudio would cancel the
        thread otherwise, which blocks Python if the thread waits for Python's lock."""

    def run(
        self, heard: list[Native], played: list[Native], skipped: int, facts: Facts
    ) -> tuple[int, int]:
        """Send what was heard, and receive what to play.

        Args:
            heard: buffer of the captured period, if there is one.
            played: buffer to fill, if there is one.
            skipped: periods that were skipped before.
            facts: PortAudio's flags, and time of the first frame at the converter.

        Returns:
            How many of the next periods may be skipped, or `NOTHING` if nothing came in
            time; and how many skipped ones are still to be reported.
        """
        flags, adc_s = facts
        if not self._period:
            raise_priority()
        self._period += 1
        name = self._number, self._period
        header = HEARD.pack(*name, skipped, flags | self._late, adc_s)
        self._late = 0
        try:
            os.writev(self._socket, [header, *heard])
            skipped = 0
            while self._is_there(self._wait_ms):
                if not os.readv(self._socket, [self._answer, *played]):
                    break
                *answered, left = PLAYED.unpack(self._answer)
                if tuple(answered) == name:
                    return left, 0
        except OSError:
            # The appliance has not read the last periods, or has just ended.
            pass
        self._late = LATE
        return NOTHING, skipped
