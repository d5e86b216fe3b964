"""PortAudio streams: one duplex stream for one card, two streams for two cards.

A card is opened at a rate that it supports in hardware; others are resampled here.
"""

import time
from collections.abc import Collection, Mapping
from typing import Final

from appliance.audio.driver import Driver, Stream, StreamRequest
from appliance.audio.echo_cancellation import EchoReference
from appliance.audio.sender import Sender
from appliance.audio.stream_callbacks import (
    STALL_S,
    StreamCallback,
    StreamCounters,
    Totals,
)
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.sound_cards.devices import Device, Direction

STOPPED: Final = fault_table.CARD_STOPPED.text()
LOOK_S: Final = 0.01


class Streams:
    """The open streams of microphone and speaker. Thread: the supervisor's."""

    def __init__(
        self,
        driver: Driver,
        sender: Sender,
        totals: Mapping[Direction, Totals],
    ) -> None:
        self._driver = driver
        self._sender = sender
        self._totals = totals
        self._is_split = False
        """Whether the last stream for both directions of one card hung."""
        self._open: dict[Direction, tuple[Device, Stream, StreamCallback]] = {}

    @property
    def devices(self) -> dict[Direction, Device]:
        """Devices of the streams that are open."""
        return {way: device for way, (device, _, _) in self._open.items()}

    @property
    def counters(self) -> dict[Direction, StreamCounters]:
        """Counters of the streams that are open; a duplex stream has one object."""
        return {way: callback.counters for way, (_, _, callback) in self._open.items()}

    @property
    def delay_ms(self) -> int:
        """Latency from output to input, as reported by PortAudio."""
        streams = {stream for _, stream, _ in self._open.values()}
        return round(1000 * sum(stream.latency_s for stream in streams))

    def open(
        self, wanted: Mapping[Direction, Device], latency_s: float
    ) -> dict[Direction, SoundError]:
        """Open streams for these directions, which are closed; others go on.

        Both of one card are one stream, or two if that fails (after a hang next time).

        Returns:
            Errors of the directions that could not be opened; the others have called
            back.
        """
        devices = set(wanted.values())
        # A duplex stream on ALSA's `default` crashes inside PortAudio 19.6.
        is_shared = any(device.is_shared for device in devices)
        is_duplex = len(devices) < len(wanted) and not is_shared
        error = None
        if is_duplex and not self._is_split:
            begun_s = time.monotonic()
            error = self._error(wanted, latency_s)
            if error is None:
                return {}
            if time.monotonic() - begun_s >= STALL_S:
                # Two streams may take as long, and this has to be said before.
                self._is_split = True
                return dict.fromkeys(wanted, error)
        self._is_split = False
        order = sorted(wanted, reverse=True)
        errors = {way: self._error({way: wanted[way]}, latency_s) for way in order}
        failed = {way: exc for way, exc in errors.items() if exc is not None}
        if error and any(map(_is_rate, failed.values())) and _is_rate(error):
            # Some cards cannot run at two rates at a time.
            self.close(tuple(self.devices))
            error = self._error(wanted, latency_s, is_any_rate=True)
            return dict.fromkeys(wanted, error) if error else {}
        return failed

    def change(self, latency_s: float) -> dict[Direction, SoundError]:
        """Open all streams again, with this latency and without a search."""
        before, self._open = self._open, {}
        failures: dict[Direction, SoundError] = {}
        for stream in dict.fromkeys(stream for _, stream, _ in before.values()):
            wanted = {
                way: device
                for way, (device, other, _) in before.items()
                if other is stream
            }
            error = self._error(wanted, latency_s, is_any_rate=True, instead_of=stream)
            if error is not None:
                failures |= dict.fromkeys(wanted, error)
        return failures

    def stopped(self) -> dict[Direction, str]:
        """Return the directions whose stream has ended, and why."""
        late_s = time.monotonic() - STALL_S
        reasons = {
            way: stream.failure()
            or (STOPPED if callback.counters.at_s < late_s else "")
            for way, (_, stream, callback) in self._open.items()
        }
        return {way: reason for way, reason in reasons.items() if reason}

    def close(self, directions: Collection[Direction]) -> set[Direction]:
        """Close the streams of these directions; return all directions of theirs."""
        streams = [self._open[direction][1] for direction in directions]
        closed = {way for way, (_, other, _) in self._open.items() if other in streams}
        for direction in closed:
            self._open.pop(direction)[1].close()
        return closed

    def _error(
        self,
        wanted: Mapping[Direction, Device],
        latency_s: float,
        *,
        is_any_rate: bool = False,
        instead_of: Stream | None = None,
    ) -> SoundError | None:
        """Open one stream; return the error if that is impossible."""
        reference = EchoReference(latency_s)
        made: list[StreamCallback] = []

        def callback(rate_hz: int) -> StreamCallback:
            counters = StreamCounters(
                rate_hz, {way: self._totals[way] for way in wanted}
            )
            parts = self._sender, reference, counters
            made.append(StreamCallback(set(wanted), *parts))
            return made[0]

        devices = wanted.get("microphone"), wanted.get("speaker")
        request = StreamRequest(*devices, latency_s, is_any_rate=is_any_rate)
        try:
            stream = self._driver.open(request, callback, instead_of)
            _wait(stream, made[0].counters, request.device_name)
        except SoundError as exc:
            return exc
        for _, _, other in self._open.values():
            other.reference = reference
        self._open |= {way: (device, stream, made[0]) for way, device in wanted.items()}
        return None


def _is_rate(error: SoundError) -> bool:
    return bool(fault_table.CARD_RATES.likeness(error.reason))


def _wait(stream: Stream, counters: StreamCounters, name: str) -> None:
    """Wait for the first callback; one that never calls back does not work."""
    until_s = time.monotonic() + STALL_S
    while not counters.blocks:
        reason = stream.failure()
        if not reason and time.monotonic() > until_s:
            reason = STOPPED
        if reason:
            stream.close()
            raise SoundError(name, reason)
        time.sleep(LOOK_S)
