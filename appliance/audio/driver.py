"""What the sound road asks of PortAudio, and PortAudio of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from appliance.audio.devices import Device
from appliance.audio.idle import IdleWindow

Raw = memoryview
"""int16, one sample or more for each frame. In truth cffi's buffer, which does what a
memoryview does."""

SAMPLE_BYTES: Final = 2


class PeriodCallback(Protocol):
    """What is called for each period."""

    idle_window: IdleWindow
    """Periods to which nothing happens but that the speaker is given silence."""

    def call(self, heard: Raw, played: Raw, frames: int, status: int) -> None:
        """Take one period, fill one, or both.

        Args:
            heard: from the microphone, one channel; empty where there is none.
            played: for the speaker, to be filled; empty where there is none.
            frames: in this period.
            status: 0, or PortAudio's flags of what was lost.

        Thread: PortAudio's. Must return well before the next period.
        """


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What a stream is asked for; int16."""

    microphone: Device | None
    speaker: Device | None
    rate_hz: int
    period_frames: int
    latency_s: float

    @property
    def microphone_channels(self) -> int:
        """How many are opened: one, or none."""
        return 0 if self.microphone is None else 1

    @property
    def speaker_channels(self) -> int:
        """How many are opened: all of a stereo card, or one ear would hear nothing."""
        return 0 if self.speaker is None else min(2, self.speaker.speaker_channels)

    @property
    def device_name(self) -> str:
        """What to call it when it fails."""
        device = self.microphone or self.speaker
        return device.name if device else "card"


class Stream(Protocol):
    """An open stream."""

    @property
    def latency_s(self) -> float:
        """From the speaker's buffer to the microphone's, as far as it does both."""

    def start(self) -> None:
        """Begin to call back.

        Raises:
            SoundError: the card says no.
        """

    def close(self) -> None:
        """Stop without waiting for what is in the buffers, and give the card back."""


class Driver(Protocol):
    """What the sound road asks of PortAudio."""

    def devices(self) -> Iterable[Mapping[str, object]]:
        """Return what `sounddevice.query_devices` does.

        Raises:
            SoundError: nobody can say.
        """

    def renew(self) -> None:
        """Find out anew which cards there are; no stream may be open.

        Raises:
            SoundError: nobody can say.
        """

    def can(self, wanted: StreamRequest) -> bool:
        """Return whether such a stream would open."""

    def open(self, wanted: StreamRequest, callback: PeriodCallback) -> Stream:
        """Open a stream.

        Raises:
            SoundError: the card says no.
        """
