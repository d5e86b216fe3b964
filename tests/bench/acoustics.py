"""Simulated room: what a microphone captures of a loudspeaker; pure."""

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from tests.bench.speech_signal import RATE_HZ
from tests.card.asound import Samples

FULL_SCALE = 32_768.0
CARD_S = 0.02
"""From giving a block to the card until its sound is captured, without the air."""
AIR_S = 0.003
"""1 m of air."""
EARLY = 6
EARLY_S = (0.002, 0.04)
"""Number of the early reflections, and the time in which they arrive."""
TAIL = 0.35
"""Amplitude of the reverberation where it begins, of the direct sound's."""
NOISE_DBFS = -75.0
"""Noise of the microphone."""


@dataclass(frozen=True, slots=True)
class Acoustics:
    """A room with a loudspeaker and a microphone."""

    reverberation_s: float
    """Time in which the sound decays by 60 dB."""
    echo_db: float
    """Level of the captured sound, of the played one's."""
    drive: float = 0.0
    """Distortion of the loudspeaker: 0 none, 1 is 2 % of a loud voice."""
    ppm: float = 0.0
    """Clock drift: the loudspeaker's card is faster by this, the microphone's slower.
    0: both are one card."""


def impulse_response(room: Acoustics, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return direct sound, early reflections and reverberation, at `echo_db`."""
    count = round((CARD_S + AIR_S + room.reverberation_s) * RATE_HZ)
    direct = round((CARD_S + AIR_S) * RATE_HZ)
    response = np.zeros(count)
    response[direct] = 1.0
    for at_s in rng.uniform(*EARLY_S, EARLY):
        response[direct + round(at_s * RATE_HZ)] += rng.uniform(-0.6, 0.6)
    since = direct + round(EARLY_S[1] / 2 * RATE_HZ)
    time_s = np.arange(count - since) / RATE_HZ
    decay = 10.0 ** (-3.0 * time_s / room.reverberation_s)
    tail = rng.standard_normal(len(time_s)) * decay
    response[since:] += TAIL * tail / np.sqrt((tail**2).sum())
    gain = 10.0 ** (room.echo_db / 20)
    scaled: NDArray[np.float64] = response * gain / np.sqrt((response**2).sum())
    return scaled


def captured(
    room: Acoustics, played: Samples, near: Samples, rng: np.random.Generator
) -> Samples:
    """Return what the microphone captures.

    Args:
        room: the room.
        played: samples given to the loudspeaker, at its card's clock.
        near: speech of the person at the microphone, at the microphone's clock.
        rng: room and noise.
    """
    sound = played.astype(np.float64) / FULL_SCALE
    if room.drive:
        sound = np.tanh(room.drive * sound) / room.drive
    echo = _convolved(sound, impulse_response(room, rng))
    if room.ppm:
        faster, slower = (RATE_HZ * (1 + x * room.ppm / 1e6) for x in (1, -1))
        echo = soxr.resample(echo, faster, slower)
    echo = np.pad(echo, (0, max(0, len(near) - len(echo))))[: len(near)]
    noise = rng.standard_normal(len(near)) * 10.0 ** (NOISE_DBFS / 20)
    both = near / FULL_SCALE + echo + noise
    result: Samples = (both * FULL_SCALE).round().clip(-32_768, 32_767).astype(np.int16)
    return result


def _convolved(
    sound: NDArray[np.float64], response: NDArray[np.float64]
) -> NDArray[np.float64]:
    size = 1 << (len(sound) + len(response) - 1).bit_length()
    product = np.fft.rfft(sound, size) * np.fft.rfft(response, size)
    result: NDArray[np.float64] = np.fft.irfft(product, size)[: len(sound)]
    return result
