"""Speech signals of the benchmark, and their detection at the receiver; pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tests.card.asound import Samples
from tests.card.measure import CLEAR, lag

RATE_HZ = 48_000
BLOCK = RATE_HZ // 100
PEAK = 12_000
"""-9 dBFS: loud speech close to the microphone."""
BAND_HZ = (200.0, 4000.0)
"""Telephone band, which every codec preserves."""
MAX_S = 1.2
"""Longest delay to search for: more than twice that of the slowest client."""
SILENT_PEAK = 33
"""-60 dBFS, the bound below which a block is silent."""
BURST_S = 0.1
"""Too short for noise suppression to adapt to it."""
EVERY_S = 0.4
UNEVEN_S = 0.02
SENTENCE_RANGE_S = (1.5, 3.0)
WORD_S = (0.2, 0.5)
PAUSE_S = (0.4, 0.9)
"""Pause between sentences."""
CLOSURE_S = (0.05, 0.09)
"""Silence before the release of a plosive (p, t, k) at the end of each word."""
RELEASE_S = 0.015
FADE_S = 0.003
FLOOR = 26.0
"""RMS of the noise of the room, -62 dBFS."""


@dataclass(frozen=True, slots=True)
class Speech:
    """Speech signal, with the parts to search for."""

    samples: Samples
    spans_s: tuple[tuple[float, float], ...]
    """Start and end of each part to search for."""


def noise(rng: np.random.Generator, seconds: float) -> Samples:
    """Return band-limited noise that never pauses."""
    count = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(rng.normal(size=count))
    frequency_hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    spectrum[(frequency_hz < BAND_HZ[0]) | (frequency_hz > BAND_HZ[1])] = 0
    wave = np.fft.irfft(spectrum, count)
    result: Samples = (wave / np.abs(wave).max() * PEAK).astype(np.int16)
    return result


def talk(rng: np.random.Generator, seconds: float) -> Samples:
    """Return a voice that never pauses: gliding pitch, breath, four syllables a second.

    Noise suppression passes it, unlike steady noise.
    """
    count = round(seconds * RATE_HZ)
    time_s = np.arange(count) / RATE_HZ
    knots = np.arange(0.0, seconds + 0.5, 0.12)
    pitch_hz = np.interp(time_s, knots, rng.uniform(95.0, 190.0, len(knots)))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    wave = np.zeros(count)
    for harmonic in range(2, 24):
        weight = np.interp(time_s, knots, rng.uniform(0.1, 1.0, len(knots)))
        wave += weight * np.cos(harmonic * phase + rng.uniform(0, 6.28)) / harmonic
    wave += 0.15 * noise(rng, seconds) / PEAK
    wave *= 0.65 + 0.35 * np.cos(2 * np.pi * 4.0 * time_s)
    result: Samples = (wave / np.abs(wave).max() * PEAK).astype(np.int16)
    return result


def conversation(rng: np.random.Generator, seconds: float) -> Samples:
    """Return words that end in plosives, with pauses, above the noise of a room.

    In the pauses a jitter buffer can change its delay without cutting speech.
    """
    count = round(seconds * RATE_HZ)
    voiced, released = np.zeros(count), np.zeros(count)
    at_s = 0.0
    while at_s < seconds:
        until_s = at_s + rng.uniform(*SENTENCE_RANGE_S)
        while at_s < until_s:
            word_s, closure_s = rng.uniform(*WORD_S), rng.uniform(*CLOSURE_S)
            voiced[_span(at_s, word_s)] = 1.0
            at_s += word_s + closure_s
            released[_span(at_s, RELEASE_S)] = 0.5
            at_s += 2 * RELEASE_S
        at_s += rng.uniform(*PAUSE_S)
    fade = np.hanning(round(2 * FADE_S * RATE_HZ))
    voiced = np.convolve(voiced, fade / fade.sum(), "same")
    wave = voiced * talk(rng, seconds) + released * noise(rng, seconds)
    wave += rng.normal(0.0, FLOOR, count)
    result: Samples = wave.round().astype(np.int16)
    return result


def word(rng: np.random.Generator, voice_s: float, closure_s: float) -> Samples:
    """Return a word that begins and ends with a plosive, as in "talk".

    Args:
        rng: another seed is another word.
        voice_s: length of the first plosive and the voice.
        closure_s: silence after it, before the last plosive.
    """
    seconds = voice_s + closure_s + RELEASE_S
    loudness = np.zeros(round(seconds * RATE_HZ))
    loudness[_span(RELEASE_S, voice_s - RELEASE_S)] = 1.0
    fade = np.hanning(round(2 * FADE_S * RATE_HZ))
    voiced = np.convolve(loudness, fade / fade.sum(), "same")
    released = np.zeros(len(voiced))
    for at_s in (0.0, voice_s + closure_s):
        released[_span(at_s, RELEASE_S)] = 0.5
    wave = voiced * talk(rng, seconds) + released * noise(rng, seconds)
    result: Samples = wave.round().clip(-PEAK, PEAK).astype(np.int16)
    return result


def _span(start_s: float, seconds: float) -> slice:
    first = round(start_s * RATE_HZ)
    return slice(first, first + round(seconds * RATE_HZ))


def bursts(rng: np.random.Generator, since_s: float, until_s: float) -> Speech:
    """Return noise bursts with pauses, at irregular moments unrelated to blocks.

    Args:
        rng: each direction needs other bursts.
        since_s: silence before the first, part of the result.
        until_s: length of the whole.
    """
    samples = np.zeros(round(until_s * RATE_HZ), np.int16)
    spans = []
    for start_s in np.arange(since_s, until_s - BURST_S - UNEVEN_S, EVERY_S):
        first = round((start_s + rng.uniform(0.0, UNEVEN_S)) * RATE_HZ)
        burst = noise(rng, BURST_S)
        samples[first : first + len(burst)] = burst
        spans.append((first / RATE_HZ, first / RATE_HZ + BURST_S))
    return Speech(samples, tuple(spans))


def delays_ms(speech: Speech, heard: Samples) -> list[float]:
    """Return the delay of each part; NaN if it never arrived.

    Args:
        speech: spoken signal.
        heard: received samples, from the same moment on, `MAX_S` longer.
    """
    return [delay_ms(*_cut(speech.samples, heard, span)) for span in speech.spans_s]


def delay_ms(said: Samples, heard: Samples, most_s: float = MAX_S) -> float:
    """Return the delay of `heard` against `said`; NaN if they do not match."""
    frames, likeness = lag(said, heard, round(most_s * RATE_HZ))
    return frames * 1000.0 / RATE_HZ if likeness >= 2 * CLEAR else float("nan")


def windows(length_s: float, window_s: float, every_s: float) -> Iterator[float]:
    """Yield the starts of windows of a continuous sound, in seconds."""
    yield from np.arange(0.0, length_s - window_s, every_s).tolist()


def silent_percent(heard: Samples) -> float:
    """Return the share of silent 10 ms blocks in a sound without pauses."""
    whole = heard[: len(heard) // BLOCK * BLOCK].reshape(-1, BLOCK)
    if not len(whole):
        return float("nan")
    peaks = np.abs(whole.astype(np.int32)).max(axis=1)
    return 100.0 * float(np.mean(peaks < SILENT_PEAK))


def medians(groups: Sequence[Sequence[float]]) -> list[float]:
    """Return the median of each group that has one."""
    known = [[x for x in group if not np.isnan(x)] for group in groups]
    return [float(np.median(group)) for group in known if group]


def _cut(
    samples: Samples, heard: Samples, span_s: tuple[float, float]
) -> tuple[Samples, Samples]:
    first, last = (round(edge_s * RATE_HZ) for edge_s in span_s)
    return samples[first:last], heard[first : last + round(MAX_S * RATE_HZ)]
