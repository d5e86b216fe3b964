"""Mixer of the remote participants' sound and the earcons, for playback."""

import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from heapq import nlargest
from typing import Final

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
from appliance.audio.jitter_buffer import JitterBuffer
from appliance.metrics.counters import AudioFault
from appliance.pcm import BLOCK_FRAMES, Block

MAX_TALKERS: Final = 16
"""Talkers mixed at the same time, the loudest ones: a Zero 2 W has no time for more."""
READ_S: Final = 0.5
"""Time without `next` after which no speaker plays; longer than an idle window, and
than a card is late."""
EARCON_LATEST_S: Final = 2.0
"""An earcon waits so long for a speaker that is being opened."""


class Mixer:
    """Lock-free mixer with one jitter buffer per talker; implements `ports.Playback`.

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
        """Of the stream that captures, or of one that does both."""
        self.playback_window = IdleWindow()
        """Of a stream that only plays."""
        # Replaced as a whole, because the card's thread reads it without a lock.
        self._talkers: dict[str, JitterBuffer] = {}
        # Those that were in the last block.
        self._chosen: list[JitterBuffer] = []
        self._read_at_s = float("-inf")
        # The newest earcon and its latest time to begin, for the card's thread.
        self._requested: deque[tuple[float, Samples]] = deque(maxlen=1)
        self._earcon: Samples = np.zeros(0, np.float32)
        self._limiter = Limiter()
        self._gain = np.float32(1.0)
        self.faults: Counter[AudioFault] = Counter()
        """Underruns and overruns of all jitter buffers."""
        self.is_muted = False
        """Whether talkers are muted, in half duplex while the gate is open."""
        self.played: Block | None = None
        """Samples passed to the card last; None for silence."""
        self.reference: Block | None = None
        """Talkers' share of `played`, for the echo canceller, which would take the
        first syllable after the permit tone for its echo."""

    def end_idle(self) -> None:
        """End the idle windows, after writing sound for the next period to process."""
        self.idle_window.end()
        self.playback_window.end()

    def add(self, talker: str) -> Callable[[Block], None]:
        """Add a talker of a unique name; return what takes its blocks."""
        jitter_buffer = JitterBuffer(self.faults)
        self._talkers = {**self._talkers, talker: jitter_buffer}
        self.end_idle()

        def write(block: Block) -> None:
            if jitter_buffer.write(block, self._now_s()):
                self.end_idle()

        return write

    def remove(self, talker: str) -> None:
        """Remove the talker."""
        self._talkers = {x: y for x, y in self._talkers.items() if x != talker}

    def mute(self, talker: str, *, is_on: bool) -> None:
        """Play the talker or not, from the next block on."""
        if (jitter_buffer := self._talkers.get(talker)) is not None:
            jitter_buffer.is_muted = is_on

    @property
    def is_played(self) -> bool:
        """Whether a speaker plays what `next` returns."""
        return self._now_s() - self._read_at_s < READ_S

    def is_sounding(self, talker: str) -> bool:
        """Return whether the talker is heard or was heard just now."""
        jitter_buffer = self._talkers.get(talker)
        if jitter_buffer is None or jitter_buffer.is_muted or not self.is_played:
            return False
        return not jitter_buffer.is_idle

    def set_volume(self, percent: int) -> None:
        """Set the volume of talkers and earcons, 0-100."""
        self._gain = np.float32(volume_gain(percent))

    def play(self, samples: Samples, within_s: float = EARCON_LATEST_S) -> None:
        """Play an earcon of whole blocks within this time, in place of another one."""
        self._requested.append((self._now_s() + within_s, samples))
        self.end_idle()

    def drop_earcons(self) -> None:
        """Drop an earcon that has not begun."""
        self._requested.clear()

    def next(self) -> Block | None:
        """Return the next block (read-only; None: silence), and set `reference`."""
        self._read_at_s = now_s = self._now_s()
        parts = self._parts(now_s)
        voices = np.add.reduce(parts) if parts else None
        tone = self._next_tone(now_s)
        # Read once, because the loop may change it meanwhile.
        volume = self._gain
        if tone is not None:
            both = tone if voices is None else tone + voices
            gain = volume * self._limiter.gains(both * volume)
            self.played = to_block(np.clip(both * gain, -CEILING, CEILING))
            self.reference = None if voices is None else to_block(voices * gain)
        elif voices is not None:
            self.played = to_block(self._limiter.apply(voices * volume))
            self.reference = self.played
        else:
            self._limiter.gain = 1.0
            self.played = self.reference = None
        return self.played

    def drop_pending(self) -> None:
        """Drop pending audio, so that it is not played after reopening the stream."""
        self.played = self.reference = None
        self.drop_earcons()
        self._chosen = []
        self._earcon = np.zeros(0, np.float32)

    @property
    def is_idle(self) -> bool:
        """Whether there has been nothing to play for a while, or no speaker."""
        if not self.is_played:
            return True
        if self.played is not None or self._requested:
            return False
        return all(talker.is_idle for talker in self._talkers.values())

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
        return max((each.depth_s for each in self._talkers.values()), default=0.0)

    @property
    def drift_ppm(self) -> float:
        """Drift of the card's clock against the newest talker's; positive: faster."""
        return next((x.drift_ppm for x in reversed(self._talkers.values())), 0.0)

    def _parts(self, now_s: float) -> list[Samples]:
        """Return the next block of each talker that is heard."""
        chosen = list(self._talkers.values())
        if len(chosen) > MAX_TALKERS:
            awake = [talker for talker in chosen if not talker.is_idle]
            chosen = nlargest(MAX_TALKERS, awake, key=lambda each: each.loudness)
        # Those who have left or are not among the loudest any more are faded out.
        ended = set(self._chosen).difference(chosen)
        self._chosen = chosen
        read = [(x, self.is_muted or x.is_muted) for x in chosen]
        read += [(x, True) for x in ended]
        parts = (self._part(x, now_s, is_muted=is_muted) for x, is_muted in read)
        return [part for part in parts if part is not None]

    def _part(
        self, talker: JitterBuffer, now_s: float, *, is_muted: bool
    ) -> Samples | None:
        """Return the next block of a talker; one who is muted is read all the same."""
        was_muted, talker.was_muted = talker.was_muted, is_muted
        block = talker.read(now_s)
        if block is None or was_muted == is_muted:
            return None if is_muted else block
        return faded_in(block) if was_muted else cut(block)

    def _next_tone(self, now_s: float) -> Samples | None:
        """Return the next block of the earcon; None: there is none."""
        # The loop's thread may drop it meanwhile.
        with suppress(IndexError):
            latest_s, samples = self._requested.popleft()
            if now_s <= latest_s:
                if len(self._earcon):
                    samples = samples.copy()
                    samples[:BLOCK_FRAMES] += cut(self._earcon[:BLOCK_FRAMES])
                self._earcon = samples
        if not len(self._earcon):
            return None
        now, self._earcon = np.split(self._earcon, [BLOCK_FRAMES])
        return now
