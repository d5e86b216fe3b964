"""What PortAudio calls, on a thread of its own, up to 200 times a second.

Everything here copies, mixes and hands over; it writes no log and waits for nobody who
takes long. It works on bytes where it can: woken 200 times a second with cold caches,
each NumPy call that is not made counts.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.ports import SILENCE, Block
from appliance.sound.dsp import BLOCK_FRAMES, RATE_HZ, Resampler
from appliance.sound.playout import Playout
from appliance.sound.reference import Reference

Put = Callable[[Block, Block], None]
"""Takes what was heard and the voices that were played in the same 10 ms."""

Fit = Callable[[NDArray[np.int16]], NDArray[np.int16]]
"""Makes 10 ms at one rate of 10 ms at another."""

Raw = memoryview
"""int16, one sample or more for each frame. In truth cffi's buffer, which does what a
memoryview does."""

SAMPLE_BYTES: Final = 2
URGENCY: Final = 5
"""Real-time priority, if the unit's `LimitRTPRIO` allows it: above everything that is
not sound, below the kernel's own threads (50)."""


class Beat:
    """What the callbacks leave for others to read: single numbers, no lock needed."""

    def __init__(self, rate_hz: int) -> None:
        """Start now.

        Args:
            rate_hz: the card's.
        """
        self.rate_hz = rate_hz
        self.at_s = time.monotonic()
        self.frames = 0
        """At 48 kHz, whatever the card's rate is."""
        self.xruns = 0
        self.delay_ms = 0

    def note(self, frames: int, status: object) -> int:
        """Note one callback, and return how many frames it is at 48 kHz."""
        if not self.frames:
            be_urgent()
        if self.rate_hz != RATE_HZ:
            frames = frames * RATE_HZ // self.rate_hz
        self.at_s = time.monotonic()
        self.frames += frames
        if status:
            self.xruns += 1
        return frames


class Gather:
    """Makes blocks of 10 ms out of the card's periods and hands them over."""

    def __init__(self, put: Put, rate_hz: int) -> None:
        self._put = put
        self._fit = _fit(rate_hz, RATE_HZ)
        self._block_bytes = rate_hz // 100 * SAMPLE_BYTES
        self._heard = bytearray()
        self._played: list[NDArray[np.int16] | None] = []
        self._is_silent = True

    def add(self, heard: Raw, played: NDArray[np.int16] | None) -> None:
        """Take what one callback heard, and as long at 48 kHz the voices it played."""
        self._heard += heard
        self._played.append(played)
        if played is not None:
            self._is_silent = False
        if len(self._heard) < self._block_bytes:
            return
        # They are handed on: the next block gets new ones.
        block, self._heard = np.frombuffer(self._heard, np.int16), bytearray()
        parts, self._played = self._played, []
        voices = SILENCE if self._is_silent else _joined(parts)
        self._is_silent = True
        self._put(block if self._fit is None else self._fit(block), voices)


class Speaker:
    """Plays what the room says."""

    def __init__(self, playout: Playout, reference: Reference, beat: Beat) -> None:
        self._playout = playout
        self._reference = reference
        self._beat = beat
        self._fit = _fit(RATE_HZ, beat.rate_hz)

    def call(self, outdata: Raw, frames: int, _times: object, status: object) -> None:
        """Fill one period.

        Thread: PortAudio. Must return well before the next one.
        """
        with _fatal:
            wanted = self._beat.note(frames, status)
            played = self._playout.next(wanted)
            self._reference.put(self._playout.reference, wanted)
            _fill(outdata, frames, played, self._fit)


class Microphone:
    """Hands on what the microphone heard."""

    def __init__(self, reference: Reference, put: Put, beat: Beat) -> None:
        self._reference = reference
        self._gather = Gather(put, beat.rate_hz)
        self._beat = beat

    def call(self, indata: Raw, frames: int, _times: object, status: object) -> None:
        """Take one period.

        Thread: PortAudio. Must return well before the next one.
        """
        with _fatal:
            heard = self._beat.note(frames, status)
            self._gather.add(indata, self._reference.take(heard))


class Duplex:
    """Does both with one clock: the echo's delay is constant."""

    def __init__(self, playout: Playout, put: Put, beat: Beat) -> None:
        self._playout = playout
        self._beat = beat
        self._gather = Gather(put, beat.rate_hz)
        self._fit = _fit(RATE_HZ, beat.rate_hz)

    def call(
        self, indata: Raw, outdata: Raw, frames: int, _times: object, status: object
    ) -> None:
        """Take one period and fill one.

        Thread: PortAudio. Must return well before the next one.
        """
        with _fatal:
            played = self._playout.next(self._beat.note(frames, status))
            _fill(outdata, frames, played, self._fit)
            self._gather.add(indata, self._playout.reference)


class _Fatal:
    """Tells the process's hook for dead threads what went wrong inside a callback.

    sounddevice would print it and end the stream, which looks like an unplugged card.
    """

    def __enter__(self) -> None:
        """Do nothing: this runs 200 times a second."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            here = threading.current_thread()
            threading.excepthook(threading.ExceptHookArgs((kind, error, trace, here)))


_fatal = _Fatal()


def be_urgent() -> None:
    """Ask for real-time priority for the calling thread; without the right, go on."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(URGENCY))


def _fit(from_hz: int, to_hz: int) -> Fit | None:
    """Return what makes one rate of the other; None: they are the same."""
    return None if from_hz == to_hz else Resampler(from_hz, to_hz).apply


def _fill(
    outdata: Raw, frames: int, played: NDArray[np.int16] | None, fit: Fit | None
) -> None:
    """Give the same to all of the speaker's channels."""
    if played is None:
        outdata[:] = bytes(len(outdata))
        return
    if fit is not None:
        played = fit(played)
    channels = len(outdata) // (frames * SAMPLE_BYTES)
    outdata[:] = np.repeat(played, channels).tobytes()


def _joined(parts: list[NDArray[np.int16] | None]) -> Block:
    """Return 10 ms made of equal parts; None is silence."""
    frames = BLOCK_FRAMES // len(parts)
    return np.concatenate([SILENCE[:frames] if p is None else p for p in parts])
