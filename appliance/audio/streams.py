"""PortAudio streams: one duplex stream where it is one card, else two (DESIGN §2).

A card is opened at a rate that it really has; what it does not have is resampled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from appliance.audio.callbacks import CaptureCallback, DuplexCallback, PlaybackCallback
from appliance.audio.capture import BlockSink
from appliance.audio.devices import Device, Direction
from appliance.audio.driver import Driver, PeriodCallback, Stream, StreamRequest
from appliance.audio.dsp import RATE_HZ
from appliance.audio.echo_reference import EchoReference
from appliance.audio.mixer import Mixer
from appliance.audio.stream_clock import StreamClock
from appliance.errors import SoundError


@dataclass(frozen=True, slots=True)
class LatencyStep:
    """How much time the card is given; PortAudio makes two periods of it."""

    latency_s: float
    per_second: int
    """Callbacks per second."""


LADDER: Final = (
    LatencyStep(0.005, 200),
    LatencyStep(0.01, 200),
    LatencyStep(0.01, 100),
    LatencyStep(0.02, 100),
    LatencyStep(0.04, 100),
)
"""A card that proves steady keeps the shortest, one that drops blocks climbs. Measured:
10, 15, 20, 30 and 60 ms from microphone to speaker; the callback takes 40 µs."""
RATES_HZ: Final = (48_000, 44_100, 32_000, 16_000, 96_000)
"""Tried in this order; each has a whole number of frames in 10 ms."""


class Streams:
    """The open streams of a microphone and a speaker.

    Thread: made, asked and closed on the card's thread; the callbacks are PortAudio's.
    """

    def __init__(self, driver: Driver, mixer: Mixer, block_sink: BlockSink) -> None:
        """Prepare; nothing is opened yet.

        Args:
            driver: PortAudio, or what stands in for it.
            mixer: gives what the speaker plays.
            block_sink: takes what the microphone heard and what was played then.
        """
        self._driver = driver
        self._mixer = mixer
        self._block_sink = block_sink
        self._reference = EchoReference()
        self._open: list[Stream] = []
        self.beats: dict[Direction, StreamClock] = {}

    def open(
        self,
        microphone: Device | None,
        speaker: Device | None,
        latency_step: LatencyStep,
    ) -> dict[Direction, SoundError]:
        """Open what there is and start it.

        Args:
            microphone: None: there is none now.
            speaker: None: there is none now.
            latency_step: one of `LADDER`.

        Returns:
            What could not be opened, and why; the rest plays.
        """
        if speaker is not None and _is_one_card(microphone, speaker):
            try:
                self._open_duplex(speaker, latency_step)
            except SoundError:
                # Cards with another rate for each direction exist: try them apart.
                self.close()
            else:
                return {}
        return self._open_apart(microphone, speaker, latency_step)

    def close(self) -> None:
        """Stop and close; may be called twice, and while the card is away."""
        while self._open:
            self._open.pop().close()
        self.beats = {}

    def _open_duplex(self, device: Device, latency_step: LatencyStep) -> None:
        wanted = self._wanted(device, device, latency_step)
        stream_clock = StreamClock(wanted.rate_hz)
        self._start(
            wanted,
            DuplexCallback(self._mixer, self._block_sink, stream_clock),
            stream_clock,
        )
        self.beats = {"microphone": stream_clock, "speaker": stream_clock}

    def _open_apart(
        self,
        microphone: Device | None,
        speaker: Device | None,
        latency_step: LatencyStep,
    ) -> dict[Direction, SoundError]:
        failures: dict[Direction, SoundError] = {}
        if speaker is not None:
            with self._noted(failures, "speaker"):
                self._open_speaker(speaker, latency_step)
        if microphone is not None:
            with self._noted(failures, "microphone"):
                self._open_microphone(microphone, latency_step)
        return failures

    @contextmanager
    def _noted(
        self, failures: dict[Direction, SoundError], direction: Direction
    ) -> Iterator[None]:
        """Note a failure instead of raising it: the other direction may work."""
        try:
            yield
        except SoundError as exc:
            failures[direction] = exc

    def _open_speaker(self, speaker: Device, latency_step: LatencyStep) -> None:
        wanted = self._wanted(None, speaker, latency_step)
        stream_clock = StreamClock(wanted.rate_hz)
        self._start(
            wanted,
            PlaybackCallback(self._mixer, self._reference, stream_clock),
            stream_clock,
        )
        self.beats["speaker"] = stream_clock

    def _open_microphone(self, microphone: Device, latency_step: LatencyStep) -> None:
        wanted = self._wanted(microphone, None, latency_step)
        stream_clock = StreamClock(wanted.rate_hz)
        self._start(
            wanted,
            CaptureCallback(
                self._mixer, self._reference, self._block_sink, stream_clock
            ),
            stream_clock,
        )
        self.beats["microphone"] = stream_clock

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
        latency_step: LatencyStep,
    ) -> StreamRequest:
        """Return the stream to ask for, at the first rate that the card really has.

        Raises:
            SoundError: it has none of ours.
        """
        for rate_hz in RATES_HZ:
            wanted = at_rate(rate_hz, microphone, speaker, latency_step)
            if self._driver.can(wanted):
                return wanted
        known = ", ".join(str(rate_hz) for rate_hz in RATES_HZ)
        reason = f"cannot be opened at any of {known} Hz. Is another program using it?"
        raise SoundError(wanted.device_name, reason)


def _is_one_card(microphone: Device | None, speaker: Device) -> bool:
    # A duplex stream on ALSA's `default` crashes inside PortAudio 19.6 (FIELD).
    return microphone == speaker and not speaker.is_shared


def at_rate(
    rate_hz: int,
    microphone: Device | None,
    speaker: Device | None,
    latency_step: LatencyStep,
) -> StreamRequest:
    """Return the stream to ask for at this rate."""
    # The resampler knows whole 10 ms only.
    per_second = latency_step.per_second if rate_hz == RATE_HZ else 100
    return StreamRequest(
        microphone=microphone,
        speaker=speaker,
        rate_hz=rate_hz,
        period_frames=rate_hz // per_second,
        latency_s=max(latency_step.latency_s, 1 / per_second),
    )
