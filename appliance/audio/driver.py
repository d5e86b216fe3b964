"""Interface to PortAudio: driver, stream, callback and its idle window.

Idle mode saves the CPU time of processing silence, which would be most of what an idle
box uses: while both sides are silent, the sound process skips most periods and only
counts them. Speech, a press or an earcon ends that.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from appliance.sound_cards.devices import PARTS, Device, Direction

Raw = memoryview
"""Interleaved int16 samples."""

SAMPLE_BYTES: Final = 2
RATES_HZ: Final = (
    *(48_000, 44_100, 32_000, 24_000, 16_000),
    *(96_000, 88_200, 192_000, 8_000),
)
"""Rates in the order in which they are tried, in hardware; each has a whole number of
frames in 10 ms."""
FULL_RATE_HZ: Final = 32_000
"""Lowest rate at which speech loses nothing audible."""
IDLE_PERIODS: Final = 7
"""Periods skipped in a row; with the processed one they are four whole packets."""


class IdleWindow:
    """Flag that ends the skipping of periods. Thread: `end` any, the others one."""

    def __init__(self) -> None:
        self._flag = memoryview(bytearray(b"\1"))

    @property
    def is_over(self) -> bool:
        """Whether speech has begun or is about to begin."""
        return bool(self._flag[0])

    def share(self, flag: memoryview) -> None:
        """Keep `is_over` in this byte, which another process reads."""
        flag[0] = self._flag[0]
        self._flag = flag

    def end(self) -> None:
        """End the window, after writing the sound: the next period is processed."""
        self._flag[0] = 1

    def open(self) -> None:
        """Allow a window to begin; check for speech only after this call.

        Speech that begins later ends the window; earlier speech is seen by the check.
        """
        self._flag[0] = 0


class PeriodCallback(Protocol):
    """Callback of a stream, called once per period."""

    idle_window: IdleWindow

    def call(
        self, heard: Raw, played: Raw, status: int, adc_s: float, skipped: int
    ) -> int:
        """Take one period of 10 ms, fill one, or both.

        Args:
            heard: captured samples of every channel; empty without input.
            played: output buffer to fill; empty without output.
            status: 0, or PortAudio's flags for overflow and underflow.
            adc_s: time of the first captured frame on PortAudio's clock; 0: unknown.
            skipped: number of periods skipped before this one.

        Returns:
            How many of the next periods may be skipped, until `idle_window` is over or
            PortAudio has a flag: the output gets silence, the input is ignored.

        Thread: the stream's. Must return well before the next period.
        """


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """Parameters of a stream to open; the sample format is int16."""

    microphone: Device | None
    speaker: Device | None
    latency_s: float
    is_any_rate: bool = False
    """Both directions at a low rate too, although one of them has a better one."""

    def endpoint(self, direction: Direction) -> tuple[str, int]:
        """Return name and channels of a direction; without it "" and 0.

        Both channels of a stereo card, because one of them may have no microphone.
        """
        device = self.microphone if direction == "microphone" else self.speaker
        return (device.name, min(2, device.channels(direction))) if device else ("", 0)

    @property
    def directions(self) -> set[Direction]:
        """Directions of the stream."""
        return {direction for direction in PARTS if self.endpoint(direction)[1]}

    @property
    def device_name(self) -> str:
        """Name for error messages."""
        device = self.microphone or self.speaker
        return device.stable_name if device else "card"


class Stream(Protocol):
    """A stream that runs."""

    latency_s: float
    """Input plus output latency, as far as the stream has both directions."""

    def failure(self) -> str:
        """Return why the stream has ended; empty: it has not."""

    def close(self) -> None:
        """Stop at once, discarding the buffers, and release the card."""


class Driver(Protocol):
    """PortAudio as the audio path uses it; what it refuses is a `SoundError`."""

    def devices(self) -> Iterable[Mapping[str, object]]:
        """Return the devices in the form of `sounddevice.query_devices`.

        Those that are open, here or in another program, may be missing.
        """

    def open(
        self,
        wanted: StreamRequest,
        callback: Callable[[int], PeriodCallback],
        instead_of: Stream | None = None,
    ) -> Stream:
        """Open and start a stream at the first of `RATES_HZ` that the card supports.

        `callback` makes its callback for that rate. `instead_of` is a stream of the
        same devices, which is closed; there is no search for cards then.
        """

    def close(self) -> None:
        """Release everything but the streams; the last call."""
