"""Program of a sound process: PortAudio, and the callback of one stream.

A native call that never returns, a crash or a flood of messages in PortAudio or
alsa-lib ends only this process; `portaudio` starts another one. It searches for cards,
then opens a stream when it is told to, and again with another latency. The callback
sends each captured period to the appliance and waits some milliseconds for the answer,
which is the period to be played, so mixing and all decisions stay there. Within an idle
window it only counts.

It imports as little as possible, to need only 4 MB. Descriptor 0 is a socket for the
request and the answers, encoded with `marshal`; the process ends when it is closed.
Descriptors 1 and 2 are memory shared with the appliance, and the argument is a socket
for the periods.
"""

from __future__ import annotations

import marshal
import os
import resource
import struct
import sys
from _thread import start_new_thread
from mmap import mmap
from select import POLLIN, poll

from appliance.audio.realtime import raise_priority

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Importing `typing` would cost half as much memory as all the rest.
    from typing import Any, TypeAlias

    Native: TypeAlias = Any
    """Object of cffi, or a parameter of one; they have no type annotations."""

HEARD = struct.Struct("=QIId")
"""Header of a captured period: number, periods skipped before it, PortAudio's flags,
and time of the first frame at the converter."""
PLAYED = struct.Struct("=QI")
"""Header of a period to play: number, and how many of the next are skipped."""
MARGIN_S = 0.003
"""Time before the end of the card's buffer at which the callback stops waiting."""
LATE = 4
"""PortAudio's flag for an output underflow, set also when no period came in time."""
NOTHING = -1
MAX_BYTES = 65_536
"""Longest message."""
OUTPUT_START = 4096
"""Place in the shared memory of what native libraries write; a whole page. The first
byte before it ends an idle window."""
SPIN_US = 200_000
"""Longest processor time of a real-time thread without sleeping; a period takes 0.1 ms.
"""
LIBRARY = "libportaudio.so.2"
DONE, REFUSED, NO_PACKAGE, NO_LIBRARY = range(4)
"""Kinds of answers: with a value; with PortAudio's reason, ALSA's, and what both wrote;
with the error if sounddevice or PortAudio cannot be loaded."""
UNAVAILABLE = "Device unavailable"
"""PortAudio's words for a card that a program uses: it does not list it either."""
_HOST_ERROR = -9999
"""`paUnanticipatedHostError`, of which ALSA knows the reason."""
Part = tuple[str, int]
"""Name and channels of a device; without channels it is not opened."""
Request = tuple[Part, Part, tuple[int, ...], int, float]
"""Microphone, speaker, rates in Hz of which the first that is supported is used, lowest
one of both directions together if one of them alone has a better one, and latency in
seconds."""


class NativeError(Exception):
    """PortAudio refuses a call; the arguments are its reason and that of ALSA."""


class Exchange:
    """Exchange of the periods with the appliance. Thread: PortAudio's."""

    def __init__(self, socket: int, latency_s: float) -> None:
        """Start before the first period; the card can wait `latency_s` for each."""
        self._socket = socket
        self._wait_ms = round((latency_s - MARGIN_S) * 1000)
        waiting = poll()
        waiting.register(socket, POLLIN)
        self._is_there = waiting.poll
        self._answer = bytearray(PLAYED.size)
        self._period = self._late = 0

    def run(
        self,
        heard: list[Native],
        played: list[Native],
        skipped: int,
        facts: tuple[int, float],
    ) -> tuple[int, int]:
        """Send what was heard, and receive what to play.

        Args:
            heard: buffer of the captured period, if there is one.
            played: buffer to fill, if there is one.
            skipped: number of periods that were skipped before.
            facts: PortAudio's flags, and time of the first frame at the converter.

        Returns:
            How many of the next periods may be skipped, or `NOTHING` if nothing came in
            time; and how many skipped ones are still to be reported.
        """
        flags, adc_s = facts
        if not self._period:
            raise_priority()
        self._period += 1
        header = HEARD.pack(self._period, skipped, flags | self._late, adc_s)
        self._late = 0
        try:
            os.writev(self._socket, [header, *heard])
            skipped = 0
            while self._is_there(self._wait_ms):
                if not os.readv(self._socket, [self._answer, *played]):
                    break
                period, left = PLAYED.unpack(self._answer)
                if period == self._period:
                    return left, 0
        except OSError:
            # The appliance has not read the last periods, or has just ended.
            pass
        # What was heard waits in the socket: only a period to play can be missed.
        self._late = LATE if played else 0
        return NOTHING, skipped


class PortAudio:
    """PortAudio, and one stream."""

    def __init__(self) -> None:
        """Load the library."""
        from _sounddevice import ffi

        self._ffi: Native = ffi
        self._lib: Native = ffi.dlopen(LIBRARY)
        self._stream: Native = None
        self.devices: list[tuple[str, int, int, float]] = []
        """Name, input channels, output channels and rate of each device."""

    def search(self) -> None:
        """Search for cards."""
        self._call("Pa_Initialize")
        for index in range(self._call("Pa_GetDeviceCount")):
            info = self._lib.Pa_GetDeviceInfo(index)
            name = self._ffi.string(info.name).decode(errors="replace")
            channels = info.maxInputChannels, info.maxOutputChannels
            self.devices.append((name, *channels, info.defaultSampleRate))

    def open(
        self, request: Request, socket: int, flag: memoryview
    ) -> tuple[int, float]:
        """Open and start the stream, in place of the last; `flag` ends an idle window.

        Returns:
            Its rate, or 0 if none is supported, and its latency in seconds.
        """
        if self._stream is not None:
            # Aborting cancels the thread, which blocks Python if it holds its lock.
            self._call("Pa_StopStream", self._stream[0])
            self._call("Pa_CloseStream", self._stream[0])
        microphone, speaker, rates_hz, least_hz, latency_s = request
        parts = (
            self._parameters(1, *microphone, latency_s),
            self._parameters(2, *speaker, latency_s),
        )
        rate_hz = self._first(rates_hz, parts)
        if microphone[1] and speaker[1] and rate_hz < least_hz:
            alone = (parts[0], self._ffi.NULL), (self._ffi.NULL, parts[1])
            if {self._first(rates_hz, each) for each in alone} != {rate_hz}:
                rate_hz = 0
        if not rate_hz:
            return 0, 0.0
        exchange, stream = Exchange(socket, latency_s), self._ffi.new("PaStream**")
        frame_bytes = rate_hz // 100 * self._ffi.sizeof("short")
        sizes = frame_bytes * microphone[1], frame_bytes * speaker[1]
        self._callback = self._made(exchange, flag, *sizes)
        period = rate_hz, rate_hz // 100, self._lib.paNoFlag
        run = self._callback, self._ffi.NULL
        self._call("Pa_OpenStream", stream, *parts, *period, *run)
        info = self._lib.Pa_GetStreamInfo(stream[0])
        self._call("Pa_StartStream", stream[0])
        self._stream = stream
        return rate_hz, info.inputLatency + info.outputLatency if info else 0.0

    def _first(self, rates_hz: tuple[int, ...], parts: tuple[Native, Native]) -> int:
        """Return the first rate that is supported; 0: none is."""
        for rate_hz in rates_hz:
            try:
                self._call("Pa_IsFormatSupported", *parts, rate_hz)
            except NativeError:
                continue
            return rate_hz
        return 0

    def _made(
        self, exchange: Exchange, flag: memoryview, heard_bytes: int, played_bytes: int
    ) -> Native:
        """Return the native callback as a pointer."""
        lib = self._lib
        silence, go_on, end = bytes(played_bytes), int(lib.paContinue), int(lib.paAbort)
        buffer, fill = self._ffi.buffer, self._ffi.memmove
        # Periods that may still be skipped, and those that were.
        left = skipped = 0

        def run(
            heard: Native,
            played: Native,
            _: int,
            times: Native,
            flags: int,
            *__: Native,
        ) -> int:
            # Runs 100 times a second: no calls or objects that are not needed.
            nonlocal left, skipped
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

        return self._ffi.callback("PaStreamCallback", run, error=end)

    def _parameters(
        self, direction: int, name: str, channels: int, latency_s: float
    ) -> Native:
        """Return PortAudio's parameters; NULL without channels.

        `direction` is the place of the number of channels in `devices`.
        """
        if not channels:
            return self._ffi.NULL
        for index, facts in enumerate(self.devices):
            if facts[0] == name and facts[direction]:
                wanted = index, channels, self._lib.paInt16, latency_s, self._ffi.NULL
                return self._ffi.new("PaStreamParameters*", wanted)
        raise NativeError(UNAVAILABLE, "")

    def _call(self, name: str, *arguments: Native) -> int:
        found: int = getattr(self._lib, name)(*arguments)
        if found >= 0:
            return found
        reason = self._ffi.string(self._lib.Pa_GetErrorText(found)).decode()
        host_text = ""
        if found == _HOST_ERROR:
            info = self._lib.Pa_GetLastHostErrorInfo()
            host_text = self._ffi.string(info.errorText).decode(errors="replace")
        raise NativeError(reason, host_text)


def _end_with_parent() -> None:
    """End when the appliance ends, also while a native call does not return."""
    ended = poll()
    ended.register(0, 0)
    ended.poll()
    os._exit(0)


def _limit_real_time() -> None:
    """Let the kernel end the process when a real-time thread runs without sleeping.

    PortAudio's thread spins after an unplug. On one processor neither the appliance nor
    LiveKit's threads, whose buffers grow meanwhile, would run.
    """
    _, most_us = resource.getrlimit(resource.RLIMIT_RTTIME)
    resource.setrlimit(resource.RLIMIT_RTTIME, (SPIN_US, most_us))


def _send(*answer: Native) -> None:
    os.write(0, marshal.dumps(answer))


def main() -> None:
    """Search for cards, open streams, and end when the appliance closes the socket."""
    _limit_real_time()
    start_new_thread(_end_with_parent, ())
    try:
        library = PortAudio()
        _send(DONE, None)
        library.search()
        _send(DONE, library.devices)
        flag = memoryview(mmap(2, OUTPUT_START))[:1]
        while message := os.read(0, MAX_BYTES):
            request = marshal.loads(message)
            _send(DONE, library.open(request, int(sys.argv[2]), flag))
    except NativeError as exc:
        size = os.lseek(2, 0, os.SEEK_CUR) - OUTPUT_START
        _send(REFUSED, *exc.args, os.pread(2, size, OUTPUT_START))
    except ImportError as exc:
        _send(NO_PACKAGE, str(exc))
    except OSError as exc:
        _send(NO_LIBRARY, str(exc))
    os.read(0, 1)
    os._exit(0)
