"""Measurement of the delay and the loss of speech."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.card.asound import Samples

CLEAR = 0.1
"""Correlation above which two sounds are the same; 0.1 s of noise stays below."""
AUDIBLE = 0.2
"""Share of the usual level at which speech counts as there: -14 dB."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Delay and loss of one burst of speech."""

    start_s: float
    """Start in seconds from the start of the array."""
    delay_s: float
    """Delay; NaN if the burst was not found."""
    likeness: float
    """Correlation: 1.0 for the same waveform at any level, 0.0 for another one."""
    lost_start_ms: float
    lost_end_ms: float
    lost_within_ms: float
    """Gaps between the first and the last sound that was heard."""


def mouth_to_ear_s(
    spoken: Samples, heard: Samples, rate_hz: int = 48_000, most_s: float = 2.0
) -> float:
    """Return by how much `heard` is later than `spoken`.

    Args:
        spoken: What was said, not silent throughout.
        heard: What was heard, from the same moment on.
        rate_hz: Of both.
        most_s: The longest delay to look for.

    Returns:
        Seconds to the nearest sample; NaN if `spoken` is not in `heard`.
    """
    delay_frames, likeness = lag(spoken, heard, round(most_s * rate_hz))
    return delay_frames / rate_hz if likeness >= CLEAR else float("nan")


def lag(spoken: Samples, heard: Samples, most_frames: int) -> tuple[int, float]:
    """Return the delay with the highest correlation, and that correlation.

    The likeness is the normalised cross-correlation, whatever the polarity: 0.0 to 1.0.
    """
    x = spoken.astype(np.float64)
    y = heard[: len(x) + most_frames].astype(np.float64)
    y = np.pad(y, (0, len(x) + most_frames - len(y)))
    size = 1 << int(len(x) + len(y) - 1).bit_length()
    product = np.conj(np.fft.rfft(x, size)) * np.fft.rfft(y, size)
    match = np.fft.irfft(product, size)[: most_frames + 1]
    power = np.concatenate(([0.0], np.cumsum(y * y)))
    under = power[len(x) : len(x) + most_frames + 1] - power[: most_frames + 1]
    # One step of a 16-bit sample keeps rounding errors from dividing by zero.
    norm = np.sqrt(float(x @ x) * np.maximum(under, 1.0))
    likeness = np.abs(match) / norm if norm[0] > 0.0 else np.zeros_like(match)
    best = int(np.argmax(likeness))
    return best, float(likeness[best])


def bursts(
    spoken: Samples,
    heard: Samples,
    spans_s: Iterable[tuple[float, float]],
    rate_hz: int = 48_000,
    most_s: float = 2.0,
) -> list[Burst]:
    """Return delay and loss of each burst of speech.

    Losses are seen in the level, not in the waveform, so a codec does no harm: a
    millisecond is lost if the level in the 5 ms around it is below `AUDIBLE` of what
    it was when spoken, in proportion to the whole burst.

    Args:
        spoken: Everything said; between bursts there is silence, best 0.3 s or more.
        heard: Everything heard, from the same moment on.
        spans_s: Start and end of each burst in `spoken`.
        rate_hz: Of both.
        most_s: The longest delay to look for.
    """
    return [_burst(spoken, heard, span, rate_hz, most_s) for span in spans_s]


def _burst(
    spoken: Samples,
    heard: Samples,
    span_s: tuple[float, float],
    rate_hz: int,
    most_s: float,
) -> Burst:
    first, last = (round(edge_s * rate_hz) for edge_s in span_s)
    said = spoken[first:last]
    delay, likeness = lag(said, heard[first:], round(most_s * rate_hz))
    whole_ms = 1000.0 * len(said) / rate_hz
    if likeness < CLEAR:
        return Burst(span_s[0], float("nan"), likeness, whole_ms, 0.0, 0.0)
    got = heard[first + delay : last + delay]
    there = _audible(said, np.pad(got, (0, len(said) - len(got))), rate_hz)
    if not there.any():
        return Burst(span_s[0], float("nan"), likeness, whole_ms, 0.0, 0.0)
    start, end = int(np.argmax(there)), int(np.argmax(there[::-1]))
    gaps = int(np.count_nonzero(~there)) - start - end
    return Burst(span_s[0], delay / rate_hz, likeness, start, end, gaps)


def _audible(said: Samples, got: Samples, rate_hz: int) -> NDArray[np.bool_]:
    """Return for each millisecond whether it was heard or is silent in the original."""
    wanted, level = _level(said, rate_hz), _level(got, rate_hz)
    loud = wanted > AUDIBLE * wanted.mean()
    gain = np.median(level[loud] / wanted[loud])
    return ~loud | (level > AUDIBLE * gain * wanted) if gain > 0.0 else level > 0.0


def _level(samples: Samples, rate_hz: int) -> NDArray[np.float64]:
    """Return the root mean square around each millisecond."""
    frames = rate_hz // 1000
    squares = samples[: len(samples) // frames * frames].astype(np.float64) ** 2
    power = squares.reshape(-1, frames).mean(axis=1)
    window = np.ones(min(5, len(power)))
    return np.sqrt(np.convolve(power, window / len(window), "same"))
