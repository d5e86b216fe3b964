"""Mixer of the remote participants' sound and the earcons, for playback."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from heapq import nlargest
from typing import Final, TypeVar

import numpy as np

from appliance.audio.driver import IdleWindow
from appliance.audio.dsp import (
    CEILING,
    SILENCE_DBFS,
    Limiter,
    Samples,
    cut,
    faded_in,
    level_dbfs,
    to_block,
    volume_gain,
)
from appliance.audio.jitter_buffer import READ_S, JitterBuffer
from appliance.pcm import BLOCK_FRAMES, Block

MAX_TALKERS: Final = 16
"""Largest number of talkers mixed at the same time, the loudest ones; a Raspberry Pi
Zero 2 W has no CPU time for more. Silent ones do not count."""
MAX_EARCONS: Final = 4
"""Earcons that may be requested within one block."""
EARCON_LATEST_S: Final = 2.0
"""An earcon that could not begin for so long, because no speaker was open, is dropped.
Our choice: the one for the joined room waits for a card that is being opened."""
LOUDNESS_DECAY: Final = 0.98
"""Per block of 10 ms: halved after 0.35 s, longer than a pause between words."""
LIMITER_FREE_GAIN: Final = 0.75
"""Up to this gain a single talker cannot reach the limiter, even where the spline
overshoots by a quarter: half of the work is saved in most calls."""


_T = TypeVar("_T")


class Mixer:
    """Lock-free mixer with one jitter buffer per talker.

    Thread: `next` the card's; `end_idle`, `play`, `drop_earcons` and what `add` returns
    any; `add`, `remove`, `mute` and `is_sounding` the loop's.
    """

    def __init__(
        self,
        *,
        is_half_duplex: bool = False,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start without talkers; half duplex mutes them while the gate is open."""
        self._now_s = now_s
        self.is_half_duplex = is_half_duplex
        self.idle_window = IdleWindow()
        """Idle window of the stream that captures, or of one that does both."""
        self.playback_window = IdleWindow()
        """Idle window of a stream that only plays."""
        self._jitter_buffers: dict[str, JitterBuffer] = {}
        # Replaced as a whole, because the card's thread reads it without a lock.
        self._talkers: tuple[JitterBuffer, ...] = ()
        self._read_at_s = float("-inf")
        # New earcons wait here until the card's thread takes them, each with the latest
        # time to begin.
        self._requested: deque[tuple[float, Samples]] = deque(maxlen=MAX_EARCONS)
        self._earcon: Samples = np.zeros(0, np.float32)
        # Talkers who have left, whose end is faded out with the next block.
        self._leaving: deque[JitterBuffer] = deque(maxlen=MAX_TALKERS)
        self._limiter = Limiter()
        self._gain = np.float32(1.0)
        self._past_underruns = 0
        self._past_overruns = 0
        self.is_muted = False
        """Whether talkers are muted, in half duplex while the gate is open."""
        self.played: Block | None = None
        """Samples passed to the card last; None for silence."""
        self.reference: Block | None = None
        """Talkers' share of `played`, for the echo canceller.

        Without the earcons: the canceller would take the first syllable after the
        permit tone for its echo and remove up to 66 ms of it (measured).
        """

    def end_idle(self) -> None:
        """End the idle windows, after writing sound for the next period to process."""
        self.idle_window.end()
        self.playback_window.end()

    def add(self, talker: str) -> Callable[[Block], None]:
        """Add a talker of a unique name; return the function that takes its blocks."""
        jitter_buffer = JitterBuffer()
        self._jitter_buffers[talker] = jitter_buffer
        self._talkers = tuple(self._jitter_buffers.values())
        self.end_idle()

        def write(block: Block) -> None:
            is_heard = jitter_buffer.write(block, self._now_s())
            if len(self._talkers) > MAX_TALKERS:
                peak = float(np.abs(block.astype(np.int32)).max()) if is_heard else 0.0
                before = jitter_buffer.loudness * LOUDNESS_DECAY
                jitter_buffer.loudness = max(peak, before)
            if is_heard:
                self.end_idle()

        return write

    def remove(self, talker: str) -> None:
        """Remove the talker, after a fade."""
        jitter_buffer = self._jitter_buffers.pop(talker, None)
        if jitter_buffer is not None:
            self._past_underruns += jitter_buffer.underruns
            self._past_overruns += jitter_buffer.overruns
            # After silence, or without a speaker, there is nothing to fade out. First,
            # so that the card's thread finds it in one of both at any time.
            if self.played is not None:
                self._leaving.append(jitter_buffer)
            self._talkers = tuple(self._jitter_buffers.values())

    def mute(self, talker: str, *, is_on: bool) -> None:
        """Play the talker or not, from the next block on."""
        if (jitter_buffer := self._jitter_buffers.get(talker)) is not None:
            jitter_buffer.is_muted = is_on

    @property
    def is_played(self) -> bool:
        """Whether a speaker plays what `next` returns."""
        return self._now_s() - self._read_at_s < READ_S

    def is_sounding(self, talker: str) -> bool:
        """Return whether the talker is heard or was heard just now."""
        jitter_buffer = self._jitter_buffers.get(talker)
        if jitter_buffer is None or jitter_buffer.is_muted or not self.is_played:
            return False
        return not jitter_buffer.is_idle

    def set_volume(self, percent: int) -> None:
        """Set the volume of talkers and earcons, 0-100."""
        self._gain = np.float32(volume_gain(percent))

    def play(self, samples: Samples, within_s: float = EARCON_LATEST_S) -> None:
        """Play an earcon after those not begun; a running one is faded out.

        Without a speaker it waits, but not for longer than `within_s`.
        """
        self._requested.append((self._now_s() + within_s, samples))
        self.end_idle()

    def drop_earcons(self) -> None:
        """Drop the earcons that have not begun."""
        self._requested.clear()

    def next(self) -> Block | None:
        """Return the next block (read-only; None: silence), and set `reference`."""
        self._read_at_s = now_s = self._now_s()
        parts = self._parts(now_s)
        voices = np.add.reduce(parts) if parts else None
        tone = self._next_tone(now_s)
        if tone is None:
            self.played = self.reference = self._limited(voices, len(parts))
            return self.played
        both = tone if voices is None else tone + voices
        gain = self._gain * self._limiter.gains(both * self._gain)
        self.played = to_block(np.clip(both * gain, -CEILING, CEILING))
        self.reference = None if voices is None else to_block(voices * gain)
        return self.played

    def drop_pending(self) -> None:
        """Drop pending audio, so that it is not played after reopening the stream."""
        self.played = self.reference = None
        self.drop_earcons()
        self._leaving.clear()
        self._earcon = np.zeros(0, np.float32)

    @property
    def is_idle(self) -> bool:
        """Whether there has been nothing to play for a while, or no speaker."""
        if not self.is_played:
            return True
        has_end = self._leaving or self._requested or len(self._earcon)
        return not has_end and all(talker.is_idle for talker in self._talkers)

    @property
    def level_dbfs(self) -> float:
        """Level of the samples played last."""
        played = self.played
        if played is None or not self.is_played:
            return float(SILENCE_DBFS)
        return level_dbfs(played)

    @property
    def depth_s(self) -> float:
        """Highest fill level of the jitter buffers, in seconds; 0 without a speaker."""
        if not self.is_played:
            return 0.0
        return max((talker.depth_s for talker in self._talkers), default=0.0)

    @property
    def drift_ppm(self) -> float:
        """Drift of the card's clock against the newest talker's; positive: faster."""
        return self._talkers[-1].drift_ppm if self._talkers else 0.0

    @property
    def underruns(self) -> int:
        """Underruns of all jitter buffers during speech."""
        return self._past_underruns + sum(each.underruns for each in self._talkers)

    @property
    def overruns(self) -> int:
        """Times a jitter buffer was too full and was cut."""
        return self._past_overruns + sum(each.overruns for each in self._talkers)

    def _parts(self, now_s: float) -> list[Samples]:
        """Return the next block of each talker that is heard."""
        talkers = self._talkers
        # After the others, so that none is missed; it may be in both.
        dropped = _taken(self._leaving)
        chosen = [x for x in talkers if x not in dropped]
        if len(chosen) > MAX_TALKERS:
            awake = [talker for talker in chosen if not talker.is_idle]
            chosen = nlargest(MAX_TALKERS, awake, key=lambda each: each.loudness)
            # Those that were mixed until now are read once more, to fade them out.
            dropped += [x for x in awake if not x.was_muted and x not in chosen]
        read = [(each, each.is_muted or self.is_muted) for each in chosen]
        read += [(each, True) for each in dropped]
        parts = (_audible(each, now_s, is_muted=is_muted) for each, is_muted in read)
        return [part for part in parts if part is not None]

    def _limited(self, voices: Samples | None, talkers: int) -> Block | None:
        if voices is None:
            self._limiter.gain = 1.0
            return None
        # Read once, because the loop may change it meanwhile.
        gain = self._gain
        is_free = talkers == 1 and gain <= LIMITER_FREE_GAIN
        if is_free and self._limiter.gain >= 1.0:
            softer: Samples = np.rint(voices * gain)
            return softer.astype(np.int16)
        return to_block(self._limiter.apply(voices * gain))

    def _next_tone(self, now_s: float) -> Samples | None:
        """Return the next samples of the earcon; None: there is none."""
        taken = _taken(self._requested)
        if waiting := [samples for latest_s, samples in taken if now_s <= latest_s]:
            end = self._earcon[:BLOCK_FRAMES]
            self._earcon = np.concatenate(waiting)
            if len(end):
                self._earcon = _with_end(self._earcon, end)
        if not len(self._earcon):
            return None
        now, self._earcon = np.split(self._earcon, [BLOCK_FRAMES])
        return np.pad(now, (0, BLOCK_FRAMES - len(now)))


def _taken(waiting: deque[_T]) -> list[_T]:
    """Take all entries of a queue, which another thread may clear meanwhile."""
    taken = []
    with suppress(IndexError):
        while True:
            taken.append(waiting.popleft())
    return taken


def _with_end(samples: Samples, end: Samples) -> Samples:
    """Return the samples with the fading end of others, up to a block, before them."""
    length = max(len(samples), BLOCK_FRAMES)
    faded = cut(np.pad(end, (0, BLOCK_FRAMES - len(end))))
    both = np.pad(samples, (0, length - len(samples)))
    both[:BLOCK_FRAMES] += faded
    return both


def _audible(
    jitter_buffer: JitterBuffer, now_s: float, *, is_muted: bool
) -> Samples | None:
    """Return the next block; a muted talker's is read, but not returned."""
    was_muted, jitter_buffer.was_muted = jitter_buffer.was_muted, is_muted
    block = jitter_buffer.read(now_s)
    if block is None or was_muted == jitter_buffer.was_muted:
        return None if was_muted else block
    return faded_in(block) if was_muted else cut(block)
