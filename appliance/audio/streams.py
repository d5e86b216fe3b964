"""PortAudio streams: one duplex stream for one card, two streams for two cards.

A card is opened at a rate that it supports in hardware; others are resampled here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from appliance.audio.capture import BlockSink
from appliance.audio.devices import Device, Direction
from appliance.audio.driver import Driver, PeriodCallback, Stream, StreamRequest
from appliance.audio.echo import EchoReference
from appliance.audio.mixer import Mixer
from appliance.audio.playback import CaptureCallback, DuplexCallback, PlaybackCallback
from appliance.audio.stream_stats import StreamClock
from appliance.core import fault_table
from appliance.errors import SoundError

LATENCY_STEPS_S: Final = (0.01, 0.02, 0.04)
"""Latencies requested from PortAudio, shortest first; see `latency_steps` for the
choice. Measured: 20, 30 and 60 ms from microphone to speaker."""
RATES_HZ: Final = (48_000, 44_100, 32_000, 16_000, 96_000, 8_000)
"""Rates tried in this order; each has a whole number of frames in 10 ms."""


class Streams:
    """The open streams of a microphone and a speaker.

    Thread: the supervisor's; the callbacks are PortAudio's.
    """

    def __init__(self, driver: Driver, mixer: Mixer, block_sink: BlockSink) -> None:
        """Prepare; nothing is opened yet.

        Args:
            driver: PortAudio or a replacement for it.
            mixer: source of the samples to play.
            block_sink: consumer of captured blocks and of those played meanwhile.
        """
        self._driver = driver
        self._mixer = mixer
        self._block_sink = block_sink
        self._reference = EchoReference()
        self._open: list[Stream] = []
        self.clocks: dict[Direction, StreamClock] = {}

    def open(
        self,
        microphone: Device | None,
        speaker: Device | None,
        latency_s: float,
    ) -> dict[Direction, SoundError]:
        """Open and start the streams of the given devices.

        Args:
            microphone: device, or None if there is none now.
            speaker: device, or None if there is none now.
            latency_s: one of `LATENCY_STEPS_S`.

        Returns:
            Errors of the directions that could not be opened; the others run.
        """
        if speaker is not None and _is_one_card(microphone, speaker):
            try:
                self._open_duplex(speaker, latency_s)
            except SoundError:
                # Some cards have different rates per direction: open them separately.
                self.close()
            else:
                return {}
        return self._open_separately(microphone, speaker, latency_s)

    def close(self) -> None:
        """Stop and close; may be called twice, and while the card is unplugged."""
        while self._open:
            self._open.pop().close()
        self.clocks = {}

    def _open_duplex(self, device: Device, latency_s: float) -> None:
        wanted = self._wanted(device, device, latency_s)
        stream_clock = StreamClock(wanted.rate_hz)
        self._start(
            wanted,
            DuplexCallback(self._mixer, self._block_sink, stream_clock),
            stream_clock,
        )
        self.clocks = {"microphone": stream_clock, "speaker": stream_clock}

    def _open_separately(
        self,
        microphone: Device | None,
        speaker: Device | None,
        latency_s: float,
    ) -> dict[Direction, SoundError]:
        failures: dict[Direction, SoundError] = {}
        if speaker is not None:
            with self._collected(failures, "speaker"):
                self._open_speaker(speaker, latency_s)
        if microphone is not None:
            with self._collected(failures, "microphone"):
                self._open_microphone(microphone, latency_s)
        return failures

    @contextmanager
    def _collected(
        self, failures: dict[Direction, SoundError], direction: Direction
    ) -> Iterator[None]:
        """Collect an error instead of raising it: the other direction may work."""
        try:
            yield
        except SoundError as exc:
            failures[direction] = exc

    def _open_speaker(self, speaker: Device, latency_s: float) -> None:
        wanted = self._wanted(None, speaker, latency_s)
        stream_clock = StreamClock(wanted.rate_hz)
        self._start(
            wanted,
            PlaybackCallback(self._mixer, self._reference, stream_clock),
            stream_clock,
        )
        self.clocks["speaker"] = stream_clock

    def _open_microphone(self, microphone: Device, latency_s: float) -> None:
        wanted = self._wanted(microphone, None, latency_s)
        stream_clock = StreamClock(wanted.rate_hz)
        self._start(
            wanted,
            CaptureCallback(
                self._mixer, self._reference, self._block_sink, stream_clock
            ),
            stream_clock,
        )
        self.clocks["microphone"] = stream_clock

    def _start(
        self, wanted: StreamRequest, callback: PeriodCallback, stream_clock: StreamClock
    ) -> None:
        stream = self._driver.open(wanted, callback)
        self._open.append(stream)
        stream.start()
        stream_clock.delay_ms = round(stream.latency_s * 1000)

    def _wanted(
        self,
        microphone: Device | None,
        speaker: Device | None,
        latency_s: float,
    ) -> StreamRequest:
        """Return the request for the first rate that the card supports.

        Raises:
            SoundError: the card supports none of `RATES_HZ`.
        """
        for rate_hz in RATES_HZ:
            wanted = StreamRequest(microphone, speaker, rate_hz, latency_s)
            if self._driver.can(wanted):
                return wanted
        known = ", ".join(str(rate_hz) for rate_hz in RATES_HZ)
        raise SoundError(wanted.device_name, fault_table.CARD_RATES.text(rates=known))


def _is_one_card(microphone: Device | None, speaker: Device) -> bool:
    # A duplex stream on ALSA's `default` crashes inside PortAudio 19.6.
    return microphone == speaker and not speaker.is_shared
