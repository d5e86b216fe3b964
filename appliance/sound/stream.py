"""PortAudio streams: one duplex stream where it is one card, else two (DESIGN §2).

The callbacks copy, mix and hand over; they take no lock, write no log and wait for
nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.errors import SoundError
from appliance.ports import Block
from appliance.sound.devices import Device, Direction
from appliance.sound.dsp import BLOCK_FRAMES, RATE_HZ, SILENCE, Resampler
from appliance.sound.playout import Playout


@dataclass(frozen=True, slots=True)
class Rung:
    """How much time the card is given; PortAudio makes two periods of it."""

    latency_s: float
    per_second: int
    """Callbacks per second."""


LADDER: Final = (Rung(0.005, 200), Rung(0.01, 100), Rung(0.02, 100), Rung(0.04, 100))
"""A card that proves steady keeps the shortest, one that drops blocks climbs. Measured:
10, 20, 40 and 80 ms from microphone to speaker; the callback takes 40 µs."""
RATES_HZ: Final = (48_000, 44_100, 32_000, 16_000, 96_000)
"""Tried in this order; each has a whole number of frames in 10 ms."""

Put = Callable[[Block, Block], None]


class NativeStream(Protocol):
    """What is used of `sounddevice.Stream`."""

    samplerate: float
    latency: float | tuple[float, float]

    def start(self) -> None:
        """Begin to call back."""

    def abort(self, ignore_errors: bool = True) -> None:  # noqa: FBT001, FBT002
        """Stop without waiting for what is in the buffers."""

    def close(self, ignore_errors: bool = True) -> None:  # noqa: FBT001, FBT002
        """Give the card back."""


class Beat:
    """What the callbacks leave for others to read: single numbers, no lock needed."""

    def __init__(self) -> None:
        """Start now."""
        self.at_s = time.monotonic()
        self.frames = 0
        """At 48 kHz, whatever the card's rate is."""
        self.xruns = 0
        self.delay_ms = 0


class Streams:
    """The open streams of a microphone and a speaker.

    Thread: made, asked and closed on the card's thread; the callbacks are PortAudio's.
    """

    def __init__(self, library: ModuleType, playout: Playout, put: Put) -> None:
        """Prepare; nothing is opened yet.

        Args:
            library: `sounddevice`, or what stands in for it.
            playout: gives what the speaker plays.
            put: takes microphone block and what was played at that moment.
        """
        self._library = library
        self._playout = playout
        self._put = put
        self._open: list[NativeStream] = []
        self.beats: dict[Direction, Beat] = {}

    def open(
        self, microphone: Device | None, speaker: Device | None, rung: Rung
    ) -> None:
        """Open what there is and start it.

        Args:
            microphone: None: there is none now.
            speaker: None: there is none now.
            rung: one of `LADDER`.

        Raises:
            SoundError: PortAudio said no; nothing is left open.
        """
        try:
            if speaker is not None and _is_one_card(microphone, speaker):
                self._open_duplex(speaker, rung)
            else:
                self._open_apart(microphone, speaker, rung)
        except self._library.PortAudioError as exc:
            self.close()
            name = (microphone or speaker or Device(-1, "card", 0, 0, 0)).name
            raise SoundError(name, _words(exc)) from exc

    def close(self) -> None:
        """Stop and close; may be called twice, and while the card is away."""
        while self._open:
            stream = self._open.pop()
            stream.abort()
            stream.close()
        self.beats = {}

    def _open_duplex(self, device: Device, rung: Rung) -> None:
        rate_hz = self._rate_hz(device, device)
        beat = Beat()
        work = _Duplex(self._playout, self._put, beat, rate_hz)
        self.beats = {"microphone": beat, "speaker": beat}
        stream = self._library.Stream(
            device=(device.index, device.index),
            channels=(1, _speaker_channels(device)),
            callback=work.call,
            **_options(rate_hz, rung),
        )
        self._start(stream, beat)

    def _open_apart(
        self, microphone: Device | None, speaker: Device | None, rung: Rung
    ) -> None:
        if speaker is not None:
            rate_hz = self._rate_hz(None, speaker)
            self.beats["speaker"] = beat = Beat()
            play = _Speaker(self._playout, beat, rate_hz)
            stream = self._library.OutputStream(
                device=speaker.index,
                channels=_speaker_channels(speaker),
                callback=play.call,
                **_options(rate_hz, rung),
            )
            self._start(stream, beat)
        if microphone is not None:
            rate_hz = self._rate_hz(microphone, None)
            self.beats["microphone"] = beat = Beat()
            take = _Microphone(self._playout, self._put, beat, rate_hz)
            stream = self._library.InputStream(
                device=microphone.index,
                channels=1,
                callback=take.call,
                **_options(rate_hz, rung),
            )
            self._start(stream, beat)

    def _start(self, stream: NativeStream, beat: Beat) -> None:
        self._open.append(stream)
        stream.start()
        latency = stream.latency
        total_s = sum(latency) if isinstance(latency, tuple) else latency
        beat.delay_ms = round(total_s * 1000)

    def _rate_hz(self, microphone: Device | None, speaker: Device | None) -> int:
        """Return the first rate that the card really has.

        Raises:
            SoundError: it has none of ours.
        """
        for rate_hz in RATES_HZ:
            if self._can(microphone, speaker, rate_hz):
                return rate_hz
        device = microphone or speaker
        known = ", ".join(str(rate_hz) for rate_hz in RATES_HZ)
        reason = f"cannot be opened at any of {known} Hz. Is another program using it?"
        raise SoundError(device.name if device else "card", reason)

    def _can(
        self, microphone: Device | None, speaker: Device | None, rate_hz: int
    ) -> bool:
        library = self._library
        try:
            if microphone is not None:
                index = microphone.index
                library.check_input_settings(index, 1, "int16", None, rate_hz)
            if speaker is not None:
                channels = _speaker_channels(speaker)
                library.check_output_settings(
                    speaker.index, channels, "int16", None, rate_hz
                )
        except library.PortAudioError:
            return False
        return True


def _is_one_card(microphone: Device | None, speaker: Device) -> bool:
    # A duplex stream on ALSA's `default` crashes inside PortAudio 19.6 (FIELD).
    return microphone == speaker and not speaker.is_shared


class _Gather:
    """Makes blocks of 10 ms out of the card's periods and hands them over."""

    def __init__(self, put: Put, rate_hz: int) -> None:
        self._put = put
        self._fit = _fit(rate_hz, RATE_HZ)
        self._heard = np.empty(0, np.int16)
        self._played = np.empty(0, np.int16)

    def add(self, heard: NDArray[np.int16], played: NDArray[np.int16] | None) -> None:
        """Take what one callback heard and played."""
        heard = self._fit(heard)
        if len(heard) == BLOCK_FRAMES:
            self._put(heard, SILENCE if played is None else played)
            return
        if played is None:
            played = SILENCE[: len(heard)]
        if not len(self._heard):
            self._heard, self._played = heard, played
            return
        both = np.concatenate
        self._put(both((self._heard, heard)), both((self._played, played)))
        self._heard = np.empty(0, np.int16)


class _Speaker:
    """Plays what the room says."""

    def __init__(self, playout: Playout, beat: Beat, rate_hz: int) -> None:
        self._playout = playout
        self._beat = beat
        self._fit = _fit(RATE_HZ, rate_hz)
        self._per_frame = RATE_HZ / rate_hz

    def call(
        self, outdata: NDArray[np.int16], frames: int, _times: object, status: object
    ) -> None:
        """Fill one period.

        Thread: PortAudio. Must return well before the next one.
        """
        wanted = round(frames * self._per_frame)
        _beat(self._beat, wanted, status)
        played = self._playout.next(wanted)
        outdata[:] = 0 if played is None else self._fit(played)[:, None]


class _Microphone:
    """Hands on what the microphone heard."""

    def __init__(self, playout: Playout, put: Put, beat: Beat, rate_hz: int) -> None:
        self._playout = playout
        self._gather = _Gather(put, rate_hz)
        self._beat = beat
        self._per_frame = RATE_HZ / rate_hz

    def call(
        self, indata: NDArray[np.int16], frames: int, _times: object, status: object
    ) -> None:
        """Take one period.

        Thread: PortAudio. Must return well before the next one.
        """
        _beat(self._beat, round(frames * self._per_frame), status)
        self._gather.add(indata[:, 0].copy(), self._playout.played)


class _Duplex:
    """Does both with one clock: the echo's delay is constant."""

    def __init__(self, playout: Playout, put: Put, beat: Beat, rate_hz: int) -> None:
        self._playout = playout
        self._beat = beat
        self._gather = _Gather(put, rate_hz)
        self._fit = _fit(RATE_HZ, rate_hz)
        self._per_frame = RATE_HZ / rate_hz

    def call(
        self,
        indata: NDArray[np.int16],
        outdata: NDArray[np.int16],
        frames: int,
        _times: object,
        status: object,
    ) -> None:
        """Take one period and fill one.

        Thread: PortAudio. Must return well before the next one.
        """
        wanted = round(frames * self._per_frame)
        _beat(self._beat, wanted, status)
        played = self._playout.next(wanted)
        outdata[:] = 0 if played is None else self._fit(played)[:, None]
        self._gather.add(indata[:, 0].copy(), played)


def _beat(beat: Beat, frames: int, status: object) -> None:
    beat.at_s = time.monotonic()
    beat.frames += frames
    if status:
        beat.xruns += 1


def _fit(from_hz: int, to_hz: int) -> Callable[[NDArray[np.int16]], NDArray[np.int16]]:
    if from_hz == to_hz:
        return lambda block: block
    return Resampler(from_hz, to_hz).apply


def _options(rate_hz: int, rung: Rung) -> dict[str, object]:
    # The resampler knows whole 10 ms only.
    per_second = rung.per_second if rate_hz == RATE_HZ else 100
    return {
        "samplerate": rate_hz,
        "blocksize": rate_hz // per_second,
        "dtype": "int16",
        "latency": max(rung.latency_s, 1 / per_second),
    }


def _speaker_channels(device: Device) -> int:
    """Return how many to open: all of a stereo card, or one ear would hear nothing."""
    return min(2, device.speaker_channels)


def _words(exc: Exception) -> str:
    """Return PortAudio's sentence without its numbers."""
    return str(exc.args[0]) if exc.args else "PortAudio gave no reason"
