"""Comparison of what was heard with what was said, piece by piece; pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.bench.speech_signal import RATE_HZ, SILENT_PEAK
from tests.card.asound import Samples
from tests.card.measure import lag

REDUCED_HZ = 16_000
"""Rate at which is compared; the speech ends at 4 kHz."""
MAX_S = 3.0
"""Longest delay to search for; buffers without a bound have more than a second."""
FRAME_S = 0.02
"""Length of the pieces that are judged: one packet."""
WINDOW_S = 0.2
"""Length of the windows in which the delay is searched."""
WINDOW_EVERY_S = 0.1
SPEEDS = (1.0, 0.9975, 1.0025, 0.995, 1.005)
"""Speeds at which a window is searched. A jitter buffer that corrects its delay plays
up to 0.5 % faster or slower, which nobody hears, but then the ends of a window are a
millisecond apart, and it is like another place of the same vowel."""
VOICED = 0.6
"""Share of a window that must be speech."""
SPEECH_RMS = 300.0
"""-41 dBFS; the noise of the room is 20 dB below."""
SAME = 0.8
"""Correlation above which a window was found. A codec leaves 0.9 and more; other speech
has at most 0.78 over all delays, in one of a thousand windows."""
SURE = 0.97
"""Correlation from which no other speed is tried."""
AS_SAID = 0.7
"""The same for a piece, at the delay that is known by then."""
THERE = 0.3
"""Share of the level at which a piece was heard: -10 dB."""
NEAR_S = 0.3
"""Time around a piece from which delays are tried: a jitter buffer changes them."""
SLACK_S = 0.002
BLOCK_S = 0.01
INSIDE_BLOCKS = 2
"""Blocks of speech on both sides of a block that is surely within speech, whatever the
delay does in its window."""
BEFORE_S = 5.0
"""Time before an event whose median delay is the usual one."""
USUAL_MS = 40.0
"""Two packets more than the usual delay are usual: the jitter of a bad link."""
STEADY_S = 1.0
"""Time for which the delay must stay usual to be back."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """What one end heard of the other's speech."""

    at_s: tuple[float, ...]
    """Starts of the windows that contain speech."""
    delay_ms: tuple[float, ...]
    """Their delays; NaN if not found."""
    lost_percent: float
    """Share of the speech that was not heard as it was said: concealed or silent."""


def judge(said: Samples, heard: Samples, span_s: tuple[float, float]) -> Hearing:
    """Compare the part of the speech that lies in the span.

    Args:
        said: spoken samples.
        heard: received samples from the same moment on, `MAX_S` longer.
        span_s: start and end of the part in `said`.
    """
    spoken, received = _reduced(said), _reduced(heard)
    speech = _is_speech(spoken)
    starts = _starts(span_s, WINDOW_S, WINDOW_EVERY_S)
    times = [x for x in starts if _share(speech, x) >= VOICED]
    delays = [_delay_s(spoken, received, x) for x in times]
    lost = [
        not _is_as_said(spoken, received, at_s, _near(times, delays, at_s))
        for at_s in _starts(span_s, FRAME_S, FRAME_S)
        if speech[round(at_s / FRAME_S)]
    ]
    share = 100.0 * float(np.mean(lost)) if lost else float("nan")
    return Hearing(tuple(times), tuple(1000.0 * x for x in delays), share)


def silent_percents(said: Samples, heard: Samples, hearing: Hearing) -> list[float]:
    """Return the share of silent blocks within the speech of each window.

    Args:
        said: spoken samples.
        heard: received samples, as in `judge`.
        hearing: result of `judge` for them.

    Returns:
        NaN for a window whose delay is not known, or without a block within speech.
    """
    spoken, received = _reduced(said), _reduced(heard)
    size = round(BLOCK_S * REDUCED_HZ)
    blocks = spoken[: len(spoken) // size * size].reshape(-1, size)
    is_loud = _energy(blocks) > size * SPEECH_RMS**2
    around = np.ones(2 * INSIDE_BLOCKS + 1)
    is_inside = np.convolve(is_loud, around, "same") > len(around) - 0.5
    result = []
    for at_s, ms in zip(hearing.at_s, hearing.delay_ms, strict=True):
        first = round(at_s / BLOCK_S)
        wanted = is_inside[first : first + round(WINDOW_S / BLOCK_S)]
        if np.isnan(ms) or not wanted.any():
            result.append(float("nan"))
            continue
        start = first * size + round(ms * REDUCED_HZ / 1000)
        found = received[start : start + len(wanted) * size].reshape(-1, size)
        peaks = np.abs(found.astype(np.int32)).max(axis=1)
        result.append(100.0 * float(np.mean(peaks[wanted] < SILENT_PEAK)))
    return result


def back_s(
    hearing: Hearing,
    start_s: float,
    end_s: float,
    until_s: float,
    usual_ms: float = USUAL_MS,
) -> float:
    """Return the time from an event's end until the delay is as it was before.

    Args:
        hearing: delays over time.
        start_s: start of the event.
        end_s: its end.
        until_s: start of the next event, or the end of the call.
        usual_ms: by how much the delay may be longer than before.

    Returns:
        NaN if the delay did not come back.
    """
    known = [
        (at_s, ms)
        for at_s, ms in zip(hearing.at_s, hearing.delay_ms, strict=True)
        if not np.isnan(ms)
    ]
    before = [ms for at_s, ms in known if start_s - BEFORE_S <= at_s < start_s - 0.5]
    after = [(at_s, ms) for at_s, ms in known if start_s <= at_s < until_s]
    if not before:
        return float("nan")
    most_ms = float(np.median(before)) + usual_ms
    for at_s, _ in after:
        steady = [ms for x, ms in after if at_s <= x < at_s + STEADY_S]
        if at_s >= end_s and max(steady) <= most_ms:
            return at_s - end_s
    return float("nan")


def _reduced(samples: Samples) -> Samples:
    factor = RATE_HZ // REDUCED_HZ
    whole = samples[: len(samples) // factor * factor].astype(np.float64)
    reduced: Samples = whole.reshape(-1, factor).mean(axis=1).astype(np.int16)
    return reduced


def _is_speech(spoken: Samples) -> NDArray[np.bool_]:
    """Return for each piece whether somebody speaks."""
    frame = round(FRAME_S * REDUCED_HZ)
    pieces = spoken[: len(spoken) // frame * frame].reshape(-1, frame)
    speaks: NDArray[np.bool_] = _energy(pieces) > frame * SPEECH_RMS**2
    return speaks


def _share(speech: NDArray[np.bool_], at_s: float) -> float:
    first = round(at_s / FRAME_S)
    return float(speech[first : first + round(WINDOW_S / FRAME_S)].mean())


def _starts(
    span_s: tuple[float, float], length_s: float, every_s: float
) -> list[float]:
    """Return starts in steps of whole pieces."""
    count = int((span_s[1] - span_s[0] - length_s) / every_s + 1e-6) + 1
    first_s = round(span_s[0] / FRAME_S) * FRAME_S
    return [first_s + n * every_s for n in range(max(0, count))]


def _delay_s(spoken: Samples, received: Samples, at_s: float) -> float:
    """Return the delay of the middle of a window; NaN: it was not found."""
    first, size = round(at_s * REDUCED_HZ), round(WINDOW_S * REDUCED_HZ)
    said = spoken[first : first + size]
    found = []
    for speed in SPEEDS:
        played = _played(said, speed)
        frames, likeness = lag(played, received[first:], round(MAX_S * REDUCED_HZ))
        found.append((likeness, frames + (len(played) - size) / 2))
        if likeness >= SURE:
            break
    likeness, delay = max(found)
    return delay / REDUCED_HZ if likeness >= SAME else float("nan")


def _played(said: Samples, speed: float) -> Samples:
    """Return the samples as they are played at another speed."""
    at = np.arange(0.0, len(said) - 1, speed)
    played: Samples = np.interp(at, np.arange(len(said)), said).astype(np.int16)
    return played


def _near(
    times: Sequence[float], delays: Sequence[float], at_s: float
) -> Iterator[float]:
    """Yield the different delays found around this moment."""
    tried: list[float] = []
    for time_s, delay_s in zip(times, delays, strict=True):
        is_near = abs(time_s + WINDOW_S / 2 - at_s) <= NEAR_S
        is_new = all(abs(delay_s - x) > SLACK_S / 2 for x in tried)
        if is_near and is_new and not np.isnan(delay_s):
            tried.append(delay_s)
            yield delay_s


def _is_as_said(
    spoken: Samples, received: Samples, at_s: float, delays: Iterator[float]
) -> bool:
    first = round(at_s * REDUCED_HZ)
    said = spoken[first : first + round(FRAME_S * REDUCED_HZ)]
    slack = round(SLACK_S * REDUCED_HZ)
    for delay_s in delays:
        start = max(0, first + round(delay_s * REDUCED_HZ) - slack)
        heard = received[start : start + len(said) + 2 * slack]
        late, likeness = lag(said, heard, 2 * slack)
        piece = heard[late : late + len(said)]
        if likeness >= AS_SAID and _energy(piece) >= THERE**2 * _energy(said):
            return True
    return False


def _energy(samples: Samples) -> NDArray[np.float64]:
    """Return the sum of the squares along the last axis."""
    energy: NDArray[np.float64] = (samples.astype(np.float64) ** 2).sum(axis=-1)
    return energy
