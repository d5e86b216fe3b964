"""How long speech was on its way and how much of it was lost; pure.

Every sample has a time on the machine's monotonic clock, which all of its processes
share; a delay is the difference between two of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.audio.dsp import RATE_HZ
from appliance.demo.phrase import Samples

CLEAR: Final = 0.4
"""Likeness from which on two pieces are the same; a codec leaves 0.5 and more."""
PIECE_S: Final = 0.4
"""A receiver stretches and shortens speech to steer its delay, so that each piece is
looked for on its own."""
AROUND_S: Final = 0.25
"""How far a piece may be from where the whole phrase is."""
FEWEST: Final = 0.5
"""Share of the pieces that have to be found."""
LOUD: Final = 0.3
"""Share of the mean level above which a millisecond has to be heard."""
AUDIBLE: Final = 0.1
"""Share of the usual level at which speech counts as there, -20 dB: codec, noise
suppression and gain control change levels by less, a gap by more."""
SPARE_S: Final = 1.0
"""Silence put around what was heard, so that a phrase that was cut is found too."""

TimedBlock: TypeAlias = tuple[float, Samples]
"""When its first sample was there, and the block."""
Wave: TypeAlias = NDArray[np.float64]
Levels: TypeAlias = NDArray[np.float64]
"""Root mean square of each millisecond."""

_MS: Final = RATE_HZ // 1000


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples of which the first was there at `at_s`."""

    at_s: float
    samples: Samples

    @property
    def ends_s(self) -> float:
        """When the last one is over."""
        return self.at_s + len(self.samples) / RATE_HZ


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a phrase on its way."""

    delay_s: float
    """The median of its pieces."""
    likeness: float
    """As `delay_s`; 1.0: the same waveform, perhaps louder; 0.0: something else."""
    lost_start_ms: int
    lost_end_ms: int
    lost_within_ms: int
    """Gaps between the first and the last sound that was heard."""


def joined(blocks: Sequence[TimedBlock]) -> Sound:
    """Return blocks that follow each other as one sound.

    Its time is the one that most blocks agree on: single ones may have been seen late.

    Args:
        blocks: at least one.
    """
    lengths = np.array([len(block) for _, block in blocks])
    before_s = (np.cumsum(lengths) - lengths) / RATE_HZ
    starts_s = np.array([at_s for at_s, _ in blocks]) - before_s
    samples = np.concatenate([block for _, block in blocks])
    return Sound(float(np.median(starts_s)), samples)


def cut_out(sound: Sound, from_s: float, to_s: float) -> Sound:
    """Return the stretch between two moments, as far as there is one."""
    first = min(max(0, round((from_s - sound.at_s) * RATE_HZ)), len(sound.samples))
    last = max(first, round((to_s - sound.at_s) * RATE_HZ))
    at_s = sound.at_s + first / RATE_HZ
    return Sound(at_s, sound.samples[first:last])


def find(said: Sound, heard: Sound) -> Found | None:
    """Return where the phrase is in what was heard; None if it is not.

    Args:
        said: not silent throughout.
        heard: holds the phrase about once.

    Source: our choice: the course of loudness tells where the phrase is, the normalised
    cross-correlation of each piece how late that piece is.
    """
    spare = np.zeros(round(SPARE_S * RATE_HZ))
    x = said.samples.astype(np.float64)
    y = np.concatenate((spare, heard.samples.astype(np.float64), spare))
    y = np.pad(y, (0, max(0, len(x) - len(y))))
    place, _ = _lag(_course(x), _course(y))
    pieces = _pieces(x, y, place * _MS)
    clear = [piece for piece in pieces if piece.likeness >= CLEAR]
    if len(clear) < FEWEST * len(pieces):
        return None
    lag = float(np.median([piece.lag for piece in clear]))
    return Found(
        heard.at_s - SPARE_S + lag / RATE_HZ - said.at_s,
        float(np.median([piece.likeness for piece in clear])),
        *_losses(x, _aligned(y, pieces, clear)),
    )


@dataclass(frozen=True, slots=True)
class _Piece:
    first: int
    """Where it begins in the phrase, in samples."""
    length: int
    lag: int
    """How much further on it is in what was heard."""
    likeness: float


def _pieces(x: Wave, y: Wave, place: int) -> list[_Piece]:
    """Return where each piece of the phrase is, near to where the phrase is."""
    length, around = round(PIECE_S * RATE_HZ), round(AROUND_S * RATE_HZ)
    pieces = []
    for first in range(0, max(1, len(x) - length // 2), length):
        piece = x[first : first + length]
        start = max(0, first + place - around)
        stretch = y[start : first + place + len(piece) + around]
        lag, likeness = _lag(piece, stretch)
        pieces.append(_Piece(first, len(piece), start + lag - first, likeness))
    return pieces


def _aligned(y: Wave, pieces: list[_Piece], clear: list[_Piece]) -> Wave:
    """Return what was heard in the phrase's own time; unclear pieces as their next."""
    parts = []
    for piece in pieces:
        lag = min(clear, key=lambda other: abs(other.first - piece.first)).lag
        start = max(0, piece.first + lag)
        part = y[start : start + piece.length]
        parts.append(np.pad(part, (0, piece.length - len(part))))
    return np.concatenate(parts)


def _course(samples: Wave) -> Levels:
    """Return the course of loudness around its mean, one value per millisecond."""
    levels = np.sqrt(_levels(samples))
    course: Levels = levels - levels.mean()
    return course


def _lag(x: Wave, y: Wave) -> tuple[int, float]:
    """Return where in `y` the whole of `x` fits best, and how alike they are there."""
    y = np.pad(y, (0, max(0, len(x) - len(y))))
    size = 1 << (len(x) + len(y) - 1).bit_length()
    product = np.conj(np.fft.rfft(x, size)) * np.fft.rfft(y, size)
    places = len(y) - len(x) + 1
    match = np.abs(np.fft.irfft(product, size)[:places])
    power = np.concatenate(([0.0], np.cumsum(y * y)))
    under = power[len(x) :] - power[:places]
    # A part of the usual power at least: a stretch almost silent is like anything.
    floor = max(1e-9, 0.1 * float(under.max()))
    norm = np.sqrt(max(1e-9, float(x @ x)) * np.maximum(under, floor))
    likeness = match / norm
    best = int(np.argmax(likeness))
    return best, float(likeness[best])


def _losses(said: Wave, got: Wave) -> tuple[int, int, int]:
    """Return the ms of loud speech that are missing at the start, end and between.

    Seen in the level, not in the waveform, so that a codec does no harm.
    """
    wanted, level = _levels(said[: len(got)]), _levels(got)
    loud = np.flatnonzero(wanted > LOUD * wanted.mean())
    gain = float(np.median(level[loud] / wanted[loud]))
    heard = loud[level[loud] > AUDIBLE * gain * wanted[loud]]
    if not len(heard):
        return len(loud), 0, 0
    inside = np.count_nonzero((loud > heard[0]) & (loud < heard[-1]))
    lost_within = inside - max(0, len(heard) - 2)
    return int(heard[0] - loud[0]), int(loud[-1] - heard[-1]), int(lost_within)


def _levels(samples: Wave) -> Levels:
    squares = samples[: len(samples) // _MS * _MS] ** 2
    power = squares.reshape(-1, _MS).mean(axis=1)
    # Of the 5 ms around it: a voice's single pulses are further apart than one.
    window = np.ones(min(5, len(power)))
    smooth: Levels = np.sqrt(np.convolve(power, window / len(window), "same"))
    return smooth
