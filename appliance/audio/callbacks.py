"""Callbacks of the PortAudio streams, called up to 200 times a second.

They copy, mix and hand over; they do not log and hold locks only for moments. They work
on bytes where possible: at 200 wake-ups a second with cold caches each NumPy call has a
noticeable cost.
"""

import threading
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from appliance.audio.capture import BlockSink, Capture, RateConversion, rate_conversion
from appliance.audio.driver import SAMPLE_BYTES, Raw
from appliance.audio.dsp import RATE_HZ
from appliance.audio.echo_reference import EchoReference
from appliance.audio.idle import IdleWindow
from appliance.audio.idle_skip import IdleSkip
from appliance.audio.mixer import Mixer
from appliance.audio.stream_clock import StreamClock


class PlaybackCallback:
    """Callback of a stream that only plays."""

    def __init__(
        self, mixer: Mixer, reference: EchoReference, stream_clock: StreamClock
    ) -> None:
        """Start with silence."""
        self.idle_window = IdleWindow()
        self._mixer = mixer
        self._reference = reference
        self._stream_clock = stream_clock
        self._fit = rate_conversion(RATE_HZ, stream_clock.rate_hz)

    def call(self, _heard: Raw, played: Raw, frames: int, status: int) -> None:
        """Fill one period for playback."""
        with _end_process_on_error:
            wanted = self._stream_clock.note(frames, status)
            sound = self._mixer.next(wanted)
            self._reference.put(self._mixer.reference, wanted)
            _fill(played, frames, sound, self._fit)


class CaptureCallback:
    """Callback of a stream that only captures."""

    def __init__(
        self,
        mixer: Mixer,
        reference: EchoReference,
        block_sink: BlockSink,
        stream_clock: StreamClock,
    ) -> None:
        """Start without captured sound."""
        self.idle_window = mixer.idle_window
        self._reference = reference
        self._capture = Capture(block_sink, stream_clock)
        self._stream_clock = stream_clock
        self._idle_skip = IdleSkip(mixer, self._capture, stream_clock, reference.skip)

    def call(self, heard: Raw, _played: Raw, frames: int, status: int) -> None:
        """Take one captured period."""
        with _end_process_on_error:
            if self._idle_skip.skips(frames, status):
                return
            wanted = self._stream_clock.note(frames, status)
            if made_up := self._capture.fill_loss(heard, frames, status):
                self._reference.skip(made_up * wanted)
            self._capture.add(heard, self._reference.take(wanted))
            self._idle_skip.begin(frames)


class DuplexCallback:
    """Callback of a duplex stream: one clock, so the echo's delay is constant."""

    def __init__(
        self, mixer: Mixer, block_sink: BlockSink, stream_clock: StreamClock
    ) -> None:
        """Start with silence."""
        self.idle_window = mixer.idle_window
        self._mixer = mixer
        self._stream_clock = stream_clock
        self._capture = Capture(block_sink, stream_clock)
        self._fit = rate_conversion(RATE_HZ, stream_clock.rate_hz)
        self._idle_skip = IdleSkip(mixer, self._capture, stream_clock)

    def call(self, heard: Raw, played: Raw, frames: int, status: int) -> None:
        """Take one captured period and fill one for playback."""
        with _end_process_on_error:
            if self._idle_skip.skips(frames, status):
                played[:] = bytes(len(played))
                return
            sound = self._mixer.next(self._stream_clock.note(frames, status))
            _fill(played, frames, sound, self._fit)
            self._capture.fill_loss(heard, frames, status)
            self._capture.add(heard, self._mixer.reference)
            self._idle_skip.begin(frames)


class _EndProcessOnError:
    """Context manager that passes an exception to `threading.excepthook`.

    Without it cffi prints the exception and ends the stream, which looks like an
    unplugged card.
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


_end_process_on_error = _EndProcessOnError()


def _fill(
    outdata: Raw,
    frames: int,
    played: NDArray[np.int16] | None,
    fit: RateConversion | None,
) -> None:
    """Write the mono samples to every channel of the output buffer."""
    if played is None:
        outdata[:] = bytes(len(outdata))
        return
    if fit is not None:
        played = fit(played)
    channels = len(outdata) // (frames * SAMPLE_BYTES)
    outdata[:] = played.repeat(channels).tobytes()
