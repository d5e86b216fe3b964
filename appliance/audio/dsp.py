"""Signal processing on blocks of samples: pure functions, limiter, resampler.

A block is 10 ms: int16, shape (480,), 48 kHz, mono. Where sums could overflow, samples
are float32 in int16's range (full scale 32768).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.pcm import Block

RATE_HZ: Final = 48_000
BLOCK_FRAMES: Final = 480
"""10 ms at 48 kHz, as LiveKit's `AudioSource` and audio processing require."""
FULL_SCALE: Final = 32_768.0
SILENCE_DBFS: Final = -96
"""Lower end of the dynamic range of 16 bits."""
FADE_FRAMES: Final = 96
"""2 ms: too short to shorten a syllable audibly, long enough not to click."""
QUIET_PEAK: Final = 32
"""-60 dBFS: a peak up to this counts as silence."""
CEILING: Final = 32_000.0
"""Peak level that the limiter enforces; a little under full scale, so that the
resampler of a 44.1 kHz card cannot overshoot into wrap-around."""

Samples = NDArray[np.float32]

_RAMP: Final[Samples] = np.arange(BLOCK_FRAMES, dtype=np.float32)
_RISE: Final[Samples] = np.linspace(0, 1, FADE_FRAMES, dtype=np.float32)


def level_dbfs(block: Block) -> float:
    """Return the RMS level of the block in dBFS.

    Args:
        block: int16, any number of frames.

    Returns:
        0.0 for a full-scale square wave, `SILENCE_DBFS` for all zeros; never NaN.

    Source: our choice: RMS against a full-scale square wave, so that 0 dBFS is the
    true ceiling.
    """
    # float32 all through: its dot product is the fastest sum of squares that numpy has.
    samples = block.astype(np.float32)
    power = float(samples @ samples) / (len(samples) * FULL_SCALE * FULL_SCALE)
    if power <= 0.0:
        return float(SILENCE_DBFS)
    return max(float(SILENCE_DBFS), 10.0 * float(np.log10(power)))


def is_loud(block: Block) -> bool:
    """Return whether the peak of the block exceeds `QUIET_PEAK`."""
    # The reductions themselves: `block.max()` goes through Python code of NumPy's.
    return bool(
        np.maximum.reduce(block) > QUIET_PEAK or np.minimum.reduce(block) < -QUIET_PEAK
    )


def volume_gain(percent: int) -> float:
    """Return the factor for a volume setting: 0 is off, 100 is 1, 50 is -12 dB.

    Source: our choice: a square approximates perceived loudness.
    """
    return (percent / 100.0) ** 2


def db_gain(db: float) -> float:
    """Return the factor for a gain in dB."""
    return float(10.0 ** (db / 20.0))


def faded_in(samples: Samples) -> Samples:
    """Return the samples with the first 2 ms faded in."""
    samples = samples.copy()
    samples[:FADE_FRAMES] *= _RISE
    return samples


def faded_out(samples: Samples) -> Samples:
    """Return the samples with the last 2 ms faded out."""
    samples = samples.copy()
    samples[-FADE_FRAMES:] *= _RISE[::-1]
    return samples


def to_block(samples: Samples) -> Block:
    """Return the samples as int16, clipped and never wrapped around."""
    return np.rint(np.clip(samples, -FULL_SCALE, FULL_SCALE - 1)).astype(np.int16)


def interpolated(window: Samples, fraction: float, rate: float, frames: int) -> Samples:
    """Return samples interpolated between those of the window.

    Args:
        window: float32, shape (frames + 6,), beginning one sample before the first.
        fraction: 0-1, offset of the first sample from `window[1]`.
        rate: deviation of the step between samples from 1, up to ± 0.005.
        frames: number of samples to return.

    Returns:
        float32, shape (frames,), not to be changed.

    Source: Catmull-Rom spline, Catmull and Rom 1974; linear interpolation would
    attenuate 8 kHz by 1 dB, periodically with a drifting clock.
    """
    if not fraction and not rate:
        return window[1 : 1 + frames]
    beyond = _RAMP[:frames] * rate
    beyond += fraction
    if 0.0 <= fraction + rate * frames < 1.0:
        # The usual case; fancy indexing would double the cost.
        rows = [window[n : n + frames] for n in range(4)]
    else:
        whole = np.floor(beyond)
        beyond -= whole
        index = np.arange(frames) + whole.astype(np.intp)
        rows = [window[index + n] for n in range(4)]
    return _spline(rows, beyond)


def _spline(rows: list[Samples], t: Samples) -> Samples:
    """Return the value at `t`, 0-1 of the way from the second row to the third."""
    before, here, after, beyond = rows
    way = after - here
    bend, next_bend = way - (here - before), beyond - after - way
    sag = next_bend - bend
    sag *= t
    sag += bend
    arch = t * t
    arch -= t
    arch *= 0.5
    sag *= arch
    way *= t
    sag += way
    sag += here
    return sag


class Limiter:
    """Limiter with instant attack and slow release."""

    def __init__(self) -> None:
        """Start with full gain."""
        self._gain = 1.0

    @property
    def is_at_rest(self) -> bool:
        """Whether the gain is back at 1."""
        return self._gain >= 1.0

    def apply(self, samples: Samples) -> Samples:
        """Return the samples, none of them beyond `CEILING`.

        Args:
            samples: float32, one block.
        """
        loudest = float(np.abs(samples).max())
        allowed = min(1.0, CEILING / loudest) if loudest > 0.0 else 1.0
        # A release of 1 % per block, about a second in all, is not heard as pumping.
        wanted = min(allowed, self._gain * 1.01)
        if wanted >= 1.0 and self._gain >= 1.0:
            return samples
        # Attack without a ramp: the loud sample may be the first of the block.
        start = min(self._gain, wanted)
        ramp = np.linspace(start, wanted, len(samples), dtype=np.float32)
        self._gain = wanted
        result: Samples = samples * ramp
        return result


class Resampler:
    """Windowed-sinc resampler for blocks of 10 ms.

    The phases repeat with every block because both rates have a whole
    number of frames in 10 ms, so the weights are computed once.
    """

    TAPS: Final = 32
    """Length of the filter: 0.3 ms of delay, flat to 18 kHz at 44.1 kHz."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Compute the weights.

        Args:
            from_hz: input rate, a multiple of 100.
            to_hz: output rate, a multiple of 100.
        """
        self.in_frames = from_hz // 100
        self.out_frames = to_hz // 100
        at = np.arange(self.out_frames) * (self.in_frames / self.out_frames)
        first = np.floor(at).astype(np.intp)
        taps = np.arange(self.TAPS)
        self._index = first[:, None] + taps
        distance = taps - (self.TAPS // 2 - 1) - (at - first)[:, None]
        self._weights = _sinc_weights(distance, min(1.0, to_hz / from_hz))
        self._past = np.zeros(self.TAPS, np.float32)

    def apply(self, block: NDArray[np.int16]) -> NDArray[np.int16]:
        """Return the next 10 ms at the output rate.

        Args:
            block: int16, shape (in_frames,).

        Returns:
            int16, shape (out_frames,).
        """
        samples = np.concatenate((self._past, block.astype(np.float32)))
        self._past = samples[-self.TAPS :]
        return to_block(
            np.einsum("ij,ij->i", samples[self._index], self._weights, optimize=False)
        )


def _sinc_weights(distance: NDArray[np.float64], cutoff: float) -> Samples:
    """Return the weights for samples at these distances; each row's sum is 1."""
    width = Resampler.TAPS / 2
    window = np.cos(np.clip(distance / width, -1, 1) * (np.pi / 2)) ** 2
    weights = np.sinc(distance * cutoff * 0.95) * window
    result: Samples = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return result
