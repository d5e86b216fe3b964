"""Program of a sound process: PortAudio, and the callback of one stream.

A native call that never returns, a crash or a flood of messages in PortAudio or
alsa-lib ends only this process; `portaudio` starts another one. The process searches
for cards, then opens a stream when it is told to, and again with another latency. The
callback sends each captured period to the appliance and waits some milliseconds for
the one to play; mixing and all decisions stay there.

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

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Importing `typing` would cost half as much memory as all the rest.
    from typing import Any, TypeAlias

    Native: TypeAlias = Any
    """Object of cffi, or a parameter of one; they have no type annotations."""

URGENCY = 5
"""Real-time priority, if the unit's `LimitRTPRIO` allows it: above every ordinary
process, below the kernel's own threads (50)."""
HEARD = struct.Struct("=QIId")
"""Header of a captured period: number, periods skipped before it, PortAudio's flags,
and time of the first frame at the converter."""
PLAYED = struct.Struct("=QI")
"""Header of a period to play: number, and how many of the next are skipped."""
MARGIN_S = 0.003
"""Time before the end of the card's buffer at which the callback stops waiting."""
LATE = 4
"""PortAudio's flag for an output underflow, set also when no period came in time."""
CONTINUE, ABORT = 0, 2
"""`paContinue` and `paAbort` of portaudio.h."""
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
Endpoint = tuple[str, int]
"""Name and channels of a device; without channels it is not opened."""
Request = tuple[Endpoint, Endpoint, tuple[int, ...], int, float]
"""Microphone, speaker, rates in Hz of which the first that is supported is used, lowest
one of both directions together if one of them alone has a better one, and latency in
seconds."""


def raise_priority() -> None:
    """Request real-time priority for the calling thread; ignore a refusal."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(URGENCY))
    except PermissionError:
        return


class NativeError(Exception):
    """PortAudio refuses a call; the arguments are its reason and that of ALSA."""


class Exchange:
    """Callback of a stream, which exchanges periods with the appliance.

    Thread: PortAudio's.
    """

    def __init__(
        self,
        ffi: Native,
        socket: int,
        flag: memoryview,
        latency_s: float,
        sizes: tuple[int, int],
    ) -> None:
        """Start before the first period.

        The card can wait `latency_s` for each; `sizes` are the bytes of a captured and
        a played one, 0 without this direction.
        """
        self._buffer, self._fill = ffi.buffer, ffi.memmove
        self._heard_bytes, self._played_bytes = sizes
        self._silence = bytes(self._played_bytes)
        self._socket = socket
        self._flag = flag
        self._wait_ms = round((latency_s - MARGIN_S) * 1000)
        waiting = poll()
        waiting.register(socket, POLLIN)
        self._is_there = waiting.poll
        self._answer = bytearray(PLAYED.size)
        self._period = self._late = 0
        # Periods that may still be skipped, and those that were.
        self._left = self._skipped = 0

    def call(
        self, heard: Native, played: Native, _: int, times: Native, flags: int, *__: int
    ) -> int:
        """Run one period: PortAudio's parameters and result."""
        # Runs 100 times a second: no calls or objects that are not needed.
        is_filled = False
        if self._left and not flags and not self._flag[0]:
            self._left -= 1
            self._skipped += 1
        else:
            adc_s = times.inputBufferAdcTime if self._heard_bytes else 0.0
            is_filled = self._pass(heard, played, flags, adc_s)
        if self._played_bytes and not is_filled:
            self._fill(played, self._silence, self._played_bytes)
        return CONTINUE

    def _pass(self, heard: Native, played: Native, flags: int, adc_s: float) -> bool:
        """Send what was heard; return whether what to play came in time."""
        if not self._period:
            raise_priority()
        self._period += 1
        header = HEARD.pack(self._period, self._skipped, flags | self._late, adc_s)
        message, answer = [header], [self._answer]
        if self._heard_bytes:
            message.append(self._buffer(heard, self._heard_bytes))
        if self._played_bytes:
            answer.append(self._buffer(played, self._played_bytes))
        # What was heard waits in the socket: only a period to play can be missed.
        self._left, self._late = 0, LATE if self._played_bytes else 0
        try:
            os.writev(self._socket, message)
            self._skipped = 0
            while self._is_there(self._wait_ms) and os.readv(self._socket, answer):
                period, left = PLAYED.unpack(self._answer)
                if period == self._period:
                    self._left, self._late = left, 0
                    return True
        except OSError:
            # The appliance has not read the last periods, or has just ended.
            pass
        return False


class Library:
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
        frame_bytes = rate_hz // 100 * self._ffi.sizeof("short")
        sizes = frame_bytes * microphone[1], frame_bytes * speaker[1]
        exchange = Exchange(self._ffi, socket, flag, latency_s, sizes)
        call = self._ffi.callback("PaStreamCallback", exchange.call, error=ABORT)
        # It must live as long as the stream.
        self._callback = call
        stream = self._ffi.new("PaStream**")
        period = rate_hz, rate_hz // 100, self._lib.paNoFlag
        self._call("Pa_OpenStream", stream, *parts, *period, call, self._ffi.NULL)
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
        library = Library()
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
