"""What PortAudio calls, on a thread of its own, up to 200 times a second.

Everything here copies, mixes and hands over; it writes no log and waits for nobody who
takes long. It works on bytes where it can: woken 200 times a second with cold caches,
each NumPy call that is not made counts.
"""

import threading
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from appliance.audio.capture import BlockSink, Capture, Fit, IdleSkip, fit_of
from appliance.audio.driver import SAMPLE_BYTES, Raw
from appliance.audio.dsp import RATE_HZ
from appliance.audio.echo_reference import EchoReference
from appliance.audio.idle import IdleWindow
from appliance.audio.mixer import Mixer
from appliance.audio.stream_clock import StreamClock


class PlaybackCallback:
    """Plays what the room says."""

    def __init__(
        self, playout: Mixer, reference: EchoReference, beat: StreamClock
    ) -> None:
        """Start with silence."""
        self.lull = IdleWindow()
        self._playout = playout
        self._reference = reference
        self._beat = beat
        self._fit = fit_of(RATE_HZ, beat.rate_hz)

    def call(self, _heard: Raw, played: Raw, frames: int, status: int) -> None:
        """Fill one period."""
        with _fatal:
            wanted = self._beat.note(frames, status)
            sound = self._playout.next(wanted)
            self._reference.put(self._playout.reference, wanted)
            _fill(played, frames, sound, self._fit)


class CaptureCallback:
    """Hands on what the microphone heard."""

    def __init__(
        self,
        playout: Mixer,
        reference: EchoReference,
        ear: BlockSink,
        beat: StreamClock,
    ) -> None:
        """Start with nothing heard."""
        self.lull = playout.lull
        self._reference = reference
        self._gather = Capture(ear, beat)
        self._beat = beat
        self._doze = IdleSkip(playout, self._gather, beat, reference.skip)

    def call(self, heard: Raw, _played: Raw, frames: int, status: int) -> None:
        """Take one period."""
        with _fatal:
            if self._doze.passes_over(frames, status):
                return
            wanted = self._beat.note(frames, status)
            if made_up := self._gather.make_up(heard, frames, status):
                self._reference.skip(made_up * wanted)
            self._gather.add(heard, self._reference.take(wanted))
            self._doze.begin(frames)


class DuplexCallback:
    """Does both with one clock: the echo's delay is constant."""

    def __init__(self, playout: Mixer, ear: BlockSink, beat: StreamClock) -> None:
        """Start with silence."""
        self.lull = playout.lull
        self._playout = playout
        self._beat = beat
        self._gather = Capture(ear, beat)
        self._fit = fit_of(RATE_HZ, beat.rate_hz)
        self._doze = IdleSkip(playout, self._gather, beat)

    def call(self, heard: Raw, played: Raw, frames: int, status: int) -> None:
        """Take one period and fill one."""
        with _fatal:
            if self._doze.passes_over(frames, status):
                played[:] = bytes(len(played))
                return
            sound = self._playout.next(self._beat.note(frames, status))
            _fill(played, frames, sound, self._fit)
            self._gather.make_up(heard, frames, status)
            self._gather.add(heard, self._playout.reference)
            self._doze.begin(frames)


class _Fatal:
    """Tells the process's hook for dead threads what went wrong inside a callback.

    cffi would print it and end the stream, which looks like an unplugged card.
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
    outdata[:] = played.repeat(channels).tobytes()
