"""What PortAudio calls, on a thread of its own, up to 200 times a second.

Everything here copies, mixes and hands over; it writes no log and waits for nobody who
takes long. It works on bytes where it can: woken 200 times a second with cold caches,
each NumPy call that is not made counts.
"""

import threading
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from appliance.audio.capture import BlockSink, Capture, Fit, fit_of
from appliance.audio.driver import SAMPLE_BYTES, Raw
from appliance.audio.dsp import RATE_HZ
from appliance.audio.echo_reference import EchoReference
from appliance.audio.idle import IdleWindow
from appliance.audio.idle_skip import IdleSkip
from appliance.audio.mixer import Mixer
from appliance.audio.stream_clock import StreamClock


class PlaybackCallback:
    """Plays what the room says."""

    def __init__(
        self, mixer: Mixer, reference: EchoReference, stream_clock: StreamClock
    ) -> None:
        """Start with silence."""
        self.idle_window = IdleWindow()
        self._mixer = mixer
        self._reference = reference
        self._stream_clock = stream_clock
        self._fit = fit_of(RATE_HZ, stream_clock.rate_hz)

    def call(self, _heard: Raw, played: Raw, frames: int, status: int) -> None:
        """Fill one period."""
        with _fatal:
            wanted = self._stream_clock.note(frames, status)
            sound = self._mixer.next(wanted)
            self._reference.put(self._mixer.reference, wanted)
            _fill(played, frames, sound, self._fit)


class CaptureCallback:
    """Hands on what the microphone heard."""

    def __init__(
        self,
        mixer: Mixer,
        reference: EchoReference,
        block_sink: BlockSink,
        stream_clock: StreamClock,
    ) -> None:
        """Start with nothing heard."""
        self.idle_window = mixer.idle_window
        self._reference = reference
        self._capture = Capture(block_sink, stream_clock)
        self._stream_clock = stream_clock
        self._idle_skip = IdleSkip(mixer, self._capture, stream_clock, reference.skip)

    def call(self, heard: Raw, _played: Raw, frames: int, status: int) -> None:
        """Take one period."""
        with _fatal:
            if self._idle_skip.skips(frames, status):
                return
            wanted = self._stream_clock.note(frames, status)
            if made_up := self._capture.fill_loss(heard, frames, status):
                self._reference.skip(made_up * wanted)
            self._capture.add(heard, self._reference.take(wanted))
            self._idle_skip.begin(frames)


class DuplexCallback:
    """Does both with one clock: the echo's delay is constant."""

    def __init__(
        self, mixer: Mixer, block_sink: BlockSink, stream_clock: StreamClock
    ) -> None:
        """Start with silence."""
        self.idle_window = mixer.idle_window
        self._mixer = mixer
        self._stream_clock = stream_clock
        self._capture = Capture(block_sink, stream_clock)
        self._fit = fit_of(RATE_HZ, stream_clock.rate_hz)
        self._idle_skip = IdleSkip(mixer, self._capture, stream_clock)

    def call(self, heard: Raw, played: Raw, frames: int, status: int) -> None:
        """Take one period and fill one."""
        with _fatal:
            if self._idle_skip.skips(frames, status):
                played[:] = bytes(len(played))
                return
            sound = self._mixer.next(self._stream_clock.note(frames, status))
            _fill(played, frames, sound, self._fit)
            self._capture.fill_loss(heard, frames, status)
            self._capture.add(heard, self._mixer.reference)
            self._idle_skip.begin(frames)


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
