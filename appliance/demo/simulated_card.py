"""Simulated sound card: its microphone says a phrase, its speaker is recorded.

Replaces PortAudio: one callback per period, at absolute times. After a late callback
the next one follows at once, so no sample is lost.
"""

import logging
import os
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.audio.driver import PeriodCallback, Stream, StreamRequest
from appliance.audio.sound_process import raise_priority
from appliance.errors import DemoError, SoundError
from appliance.pcm import BLOCK_FRAMES, RATE_HZ

NAME: Final = "Simulated USB sound card"
REACTION_S: Final = 0.1
"""Silence between `speak` and the first word; half of a person's reaction time."""
PERIOD_S: Final = BLOCK_FRAMES / RATE_HZ
LONGEST_S: Final = 600.0
"""Length of the longest recording, 58 MB."""

Samples: TypeAlias = NDArray[np.int16]
"""Mono, 48 kHz, any length."""

_log = logging.getLogger(__name__)


def phrase() -> Samples:
    """Return three seconds of speech, in which no pause is long enough to end a talk.

    Source: espeak-ng, voice en-us: "hello this is the push to talk demo can you hear me
    well".
    """
    import soxr

    with wave.open(str(Path(__file__).with_name("phrase.wav"))) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        said: Samples = soxr.resample(samples, file.getframerate(), RATE_HZ)
    return said


class Recording:
    """WAV file of the speaker's audio, with a valid header after every period."""

    def __init__(self, path: Path | None) -> None:
        """Create the file, by default in the temporary directory.

        Raises `DemoError` if it cannot be written.
        """
        self.path = path or Path(tempfile.gettempdir(), f"ptt-demo-{os.getuid()}.wav")
        self._left = round(LONGEST_S * RATE_HZ)
        try:
            if self.path.is_file():  # An older one may be readable by others.
                self.path.unlink()
            self.path.touch(0o600)
            self._file = wave.open(str(self.path), "wb")
            self._file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            self._file.writeframes(b"")
        except OSError as exc:
            sentence = f"{self.path} cannot be written: {exc.strerror}. Use --wav FILE."
            raise DemoError(sentence) from exc

    def put(self, pcm: bytes) -> None:
        """Append one period, and update the header. Thread: the card's."""
        if self._left <= 0:
            return
        self._left -= len(pcm) // 2
        try:
            self._file.writeframes(pcm)
        except OSError as exc:
            _log.warning("recording stopped  reason=%r", exc.strerror)
            self._left = 0


class SimulatedCard:
    """One duplex device and its stream; implements `audio.driver.Driver`."""

    def __init__(self, samples: Samples, recording: Recording) -> None:
        """Start silent; `speak` plays `samples`, `recording` stores the speaker."""
        self._recording = recording
        silence = np.ones(round(REACTION_S * RATE_HZ), np.int16)
        self._speech = np.concatenate((silence, samples))
        self.speech_s = len(self._speech) / RATE_HZ
        """Time from `speak` to the end of the phrase."""
        self._unsaid = samples[:0]
        self._thread: threading.Thread | None = None
        self._is_wanted = False
        self.latency_s = 0.0
        """Latency from the speaker's buffer to the microphone's."""

    def speak(self) -> None:
        """Say the phrase from its start. Thread: any."""
        self._unsaid = self._speech

    def devices(self) -> list[Mapping[str, object]]:
        """Return the device in PortAudio's format."""
        channels = {"max_input_channels": 1, "max_output_channels": 1}
        return [{"name": NAME, "default_samplerate": float(RATE_HZ), **channels}]

    def failure(self) -> str:
        """Return nothing: the stream never ends by itself."""
        return ""

    def open(
        self,
        wanted: StreamRequest,
        callback: Callable[[int], PeriodCallback],
        instead_of: Stream | None = None,
    ) -> "SimulatedCard":
        """Start the one stream, which is the card itself.

        Raises:
            SoundError: the card does not support this stream.
        """
        devices = wanted.microphone, wanted.speaker
        if not all(device is not None and device.name == NAME for device in devices):
            raise SoundError(wanted.device_name, "has one duplex stream")
        if instead_of is not None:
            instead_of.close()
        self.latency_s = 2 * max(PERIOD_S, wanted.latency_s)
        self._is_wanted = True
        self._thread = threading.Thread(
            target=self._run,
            args=(callback(RATE_HZ),),
            name="simulated card",
            daemon=True,
        )
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop the callbacks; when this returns, none is running."""
        self._is_wanted = False
        thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            thread.join()

    def _run(self, callback: PeriodCallback) -> None:
        raise_priority()
        left = skipped = 0
        due_s = time.monotonic()
        while self._is_wanted:
            due_s += PERIOD_S
            time.sleep(max(0.0, due_s - time.monotonic()))
            captured = self._next(BLOCK_FRAMES).tobytes()
            played = memoryview(bytearray(len(captured)))
            if left and not callback.idle_window.is_over:
                left, skipped = left - 1, skipped + 1
            else:
                heard = memoryview(captured)
                left, skipped = callback.call(heard, played, 0, 0.0, skipped), 0
            self._recording.put(bytes(played))

    def _next(self, frames: int) -> Samples:
        """Return the microphone's audio of the next period."""
        unsaid = self._unsaid
        part = unsaid[:frames]
        # Otherwise `speak` was called meanwhile.
        if unsaid is self._unsaid:
            self._unsaid = unsaid[frames:]
        # Only a muted microphone delivers nothing but zeros.
        return np.pad(part, (0, frames - len(part)), constant_values=1)
