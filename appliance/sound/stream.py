"""PortAudio streams: one duplex stream where it is one card, else two (DESIGN §2).

A card is opened at a rate that it really has; what it does not have is resampled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Final, Protocol

from appliance.errors import SoundError
from appliance.sound.callback import Beat, Duplex, Microphone, Put, Speaker
from appliance.sound.devices import Device, Direction
from appliance.sound.dsp import RATE_HZ
from appliance.sound.playout import Playout
from appliance.sound.reference import Reference


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


class NativeStream(Protocol):
    """What is used of `sounddevice.RawStream`."""

    latency: float | tuple[float, float]

    def start(self) -> None:
        """Begin to call back."""

    def abort(self) -> None:
        """Stop without waiting for what is in the buffers."""

    def close(self) -> None:
        """Give the card back."""


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
        self._reference = Reference()
        self._open: list[NativeStream] = []
        self.beats: dict[Direction, Beat] = {}

    def open(
        self, microphone: Device | None, speaker: Device | None, rung: Rung
    ) -> dict[Direction, SoundError]:
        """Open what there is and start it.

        Args:
            microphone: None: there is none now.
            speaker: None: there is none now.
            rung: one of `LADDER`.

        Returns:
            What could not be opened, and why; the rest plays.
        """
        if speaker is not None and _is_one_card(microphone, speaker):
            try:
                self._open_duplex(speaker, rung)
            except (SoundError, self._library.PortAudioError):
                # Cards with another rate for each direction exist: try them apart.
                self.close()
            else:
                return {}
        return self._open_apart(microphone, speaker, rung)

    def close(self) -> None:
        """Stop and close; may be called twice, and while the card is away."""
        while self._open:
            stream = self._open.pop()
            stream.abort()
            stream.close()
        self.beats = {}

    def _open_duplex(self, device: Device, rung: Rung) -> None:
        rate_hz = self._rate_hz(device, device)
        beat = Beat(rate_hz)
        stream = self._library.RawStream(
            device=(device.index, device.index),
            channels=(1, _speaker_channels(device)),
            callback=Duplex(self._playout, self._put, beat).call,
            **_options(rate_hz, rung),
        )
        self._start(stream, beat)
        self.beats = {"microphone": beat, "speaker": beat}

    def _open_apart(
        self, microphone: Device | None, speaker: Device | None, rung: Rung
    ) -> dict[Direction, SoundError]:
        failures: dict[Direction, SoundError] = {}
        if speaker is not None:
            with self._noted(failures, "speaker", speaker):
                self._open_speaker(speaker, rung)
        if microphone is not None:
            with self._noted(failures, "microphone", microphone):
                self._open_microphone(microphone, rung)
        return failures

    @contextmanager
    def _noted(
        self,
        failures: dict[Direction, SoundError],
        direction: Direction,
        device: Device,
    ) -> Iterator[None]:
        """Note a failure instead of raising it: the other direction may work."""
        try:
            yield
        except SoundError as exc:
            failures[direction] = exc
        except self._library.PortAudioError as exc:
            failures[direction] = SoundError(device.name, _words(exc))

    def _open_speaker(self, speaker: Device, rung: Rung) -> None:
        rate_hz = self._rate_hz(None, speaker)
        beat = Beat(rate_hz)
        stream = self._library.RawOutputStream(
            device=speaker.index,
            channels=_speaker_channels(speaker),
            callback=Speaker(self._playout, self._reference, beat).call,
            **_options(rate_hz, rung),
        )
        self._start(stream, beat)
        self.beats["speaker"] = beat

    def _open_microphone(self, microphone: Device, rung: Rung) -> None:
        rate_hz = self._rate_hz(microphone, None)
        beat = Beat(rate_hz)
        stream = self._library.RawInputStream(
            device=microphone.index,
            channels=1,
            callback=Microphone(self._reference, self._put, beat).call,
            **_options(rate_hz, rung),
        )
        self._start(stream, beat)
        self.beats["microphone"] = beat

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
