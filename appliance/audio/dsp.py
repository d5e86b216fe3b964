"""What is done to blocks of sound; pure: arrays in, arrays out.

A block is 10 ms: int16, shape (480,), 48 kHz, mono. Where sums could overflow, samples
are float32 in int16's range (full scale 32768).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.pcm import Block

RATE_HZ: Final = 48_000
BLOCK_FRAMES: Final = 480
"""10 ms at 48 kHz: what LiveKit's `AudioSource` and audio processing ask for."""
FULL_SCALE: Final = 32_768.0
SILENCE_DBFS: Final = -96
"""16 bits have no quieter sound than this."""
FADE_FRAMES: Final = 96
"""2 ms: too short to be missed from a syllable, long enough not to click."""
QUIET_PEAK: Final = 32
"""-60 dBFS: what is no louder is taken for silence."""
CEILING: Final = 32_000.0
"""Where the limiter holds loud sums; a little under full scale, so that the
resampler of a 44.1 kHz card cannot overshoot into wrap-around."""

Samples = NDArray[np.float32]

_RAMP: Final[Samples] = np.arange(BLOCK_FRAMES, dtype=np.float32)
_RISE: Final[Samples] = np.linspace(0, 1, FADE_FRAMES, dtype=np.float32)


def level_dbfs(block: Block) -> float:
    """Return how loud the block is, in dB below full scale.

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
    """Return whether any sample of it is further from zero than `QUIET_PEAK`."""
    # The reductions themselves: `block.max()` goes through Python code of NumPy's.
    return bool(
        np.maximum.reduce(block) > QUIET_PEAK or np.minimum.reduce(block) < -QUIET_PEAK
    )


def volume_gain(percent: int) -> float:
    """Return the factor for a volume setting: 0 is off, 100 is 1, 50 is -12 dB.

    Source: our choice: a square, because loudness is heard roughly so.
    """
    return (percent / 100.0) ** 2


def db_gain(db: float) -> float:
    """Return the factor for a gain in dB."""
    return float(10.0 ** (db / 20.0))


def faded_in(samples: Samples) -> Samples:
    """Return the samples with their first 2 ms rising from nothing."""
    samples = samples.copy()
    samples[:FADE_FRAMES] *= _RISE
    return samples


def faded_out(samples: Samples) -> Samples:
    """Return the samples with their last 2 ms falling to nothing."""
    samples = samples.copy()
    samples[-FADE_FRAMES:] *= _RISE[::-1]
    return samples


def to_block(samples: Samples) -> Block:
    """Return the samples as int16; what is too loud is clipped, never wrapped."""
    return np.rint(np.clip(samples, -FULL_SCALE, FULL_SCALE - 1)).astype(np.int16)


def interpolated(window: Samples, fraction: float, rate: float, frames: int) -> Samples:
    """Return a stretch read from between the samples.

    Args:
        window: float32, shape (frames + 6,): the sample before the first, then on.
        fraction: 0-1, where the first sample lies behind `window[1]`.
        rate: how much more than 1 lies between the samples read, up to ± 0.005.
        frames: how many to return.

    Returns:
        float32, shape (frames,), not to be changed.

    Source: Catmull-Rom spline, Catmull and Rom 1974; linear interpolation would dull
    speech by 1 dB at 8 kHz, and with a drifting clock it would do so in waves.
    """
    if not fraction and not rate:
        return window[1 : 1 + frames]
    beyond = _RAMP[:frames] * rate
    beyond += fraction
    if 0.0 <= fraction + rate * frames < 1.0:
        # Nearly always, and an index would cost as much as all the rest.
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
    """Turns loud sums down at once and up again slowly, instead of clipping them."""

    def __init__(self) -> None:
        """Start with full gain."""
        self._gain = 1.0

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing was too loud lately."""
        return self._gain >= 1.0

    def apply(self, samples: Samples) -> Samples:
        """Return the samples, none of them beyond `CEILING`.

        Args:
            samples: float32, one block.
        """
        loudest = float(np.abs(samples).max())
        allowed = min(1.0, CEILING / loudest) if loudest > 0.0 else 1.0
        # 1 % per block gives the gain back within a second: pumping is not heard.
        wanted = min(allowed, self._gain * 1.01)
        if wanted >= 1.0 and self._gain >= 1.0:
            return samples
        # Down without a ramp: the loud sample may be the first of the block.
        start = min(self._gain, wanted)
        ramp = np.linspace(start, wanted, len(samples), dtype=np.float32)
        self._gain = wanted
        result: Samples = samples * ramp
        return result


class Resampler:
    """Changes 10 ms at one rate into 10 ms at another, block by block.

    A windowed sinc. The phases repeat with every block because both rates have a whole
    number of frames in 10 ms, so all weights are made once.
    """

    TAPS: Final = 32
    """Half before, half behind: 0.3 ms of delay, flat to 18 kHz at 44.1 kHz."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Prepare the weights.

        Args:
            from_hz: rate of what comes in, a multiple of 100.
            to_hz: rate of what goes out, a multiple of 100.
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
        """Return the next 10 ms.

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
    """Return the weights of samples at these distances, each row's sum 1."""
    width = Resampler.TAPS / 2
    window = np.cos(np.clip(distance / width, -1, 1) * (np.pi / 2)) ** 2
    weights = np.sinc(distance * cutoff * 0.95) * window
    result: Samples = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return result
