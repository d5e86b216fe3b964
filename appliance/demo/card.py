"""A sound card made of nothing, behind the names of `sounddevice` that are used.

It keeps the time of a good card: one callback per period, at absolute moments of the
monotonic clock. A machine that is too busy makes callbacks late, and then they follow
each other faster: nothing is lost, and what the speaker plays too late is said to be
late.
"""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Final, TypeAlias, TypedDict, Unpack

import numpy as np

from appliance.demo.phrase import Samples
from appliance.sound.dsp import RATE_HZ

NAME: Final = "Simulated USB sound card"
LONGEST_STALL_S: Final = 1.0
"""A machine that slept is not made up for: the clock goes on from now."""

Hear: TypeAlias = Callable[[float, Samples], None]
"""Takes the moment at which a block is played, and the block.

Thread: the card's; it must return at once and may keep the block.
"""
Call: TypeAlias = Callable[[memoryview, memoryview, int, object, object], None]


class PortAudioError(Exception):
    """What `sounddevice` raises when a card says no."""


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


class SimulatedCard(ModuleType):
    """Stands in for the module `sounddevice`, with one card of one duplex device."""

    PortAudioError = PortAudioError

    def __init__(self, mouth: Mouth, hear: Hear) -> None:
        """Lay out the card; it runs while a stream is open.

        Args:
            mouth: what the microphone hears.
            hear: takes what the speaker plays.
        """
        super().__init__("sounddevice")
        self.RawStream = partial(SimulatedStream, mouth, hear)

    def query_devices(self) -> list[Mapping[str, object]]:
        """Return the card as PortAudio would describe it."""
        channels = {"max_input_channels": 1, "max_output_channels": 1}
        return [{"name": NAME, "default_samplerate": float(RATE_HZ), **channels}]

    def check_input_settings(
        self,
        device: int,
        channels: int,
        dtype: str,
        _extra_settings: object,
        samplerate: float,
    ) -> None:
        """Raise `PortAudioError` unless it is what the card has."""
        _check(device, channels, dtype, samplerate)

    check_output_settings = check_input_settings

    def _initialize(self) -> None:
        """Look for cards: there is always this one."""

    def _terminate(self) -> None:
        """Forget the cards."""


class Options(TypedDict):
    """What a `RawStream` is asked for; each pair is microphone and speaker."""

    device: tuple[int, int]
    channels: tuple[int, int]
    samplerate: float
    blocksize: int
    dtype: str
    latency: float
    callback: Call


class SimulatedStream:
    """Both directions on one clock, as `sounddevice.RawStream`.

    A sample is spoken up to one period before its callback and played after it, so
    that the way from microphone to speaker is twice the asked latency, as with
    PortAudio on ALSA.
    """

    def __init__(self, mouth: Mouth, hear: Hear, **options: Unpack[Options]) -> None:
        """Prepare; `start` begins.

        Raises:
            PortAudioError: the card has nothing like that.
        """
        rate_hz, dtype = options["samplerate"], options["dtype"]
        for index, count in zip(options["device"], options["channels"], strict=True):
            _check(index, count, dtype, rate_hz)
        self.samplerate = rate_hz
        self._mouth = mouth
        self._hear = hear
        self._callback = options["callback"]
        self._frames = options["blocksize"]
        self._period_s = self._frames / rate_hz
        ahead_s = 2 * options["latency"] - self._period_s
        self._ahead_s = max(self._period_s, ahead_s)
        self.latency = (self._period_s, self._ahead_s)
        self._is_wanted = False
        self._thread = threading.Thread(
            target=self._run, name="simulated card", daemon=True
        )

    @property
    def active(self) -> bool:
        """Whether callbacks come."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to call back."""
        self._is_wanted = True
        self._thread.start()

    def abort(self, *_: object) -> None:
        """End the callbacks; when this returns, none is running."""
        self._is_wanted = False
        if self._thread.is_alive():
            self._thread.join()

    def close(self, *_: object) -> None:
        """Give the card back."""
        self.abort()

    def _run(self) -> None:
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
            self._turn(due_s, played, status=is_stalled)

    def _turn(self, due_s: float, played: memoryview, *, status: bool) -> None:
        heard = self._mouth.spoken(self._frames, due_s - self._period_s)
        self._callback(memoryview(heard.tobytes()), played, self._frames, None, status)
        at_s = max(due_s + self._ahead_s, time.monotonic())
        self._hear(at_s, np.frombuffer(bytes(played), np.int16))


def _check(device: int, channels: int, dtype: str, rate_hz: float) -> None:
    if device != 0:
        reason = "Invalid device"
        raise PortAudioError(reason)
    if channels != 1:
        reason = "Invalid number of channels"
        raise PortAudioError(reason)
    if dtype != "int16":
        reason = "Sample format not supported"
        raise PortAudioError(reason)
    if rate_hz != RATE_HZ:
        reason = "Invalid sample rate"
        raise PortAudioError(reason)
