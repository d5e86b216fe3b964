"""Program of the sound process: PortAudio and the callbacks of its streams.

A native call that never returns, a crash or a flood of messages in PortAudio or
alsa-lib ends only this process; `portaudio` starts another one. The callback sends each
captured period to the appliance and waits some milliseconds for the answer, which is
the period to be played, so mixing and all decisions stay there. Within an idle window
it only counts.

It imports as little as possible, to need only 4 MB. Descriptor 0 is a socket for calls
and answers, encoded with `marshal`; the process ends when it is closed.
"""

from __future__ import annotations

import marshal
import os
import resource
import struct
import sys
import time
from _thread import start_new_thread
from collections.abc import Callable
from mmap import mmap
from select import POLLIN, poll

from appliance.audio.realtime import raise_priority

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Importing `typing` would cost half as much memory as all the rest, and `signal`
    # imports `enum`.
    import signal as signals
    from typing import Any, TypeAlias

    Native: TypeAlias = Any
    """Object of cffi, or a parameter of one; they have no type annotations."""
else:
    import _signal as signals

HEARD = struct.Struct("=IIIId")
"""Header of a captured period: stream, number, periods skipped before it, PortAudio's
flags, and time of the first frame at the converter."""
PLAYED = struct.Struct("=III")
"""Header of a period to play: stream, number, and how many of the next are skipped."""
LAST_PERIOD = 0xFFFF_FFFF
"""Number after which they begin again; of 32 bits, reached after 497 days."""
MARGIN_S = 0.003
"""Time before the end of the card's buffer at which the callback stops waiting."""
LATE = 4
"""PortAudio's flag for an output underflow, set also when no period came in time."""
NOTHING = -1
Facts = tuple[int, float]
Parameters = tuple[int, int, int, int, int, float]
"""Device and channels of the microphone, the same of the speaker, rate in Hz, latency
in seconds. A direction without channels is not opened."""

MAX_BYTES = 65_536
"""Longest message."""
STREAMS = 2
CALL_PLACE = 16
CALL_BYTES = 48
"""Place in the shared memory of the name of the native call that is being made. Before
it is one byte per stream, which ends the idle window."""
SHARED_BYTES = 4096
END_S = 0.2
"""Time in which a stream ends by itself, unless its card is unplugged."""
LOOK_S = 0.005
SPIN_US = 200_000
"""Processor time of a real-time thread without sleeping; a period takes 0.1 ms."""
WATCH_S = 0.03
SPIN_S = WATCH_S / 3
"""A thread that uses so much of this time is spinning."""
THREAD_CLOCK = 6
"""Kind of a thread's clock of processor time (Linux, `make_thread_cpuclock`)."""
LIBRARY = "libportaudio.so.2"
_HOST_ERROR = -9999
"""`paUnanticipatedHostError`, of which ALSA knows the reason."""


def callback(
    library: Native, flag: memoryview, exchange: Exchange, wanted: Parameters
) -> Native:
    """Return the native callback of a stream as a pointer.

    `library` is cffi's object and PortAudio's functions; `flag` ends an idle window.
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
        """Start before the first period; the card can wait `latency_s` for each."""
        self._socket = socket
        self._number = number
        self._wait_ms = round((latency_s - MARGIN_S) * 1000)
        waiting = poll()
        waiting.register(socket, POLLIN)
        self._is_there = waiting.poll
        self._answer = bytearray(PLAYED.size)
        self._period = self._late = 0
        self._is_raised = False
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
            skipped: number of periods that were skipped before.
            facts: PortAudio's flags, and time of the first frame at the converter.

        Returns:
            How many of the next periods may be skipped, or `NOTHING` if nothing came in
            time; and how many skipped ones are still to be reported.
        """
        flags, adc_s = facts
        if not self._is_raised:
            self._is_raised = True
            raise_priority()
        self._period = (self._period + 1) & LAST_PERIOD
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
        # What was heard waits in the socket: only a period to play can be missed.
        self._late = LATE if played else 0
        return NOTHING, skipped


class NativeError(Exception):
    """A call failed."""

    def __init__(self, reason: str, host_text: str = "") -> None:
        """Store PortAudio's reason, and ALSA's if there is one."""
        super().__init__(reason)
        self.reason = reason
        self.host_text = host_text


class Process:
    """PortAudio and its open streams."""

    def __init__(self, shared: mmap, sockets: tuple[int, ...]) -> None:
        """Start without the library; `load` comes first, then commands open streams.

        `shared` is memory shared with the appliance; each stream has a socket.
        """
        self._shared = shared
        self._sockets = sockets
        self._ffi: Native = None
        self._lib: Native = None
        self._streams: dict[int, tuple[Native, Native, Exchange]] = {}
        self._is_initialised = False

    def load(self) -> tuple[str, str]:
        """Load the library; return empty texts, or what is missing and the error."""
        try:
            from _sounddevice import ffi

            self._ffi, self._lib = ffi, self._lib or ffi.dlopen(LIBRARY)
        except ImportError as exc:
            return "package", str(exc)
        except OSError as exc:
            return "library", str(exc)
        return "", ""

    def initialise(self) -> None:
        """Search for cards; every stream must be closed."""
        if self._is_initialised:
            self._call("Pa_Terminate")
        self._is_initialised = False
        self._call("Pa_Initialize")
        self._is_initialised = True

    def devices(self) -> list[tuple[bytes, int, int, float]]:
        """Return name, input channels, output channels and rate of each device."""
        found = []
        for index in range(self._call("Pa_GetDeviceCount")):
            info = self._lib.Pa_GetDeviceInfo(index)
            name: bytes = self._ffi.string(info.name)
            channels = info.maxInputChannels, info.maxOutputChannels
            found.append((name, *channels, info.defaultSampleRate))
        return found

    def can(self, *wanted: Native) -> bool:
        """Return whether such a stream is supported."""
        try:
            self._call("Pa_IsFormatSupported", *self._parameters(wanted), wanted[4])
        except NativeError:
            return False
        return True

    def open(self, slot: int, number: int, *wanted: Native) -> float:
        """Open a stream and return its latency in seconds."""
        stream = self._ffi.new("PaStream**")
        exchange = Exchange(self._sockets[slot], number, wanted[5])
        flag = memoryview(self._shared)[slot : slot + 1]
        run = callback((self._ffi, self._lib), flag, exchange, wanted)
        heard, played = self._parameters(wanted)
        rate_hz = wanted[4]
        period = rate_hz, rate_hz // 100, self._lib.paNoFlag
        self._call("Pa_OpenStream", stream, heard, played, *period, run, self._ffi.NULL)
        self._streams[slot] = stream[0], run, exchange
        info = self._lib.Pa_GetStreamInfo(stream[0])
        return float(info.inputLatency + info.outputLatency) if info else 0.0

    def start(self, slot: int) -> None:
        """Start the callbacks."""
        self._call("Pa_StartStream", self._streams[slot][0])

    def close(self, slot: int) -> None:
        """Stop at once, and release the card."""
        stream, _, exchange = self._streams[slot]
        exchange.is_over = True
        ends_s = time.monotonic() + END_S
        while self._lib.Pa_IsStreamActive(stream) > 0 and time.monotonic() < ends_s:
            time.sleep(LOOK_S)
        self._named("Pa_AbortStream")(stream)
        self._named("Pa_CloseStream")(stream)
        del self._streams[slot]
        self._set_name("")

    def _set_name(self, name: str) -> None:
        place = slice(CALL_PLACE, CALL_PLACE + CALL_BYTES)
        self._shared[place] = name.encode().ljust(CALL_BYTES, b"\0")

    def _named(self, name: str) -> Callable[..., Native]:
        """Return the native function, whose name is known if it never returns."""
        self._set_name(name)
        function: Callable[..., Native] = getattr(self._lib, name)
        return function

    def _call(self, name: str, *arguments: Native) -> int:
        os.lseek(2, 0, os.SEEK_SET)
        found: int = self._named(name)(*arguments)
        self._set_name("")
        if found >= 0:
            return found
        reason = self._ffi.string(self._lib.Pa_GetErrorText(found)).decode()
        host_text = ""
        if found == _HOST_ERROR:
            info = self._lib.Pa_GetLastHostErrorInfo()
            host_text = self._ffi.string(info.errorText).decode(errors="replace")
        raise NativeError(reason, host_text)

    def _parameters(self, wanted: Parameters) -> tuple[Native, Native]:
        """Return PortAudio's parameters of both directions; NULL for an unused one."""
        microphone, heard, speaker, played, _, latency_s = wanted

        def one(device: int, channels: int) -> Native:
            if not channels:
                return self._ffi.NULL
            facts = device, channels, self._lib.paInt16, latency_s, self._ffi.NULL
            return self._ffi.new("PaStreamParameters*", facts)

        return one(microphone, heard), one(speaker, played)


def _end_with_parent() -> None:
    """End when the appliance ends, also while a native call does not return."""
    ended = poll()
    ended.register(0, 0)
    ended.poll()
    os._exit(0)


def _limit_real_time() -> None:
    """Take the real-time priority from threads that use it without ever sleeping.

    PortAudio's thread spins for seconds after an unplug. On one processor neither the
    appliance nor LiveKit's threads, whose buffers grow meanwhile, would run.
    """
    _set_limit()
    # The kernel's signal is for the thread below, which all others therefore block.
    signals.pthread_sigmask(signals.SIG_BLOCK, {signals.SIGXCPU})
    start_new_thread(_lower_priority_when_told, ())


def _set_limit() -> None:
    """Set the limit; with each signal the kernel raises it by a second."""
    _, most_us = resource.getrlimit(resource.RLIMIT_RTTIME)
    resource.setrlimit(resource.RLIMIT_RTTIME, (SPIN_US, most_us))


def _lower_priority_when_told() -> None:
    while True:
        raise_priority()
        signals.sigwait({signals.SIGXCPU})
        before = _used_s()
        time.sleep(WATCH_S)
        now = _used_s().items()
        for thread in (x for x, used in now if used - before.get(x, used) > SPIN_S):
            try:
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
                os.setpriority(os.PRIO_PROCESS, thread, 19)
            except ProcessLookupError:
                continue
        _set_limit()


def _used_s() -> dict[int, float]:
    """Return the processor time that each thread has used, in seconds."""
    used = {}
    for thread in (int(task.name) for task in os.scandir("/proc/self/task")):
        try:
            used[thread] = time.clock_gettime(~thread << 3 | THREAD_CLOCK)
        except OSError:
            continue
    return used


def main() -> None:
    """Answer calls until the appliance closes the socket."""
    _limit_real_time()
    shared_fd, *sockets = map(int, sys.argv[2:])
    shared = mmap(shared_fd, SHARED_BYTES)
    start_new_thread(_end_with_parent, ())
    process = Process(shared, tuple(sockets))
    while message := os.read(0, MAX_BYTES):
        name, *arguments = marshal.loads(message)
        answer: tuple[Native, ...]
        try:
            answer = True, getattr(process, name)(*arguments)
        except NativeError as exc:
            size = os.lseek(2, 0, os.SEEK_CUR)
            answer = False, exc.reason, exc.host_text, os.pread(2, size, 0)
        os.write(0, marshal.dumps(answer))
    os._exit(0)
