"""Box with a talk button that is pressed, and loss of the speech around a press."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tests.bench import speech_signal
from tests.bench.client import Client
from tests.bench.client_start import Ours, Page, Seat
from tests.bench.speech_signal import RATE_HZ
from tests.card.asound import Samples
from tests.card.measure import AUDIBLE, Burst, bursts, lag

PART_S = 0.1
"""Length of the parts that are matched one by one: the jitter buffer of a new receiver
stretches the first talk and compresses the second, by up to 30 ms, without loss."""
NEAR_S = 0.04
"""Tolerance between the delay of a part and of the whole talk."""
SAME = 0.55
"""Correlation above which a plosive was found. A codec and noise suppression leave 0.8
and more; other noise of its band has at most 0.47 over all delays."""


@dataclass(frozen=True, slots=True)
class Press:
    """One press of the button and the speech around it, in seconds of the card."""

    from_s: float
    """Start of speech."""
    to_s: float
    """End of speech."""
    down_s: float
    """Actual time of the press."""
    up_s: float


class Pressed:
    """Box with a button that can be pressed and a page to query."""

    def __init__(self, *, is_on: bool) -> None:
        self._kind = Ours(has_processing=is_on, mode="hybrid", is_pressed=True)
        self.page: Page | None = None

    async def start(self, seat: Seat) -> Client:
        self.page = Page(seat.folder)
        client = await self._kind.start(seat)
        await client.says("page served")
        return client


async def move(box: Client, word: str) -> float:
    """Move the button and return the actual time, in seconds of the card."""
    told_s = box.lines[-1].at_s
    await box.tell(word)
    await box.says(f"{word} at_ns=", since_s=told_s)
    said = next(x.text for x in reversed(box.lines) if x.text.startswith(word))
    return (int(said.partition("=")[2]) - box.card.epoch_ns) / 1e9


def lost(
    said: Samples, heard: Samples, span_s: tuple[float, float], near_s: float = NEAR_S
) -> Burst:
    """Return the loss of a talk whose delay may change meanwhile.

    Args:
        said: spoken samples.
        heard: received samples, from the same moment on.
        span_s: start and end of the talk in both.
        near_s: largest change of the delay within it.
    """
    (whole,) = bursts(said, heard, [span_s], most_s=speech_signal.MAX_S)
    if np.isnan(whole.delay_s):
        return whole
    count = max(1, round((span_s[1] - span_s[0]) / PART_S))
    edges_s = np.linspace(*span_s, count + 1).tolist()
    soonest = heard[max(0, round((whole.delay_s - near_s) * RATE_HZ)) :]
    parts = bursts(said, soonest, pairwise(edges_s), most_s=2 * near_s)
    missing_ms = sum(x.lost_start_ms + x.lost_within_ms + x.lost_end_ms for x in parts)
    start_ms, end_ms = parts[0].lost_start_ms, parts[-1].lost_end_ms
    return replace(
        whole,
        lost_start_ms=start_ms,
        lost_end_ms=end_ms,
        lost_within_ms=missing_ms - start_ms - end_ms,
    )


def lost_word(
    said: Samples, heard: Samples, voice_s: tuple[float, float], near_s: float
) -> Burst:
    """Return the loss of a word with a plosive at its end, after a closure.

    The plosive is searched for itself: in the closure a jitter buffer changes its
    delay. If it is missing, its length is lost at the end.

    Args:
        said: `speech_signal.word`.
        heard: received samples, from the same moment on.
        voice_s: start and end of the first plosive and the voice.
        near_s: largest change of the delay within the word.
    """
    voice = lost(said, heard, voice_s, near_s)
    if np.isnan(voice.delay_s):
        return voice
    first, last = (round(x * RATE_HZ) for x in voice_s)
    later = round(voice.delay_s * RATE_HZ)
    gain = _rms(heard[first + later : last + later]) / _rms(said[first:last])
    plosive = said[-round(speech_signal.RELEASE_S * RATE_HZ) :]
    near = round(near_s * RATE_HZ)
    # Not in the end of the voice, which a receiver that misses a packet repeats.
    since = max(last + later, len(said) - len(plosive) + later - near)
    around = heard[since : len(said) + later + near]
    at, likeness = lag(plosive, around, len(around) - len(plosive))
    found = _milliseconds(around[at : at + len(plosive)]) if likeness >= SAME else 0.0
    is_there = found >= AUDIBLE * gain * _milliseconds(plosive)
    missing_ms = float(np.count_nonzero(~is_there))
    return replace(voice, lost_end_ms=voice.lost_end_ms + missing_ms)


def _rms(samples: Samples) -> float:
    return float(np.sqrt((samples.astype(np.float64) ** 2).mean()))


def _milliseconds(samples: Samples) -> NDArray[np.float64]:
    """Return the level of each millisecond."""
    parts = samples.astype(np.float64).reshape(-1, RATE_HZ // 1000)
    level: NDArray[np.float64] = np.sqrt((parts**2).mean(axis=1))
    return level
