"""A sound card made of nothing, in the place of PortAudio.

It keeps the time of a good card: one callback per period, at absolute moments of the
monotonic clock. A machine that is too busy makes callbacks late, and then they follow
each other faster: nothing is lost, and what the speaker plays too late is said to be
late.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import numpy as np

from appliance.audio.driver import PeriodCallback, StreamRequest
from appliance.audio.dsp import RATE_HZ
from appliance.audio.realtime import raise_priority
from appliance.demo.phrase import Samples
from appliance.errors import SoundError

NAME: Final = "Simulated USB sound card"
LONGEST_STALL_S: Final = 1.0
"""A machine that slept is not made up for: the clock goes on from now."""

Hear: TypeAlias = Callable[[float, Samples], None]
"""Takes the moment at which a block is played, and the block.

Thread: the card's; it must return at once and may keep the block.
"""


class Mouth:
    """Somebody in front of the microphone."""

    def __init__(self) -> None:
        """Be silent."""
        self._speech: Speech | None = None

    def say(self, samples: Samples, at_s: float) -> "Speech":
        """Say this from then on, and nothing else any more.

        Thread: any.
        """
        speech = Speech(samples, at_s)
        self._speech = speech
        return speech

    def spoken(self, frames: int, from_s: float) -> Samples:
        """Return what the microphone hears in the period that begins at `from_s`.

        Thread: the card's, period by period.
        """
        speech = self._speech
        if speech is None or speech.is_over:
            return np.zeros(frames, np.int16)
        return speech.taken(frames, from_s)


class Speech:
    """One stretch of speech on its way through the microphone."""

    def __init__(self, samples: Samples, at_s: float) -> None:
        """Begin at `at_s`, or when the card next asks."""
        self.samples = samples
        self.began_s: float | None = None
        """When the first sample was really spoken."""
        self._at_s = at_s
        self._position = 0

    @property
    def is_over(self) -> bool:
        """Whether the microphone has heard all of it."""
        return self._position >= len(self.samples)

    @property
    def left_s(self) -> float:
        """How much of it the microphone has not heard yet."""
        return (len(self.samples) - self._position) / RATE_HZ

    @property
    def ends_s(self) -> float | None:
        """When the last sample is spoken; None: it has not begun."""
        if self.began_s is None:
            return None
        return self.began_s + len(self.samples) / RATE_HZ

    def taken(self, frames: int, from_s: float) -> Samples:
        """Return the next stretch, with silence before and after the speech.

        Thread: the card's.
        """
        block = np.zeros(frames, np.int16)
        lead = 0
        if self.began_s is None:
            lead = max(0, round((self._at_s - from_s) * RATE_HZ))
            if lead >= frames:
                return block
            self.began_s = from_s + lead / RATE_HZ
        part = self.samples[self._position : self._position + frames - lead]
        block[lead : lead + len(part)] = part
        self._position += len(part)
        return block


class SimulatedCard:
    """Stands in for PortAudio, with one card of one duplex device."""

    def __init__(self, mouth: Mouth, hear: Hear) -> None:
        """Lay out the card; it runs while a stream is open.

        Args:
            mouth: what the microphone hears.
            hear: takes what the speaker plays.
        """
        self._mouth = mouth
        self._hear = hear

    def devices(self) -> list[Mapping[str, object]]:
        """Return the card as PortAudio would describe it."""
        channels = {"max_input_channels": 1, "max_output_channels": 1}
        return [{"name": NAME, "default_samplerate": float(RATE_HZ), **channels}]

    def renew(self) -> None:
        """Look for cards: there is always this one."""

    def can(self, wanted: StreamRequest) -> bool:
        """Return whether the card has that."""
        devices = wanted.microphone, wanted.speaker
        is_here = all(device is not None and device.name == NAME for device in devices)
        return is_here and wanted.rate_hz == RATE_HZ

    def open(
        self, wanted: StreamRequest, callback: PeriodCallback
    ) -> "SimulatedStream":
        """Open the one stream.

        Raises:
            SoundError: the card has nothing like that.
        """
        if not self.can(wanted):
            raise SoundError(wanted.device_name, "has one duplex stream at 48000 Hz")
        return SimulatedStream(self._mouth, self._hear, wanted, callback)


class SimulatedStream:
    """Both directions on one clock.

    A sample is spoken up to one period before its callback and played after it, so
    that the way from microphone to speaker is twice the asked latency, as with
    PortAudio on ALSA.
    """

    def __init__(
        self, mouth: Mouth, hear: Hear, wanted: StreamRequest, callback: PeriodCallback
    ) -> None:
        """Prepare; `start` begins."""
        self._mouth = mouth
        self._hear = hear
        self._callback = callback
        self._frames = wanted.period_frames
        self._period_s = self._frames / wanted.rate_hz
        ahead_s = 2 * wanted.latency_s - self._period_s
        self._ahead_s = max(self._period_s, ahead_s)
        self.latency_s = self._period_s + self._ahead_s
        self._is_wanted = False
        self._thread = threading.Thread(
            target=self._run, name="simulated card", daemon=True
        )

    @property
    def is_running(self) -> bool:
        """Whether callbacks come."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to call back."""
        self._is_wanted = True
        self._thread.start()

    def close(self) -> None:
        """End the callbacks; when this returns, none is running."""
        self._is_wanted = False
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        raise_priority()
        due_s = time.monotonic()
        played = memoryview(bytearray(2 * self._frames))
        while self._is_wanted:
            due_s += self._period_s
            now_s = time.monotonic()
            if now_s < due_s:
                time.sleep(due_s - now_s)
            is_stalled = now_s > due_s + LONGEST_STALL_S
            if is_stalled:
                due_s = now_s
            self._turn(due_s, played, status=int(is_stalled))

    def _turn(self, due_s: float, played: memoryview, status: int) -> None:
        heard = self._mouth.spoken(self._frames, due_s - self._period_s)
        if self._callback.idle_window.passes(status):
            played[:] = bytes(len(played))
        else:
            sound = memoryview(heard.tobytes())
            self._callback.call(sound, played, self._frames, status)
        at_s = max(due_s + self._ahead_s, time.monotonic())
        self._hear(at_s, np.frombuffer(bytes(played), np.int16))
