"""Signal processing on blocks of samples: levels and meter, fades, limiter, resampler.

A block is 10 ms: int16, shape (480,), 48 kHz, mono. Where sums could overflow, samples
are float32 in int16's range (full scale 32768).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.core.events import LevelsMeasured
from appliance.pcm import BLOCK_FRAMES, Block
from appliance.ports import Post

FULL_SCALE: Final = 32_768.0
SILENCE_DBFS: Final = -96
"""Lower end of the dynamic range of 16 bits."""
METER_UPDATE_S: Final = 0.2
METER_MEASURE_S: Final = 0.05
"""Shortest time between two measurements; a syllable lasts longer than 100 ms."""
STEP_DB: Final = 3
HOLD_DB: Final = 2.5
"""A smaller difference to the displayed step changes nothing; beside a border between
two steps, room noise would redraw page and screen five times a second."""
FLOOR_DBFS: Final = -60
"""Lower levels are shown as silence, because noise would redraw page and screen."""
VOICE_DBFS: Final = -45.0
FADE_FRAMES: Final = 96
"""2 ms: too short to shorten a syllable audibly, long enough not to click."""
SILENT_PEAK: Final = 32
"""-60 dBFS: a peak up to this counts as silence."""
CEILING: Final = 32_000.0
"""Peak level that the limiter enforces, with a reserve for a resampler's overshoot."""
ATTACK_FRAMES: Final = 48
"""1 ms: too slow to click."""
RELEASE: Final = 1.01
"""Per block. A release of about a second in all is not heard as pumping."""
WINDOW_FRAMES: Final = BLOCK_FRAMES + 6
"""Samples for a block at up to 0.5 % more than the nominal rate, with the spline's."""
RESERVE_FRAMES: Final = 16
"""Frames that a resampler keeps ready: soxr does not return equally many each time."""

Samples = NDArray[np.float32]

RateConversion = Callable[[Block], Block]
"""Converts 10 ms from one sample rate to another."""

_RAMP: Final[Samples] = np.arange(BLOCK_FRAMES, dtype=np.float32)
_RISE: Final[Samples] = np.linspace(0, 1, FADE_FRAMES, dtype=np.float32)


def level_dbfs(block: Block) -> float:
    """Return the RMS level of any number of frames, `SILENCE_DBFS` to 0.0.

    Full scale is a square wave, so that 0 dBFS is the true ceiling.
    """
    # float32 all through: its dot product is the fastest sum of squares that numpy has.
    samples = block.astype(np.float32)
    power = float(samples @ samples) / (len(samples) * FULL_SCALE * FULL_SCALE)
    if power <= 0.0:
        return float(SILENCE_DBFS)
    return max(float(SILENCE_DBFS), 10.0 * float(np.log10(power)))


def peak(block: Block | Samples) -> float:
    """Return the largest absolute value of the block's samples."""
    # The reductions themselves: `block.max()` goes through Python code of NumPy's.
    return max(float(np.maximum.reduce(block)), -float(np.minimum.reduce(block)))


def volume_gain(percent: int) -> float:
    """Return the factor for a volume setting; a square approximates loudness."""
    return (percent / 100.0) ** 2


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


def cut(samples: Samples) -> Samples:
    """Return silence after a fade of 2 ms."""
    samples = samples.copy()
    samples[:FADE_FRAMES] *= _RISE[::-1]
    samples[FADE_FRAMES:] = 0.0
    return samples


def to_block(samples: Samples) -> Block:
    """Return the samples as int16, clipped and never wrapped around."""
    return np.rint(np.clip(samples, -FULL_SCALE, FULL_SCALE - 1)).astype(np.int16)


def interpolated(window: Samples, fraction: float, rate: float) -> Samples:
    """Return a block of samples interpolated between those of the window.

    Args:
        window: `WINDOW_FRAMES` samples, from one before the first on.
        fraction: 0-1, offset of the first sample from `window[1]`.
        rate: deviation of the step between samples from 1, up to ± 0.005.

    Source: Catmull-Rom spline; linear interpolation would attenuate 8 kHz by 1 dB.
    """
    if not fraction and not rate:
        return window[1 : 1 + BLOCK_FRAMES]
    t = _RAMP * rate + fraction
    # Usually in one interval; fancy indexing takes twice the time.
    rows = [window[n : n + BLOCK_FRAMES] for n in range(4)]
    if not 0.0 <= t[-1] < 1.0:
        whole = np.floor(t)
        first = np.arange(BLOCK_FRAMES) + whole.astype(np.intp)
        rows = [window[first + n] for n in range(4)]
        t -= whole
    a, b, c, d = rows
    cubic = 3 * (b - c) + d - a
    square = 2 * a - 5 * b + 4 * c - d
    spline: Samples = b + t / 2 * (c - a + t * (square + t * cubic))
    return spline


class Meter:
    """Level meter, updated five times a second, with a voice detector."""

    def __init__(self, post: Post, speaker_dbfs: Callable[[], float]) -> None:
        """Start with silence; `post` takes `LevelsMeasured` when a level changes."""
        self._post = post
        self._speaker_dbfs = speaker_dbfs
        self._loudest_dbfs: float = SILENCE_DBFS
        self._measured_at_s = self._updated_at_s = 0.0
        self._posted = LevelsMeasured(SILENCE_DBFS, SILENCE_DBFS, is_voice=False)

    @property
    def is_voice(self) -> bool:
        """Whether the microphone's level is that of a voice."""
        return self._posted.is_voice

    def take(self, microphone: Block, now_s: float) -> None:
        """Take a captured block."""
        if now_s - self._measured_at_s >= METER_MEASURE_S:
            self._measured_at_s = now_s
            self._loudest_dbfs = max(self._loudest_dbfs, level_dbfs(microphone))

    def update(self, now_s: float) -> None:
        """Post the levels if a change is due; without captured blocks it is silent."""
        if now_s - self._updated_at_s < METER_UPDATE_S:
            return
        levels = LevelsMeasured(
            _displayed(self._loudest_dbfs, self._posted.microphone_dbfs),
            _displayed(self._speaker_dbfs(), self._posted.speaker_dbfs),
            is_voice=self._loudest_dbfs > VOICE_DBFS,
        )
        self._updated_at_s = now_s
        self._loudest_dbfs = SILENCE_DBFS
        if levels != self._posted:
            self._posted = levels
            self._post(levels)


def _displayed(dbfs: float, before_dbfs: int) -> int:
    """Return the level rounded to the displayed steps."""
    if abs(dbfs - before_dbfs) <= HOLD_DB:
        return before_dbfs
    return SILENCE_DBFS if dbfs < FLOOR_DBFS else STEP_DB * round(dbfs / STEP_DB)


class Limiter:
    """Limiter with a ramped attack and a slow release, without a step of the gain.

    Only within the attack the gain may still be too high; there peaks are clipped.
    """

    def __init__(self) -> None:
        self.gain = 1.0
        """Gain at the end of the last block; in silence it may be set to 1 at once."""

    def apply(self, samples: Samples) -> Samples:
        """Return a block of samples, none of them beyond `CEILING`."""
        if self.gain >= 1.0 and peak(samples) <= CEILING:
            return samples
        limited: Samples = np.clip(samples * self.gains(samples), -CEILING, CEILING)
        return limited

    def gains(self, samples: Samples) -> Samples:
        """Return the gain for each sample of a block."""
        allowed = min(1.0, CEILING / max(peak(samples), 1.0))
        before, self.gain = self.gain, min(allowed, self.gain * RELEASE)
        ramp = ATTACK_FRAMES if self.gain < before else len(samples)
        gains = np.full(len(samples), self.gain, np.float32)
        gains[:ramp] = np.linspace(before, self.gain, ramp)
        return gains


def resampler(from_hz: int, to_hz: int) -> RateConversion | None:
    """Return the conversion between two rates; None if they are equal."""
    return None if from_hz == to_hz else Resampler(from_hz, to_hz).apply


class Resampler:
    """Converter of a stream of 10 ms blocks between two rates.

    soxr's variable-rate engine, because the others collect up to 40 ms of sound; its
    delay is 5 ms at 44.1 kHz and 15 ms at 16 kHz.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Start with silence; both rates are multiples of 100."""
        # Imported where it is needed: it takes 3 MB.
        import soxr

        stream = soxr.ResampleStream(from_hz, to_hz, 1, "int16", "HQ", vr=True)
        self._convert: RateConversion = stream.resample_chunk
        self._frames = to_hz // 100
        self._ready: Block = np.zeros(0, np.int16)
        self._has_begun = False

    def apply(self, block: Block) -> Block:
        """Return the next 10 ms at the output rate; silence at first."""
        self._ready = np.concatenate((self._ready, self._convert(block)))
        usable = len(self._ready) - (0 if self._has_begun else RESERVE_FRAMES)
        frames = min(max(usable, 0), self._frames)
        self._has_begun = frames == self._frames
        block, self._ready = np.split(self._ready, [frames])
        # Silence before the first sound only.
        return block if self._has_begun else np.pad(block, (self._frames - frames, 0))
