"""What the simulated microphone says: espeak-ng's voice, or one made of numbers."""

import logging
import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.audio.dsp import FULL_SCALE, RATE_HZ, to_block

Samples: TypeAlias = NDArray[np.int16]
"""Mono, 48 kHz, any length."""

WORDS: Final = "hello companion this is the demo speaking how well do you hear me"
"""Without a stop: half a second of silence would end the talk."""
PEAK_DBFS: Final = -6.0
"""A person close to the microphone."""
AUDIBLE_DBFS: Final = -34.0
"""Quieter edges are cut off, so that the phrase has a clear start and end."""
PATIENCE_S: Final = 10.0
"""espeak-ng takes 0.1 s; after this long something is wrong with it."""


@dataclass(frozen=True, slots=True)
class _Syllable:
    formants_hz: tuple[int, int]
    length_s: float
    pitch_hz: float
    has_consonant: bool = True
    """Whether it begins with a burst of noise and a stop."""


_SYLLABLES: Final = (
    _Syllable((300, 2300), 0.16, 125.0),
    _Syllable((650, 1100), 0.20, 140.0),
    _Syllable((400, 1900), 0.13, 130.0, has_consonant=False),
    _Syllable((750, 1250), 0.22, 118.0),
    _Syllable((320, 900), 0.17, 135.0),
    _Syllable((530, 1850), 0.15, 150.0),
    _Syllable((280, 2200), 0.18, 128.0, has_consonant=False),
    _Syllable((600, 1000), 0.21, 115.0),
    _Syllable((430, 2000), 0.14, 122.0),
    _Syllable((700, 1400), 0.24, 105.0),
)

_log = logging.getLogger(__name__)


def phrase() -> Samples:
    """Return about three seconds of speech, without silence around it."""
    spoken = _spoken_by_espeak()
    return synthesised() if spoken is None else spoken


def synthesised() -> Samples:
    """Return speech-like sound: ten syllables with hard onsets, always the same."""
    noise = np.random.default_rng(17)
    parts = [_sound(syllable, noise) for syllable in _SYLLABLES]
    return _levelled(np.concatenate(parts))


def _spoken_by_espeak() -> Samples | None:
    """Return `WORDS` in espeak-ng's voice; None if it is not there or fails."""
    program = shutil.which("espeak-ng")
    if program is None:
        return None
    with tempfile.TemporaryDirectory(prefix="ptt-demo-") as folder:
        path = Path(folder) / "phrase.wav"
        command = [program, "-v", "en", "-s", "160", "-w", str(path), WORDS]
        try:
            subprocess.run(
                command,
                check=True,
                timeout=PATIENCE_S,
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
            rate_hz, samples = _read(path)
        except (subprocess.SubprocessError, OSError, EOFError, wave.Error) as exc:
            _log.debug("espeak-ng does not speak  error=%r", exc)
            return None
    return _levelled(_trimmed(_resampled(samples, rate_hz))) if samples.any() else None


def _read(path: Path) -> tuple[int, NDArray[np.float64]]:
    with wave.open(str(path)) as file:
        pcm = file.readframes(file.getnframes())
        return file.getframerate(), np.frombuffer(pcm, "<i2").astype(np.float64)


def _resampled(samples: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """Return the samples at 48 kHz: the same spectrum, longer."""
    count = round(len(samples) * RATE_HZ / rate_hz)
    return np.fft.irfft(np.fft.rfft(samples), count) * (count / len(samples))


def _trimmed(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    floor = np.abs(samples).max() * 10 ** ((AUDIBLE_DBFS - PEAK_DBFS) / 20)
    loud = np.flatnonzero(np.abs(samples) >= floor)
    return samples[loud[0] : loud[-1] + 1]


def _levelled(samples: NDArray[np.float64]) -> Samples:
    peak = FULL_SCALE * 10 ** (PEAK_DBFS / 20)
    return to_block((samples * (peak / np.abs(samples).max())).astype(np.float32))


def _sound(syllable: _Syllable, noise: np.random.Generator) -> NDArray[np.float64]:
    length_s = syllable.length_s
    at_s = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
    # The voice falls a little in each syllable.
    phase = 2 * np.pi * syllable.pitch_hz * (at_s - 0.3 * at_s**2)
    vowel = np.zeros(len(at_s))
    for harmonic in range(1, 28):
        distance = np.array(syllable.formants_hz) - harmonic * syllable.pitch_hz
        strength = float(np.exp(-((distance / 180.0) ** 2)).sum()) + 0.5 / harmonic
        vowel += strength * np.sin(harmonic * phase)
    vowel *= np.minimum(1.0, np.minimum(at_s / 0.008, (length_s - at_s) / 0.03))
    if not syllable.has_consonant:
        return vowel
    burst = noise.normal(size=int(0.025 * RATE_HZ)) * 1.5
    stop = np.zeros(int(0.035 * RATE_HZ))
    return np.concatenate((burst, stop, vowel))
