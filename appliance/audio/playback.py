"""Callbacks of the PortAudio streams: one period is one block of 10 ms.

They copy, mix and hand over; they do not log and hold locks only for moments. They work
on bytes where possible: with cold caches each NumPy call has a noticeable cost.
"""

import threading
from types import TracebackType

from appliance.audio.capture import BlockSink, Capture
from appliance.audio.driver import SAMPLE_BYTES, Raw
from appliance.audio.dsp import RATE_HZ
from appliance.audio.echo_reference import EchoReference
from appliance.audio.idle import IdleMode, IdleWindow
from appliance.audio.mixer import Mixer
from appliance.audio.resample import resampler
from appliance.audio.stream_clock import StreamClock
from appliance.pcm import Block


class Output:
    """Writes mono blocks to the card's output buffer, at its rate and channels."""

    def __init__(self, rate_hz: int) -> None:
        """Start with silence."""
        self._period_bytes = rate_hz // 100 * SAMPLE_BYTES
        self._convert = resampler(RATE_HZ, rate_hz)

    def fill(self, outdata: Raw, block: Block | None) -> None:
        """Write the block to every channel; None is silence."""
        if block is None:
            outdata[:] = bytes(len(outdata))
            return
        if self._convert is not None:
            block = self._convert(block)
        outdata[:] = block.repeat(len(outdata) // self._period_bytes).tobytes()


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
        self._output = Output(stream_clock.rate_hz)

    def call(self, _heard: Raw, played: Raw, status: int, _adc_s: float) -> None:
        """Fill one period for playback."""
        with _end_process_on_error:
            self._stream_clock.note(status)
            block = self._mixer.next()
            self._reference.put(self._mixer.reference)
            self._output.fill(played, block)


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
        self._idle_mode = IdleMode(
            mixer.idle_window,
            self._capture,
            stream_clock,
            lambda: mixer.is_still and reference.is_still,
        )

    def call(self, heard: Raw, _played: Raw, status: int, adc_s: float) -> None:
        """Take one captured period."""
        with _end_process_on_error:
            before = self._stream_clock.blocks
            is_skipped = self._idle_mode.skips(status)
            self._reference.skip(self._stream_clock.blocks - before)
            if is_skipped:
                return
            self._stream_clock.note(status, adc_s)
            self._capture.add(heard, self._reference.take())
            self._idle_mode.begin()


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
        self._output = Output(stream_clock.rate_hz)
        self._idle_mode = IdleMode(
            mixer.idle_window, self._capture, stream_clock, lambda: mixer.is_still
        )

    def call(self, heard: Raw, played: Raw, status: int, adc_s: float) -> None:
        """Take one captured period and fill one for playback."""
        with _end_process_on_error:
            if self._idle_mode.skips(status):
                played[:] = bytes(len(played))
                return
            self._stream_clock.note(status, adc_s)
            self._output.fill(played, self._mixer.next())
            self._capture.add(heard, self._mixer.reference)
            self._idle_mode.begin()


class _EndProcessOnError:
    """Context manager that passes an exception to `threading.excepthook`.

    Without it cffi prints the exception and ends the stream, which looks like an
    unplugged card.
    """

    def __enter__(self) -> None:
        """Do nothing: this runs 100 times a second."""

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
