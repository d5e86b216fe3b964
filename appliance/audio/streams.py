"""PortAudio streams: one duplex stream for one card, two streams for two cards.

A card is opened at a rate that it supports in hardware; others are resampled here.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from appliance.audio.driver import Driver, Stream, StreamRequest
from appliance.audio.echo_reference import EchoReference
from appliance.audio.mixer import Mixer
from appliance.audio.stream_callbacks import BlockSink, StreamCallback, StreamCounters
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.sound_cards.devices import PARTS, Device, Direction

RATES_HZ: Final = (
    *(48_000, 44_100, 32_000, 24_000, 16_000),
    *(96_000, 88_200, 192_000, 8_000),
)
"""Rates tried in this order; each has a whole number of frames in 10 ms."""
FULL_RATE_HZ: Final = 32_000
"""Lowest rate at which speech loses nothing audible."""


class Streams:
    """The open streams of microphone and speaker. Thread: the supervisor's."""

    def __init__(self, driver: Driver, mixer: Mixer, block_sink: BlockSink) -> None:
        self._driver = driver
        self._mixer = mixer
        self._block_sink = block_sink
        self._open: list[tuple[set[Direction], Stream]] = []
        self.counters: dict[Direction, StreamCounters] = {}

    def open(
        self,
        microphone: Device | None,
        speaker: Device | None,
        latency_s: float,
        *,
        is_split: bool = False,
    ) -> dict[Direction, SoundError]:
        """Open and start the streams of the given devices; None: there is none now.

        With `is_split` one card is opened as two: its duplex stream does not run.
        `latency_s` is one of `latency_steps.LATENCY_STEPS_S`. The result has the errors
        of the directions that could not be opened; the others run.
        """
        self._latency_s = latency_s
        self._reference = EchoReference(latency_s)
        if is_split or speaker is None or speaker != microphone or speaker.is_shared:
            # A duplex stream on ALSA's `default` crashes inside PortAudio 19.6.
            return self._open_separately(microphone, speaker)
        try:
            return self._open_card(speaker)
        except SoundError as exc:
            # The library has ended while it was asked for the card's rates.
            return {"speaker": exc, "microphone": exc}

    def close(self, directions: Collection[Direction] = tuple(PARTS)) -> None:
        """Stop and close the streams of these directions; others go on.

        May be called twice, and while the card is unplugged.
        """
        for opened in reversed(self._open.copy()):
            if opened[0] <= set(directions):
                self._open.remove(opened)
                opened[1].close()

    def _open_card(self, card: Device) -> dict[Direction, SoundError]:
        """Open both directions of one card, as one stream if that costs no quality."""
        common_hz = self._rate_hz(card, card)
        if not self._is_enough(common_hz, card):
            failures = self._open_separately(card, card)
            if not failures or common_hz is None:
                return failures
            # Some cards cannot run at two rates at a time.
            self.close()
            self.counters = {}
        if self._try_to_open(card, card) is None:
            return {}
        return self._open_separately(card, card)

    def _is_enough(self, common_hz: int | None, device: Device) -> bool:
        """Return whether both directions sound as well at this rate as at their own.

        A microphone of 16 kHz is no reason to play at 16 kHz: a duplex stream has a
        shorter delay, but the loss of all sound above 8 kHz is worse.
        """
        if common_hz is None or common_hz >= FULL_RATE_HZ:
            return common_hz is not None
        return self._rate_hz(device, None) == self._rate_hz(None, device)

    def _open_separately(
        self, microphone: Device | None, speaker: Device | None
    ) -> dict[Direction, SoundError]:
        failures: dict[Direction, SoundError] = {}
        if speaker and (exc := self._try_to_open(None, speaker)):
            failures["speaker"] = exc
        if microphone and (exc := self._try_to_open(microphone, None)):
            failures["microphone"] = exc
        return failures

    def _try_to_open(
        self, microphone: Device | None, speaker: Device | None
    ) -> SoundError | None:
        """Open and start one stream; return the error if that is impossible."""
        try:
            self._open_stream(self._wanted(microphone, speaker))
        except SoundError as exc:
            return exc
        return None

    def _open_stream(self, wanted: StreamRequest) -> None:
        counts = StreamCounters(wanted.rate_hz)
        parts = self._mixer, self._block_sink, self._reference, counts
        stream = self._driver.open(wanted, StreamCallback(wanted.directions, *parts))
        try:
            stream.start()
        except SoundError:
            # Open, it would keep other programs and the next attempt from the card.
            stream.close()
            raise
        counts.begin()
        self._open.append((wanted.directions, stream))
        counts.delay_ms = round(stream.latency_s * 1000)
        self.counters |= {x: counts for x in PARTS if x in wanted.directions}

    def _wanted(
        self, microphone: Device | None, speaker: Device | None
    ) -> StreamRequest:
        """Return the request for the first rate that the card supports."""
        rate_hz, latency_s = self._rate_hz(microphone, speaker), self._latency_s
        wanted = StreamRequest(microphone, speaker, rate_hz or RATES_HZ[0], latency_s)
        if rate_hz is not None:
            return wanted
        known = ", ".join(map(str, RATES_HZ))
        device = microphone or speaker
        listed_hz = device.rate_hz if device else 0
        # PortAudio refuses a card that is in use at each rate.
        if listed_hz and self._driver.can(replace(wanted, rate_hz=listed_hz)):
            reason = fault_table.CARD_RATE_UNUSABLE.text(rate=listed_hz, rates=known)
        else:
            reason = fault_table.CARD_RATES.text(rates=known)
        raise SoundError(wanted.device_name, reason)

    def _rate_hz(self, microphone: Device | None, speaker: Device | None) -> int | None:
        """Return the first of `RATES_HZ` that the card supports; None: it has none."""
        latency_s = self._latency_s
        requests = (StreamRequest(microphone, speaker, x, latency_s) for x in RATES_HZ)
        return next((x.rate_hz for x in requests if self._driver.can(x)), None)
