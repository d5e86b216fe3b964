"""Jitter buffer with asynchronous resampling for one remote participant.

The network's clock writes, the card's clock reads. The controlled value is the time
between a sample's arrival and its being read: fill level plus age of the newest block.
Its target is one block plus a small margin, held by reading slightly faster or slower.
Loss and jitter of the network are the work of NetEQ in the LiveKit library, before it.
"""

from collections import Counter
from typing import Final

import numpy as np

from appliance.audio.delay_control import DelayControl
from appliance.audio.dsp import (
    FADE_FRAMES,
    SILENT_PEAK,
    WINDOW_FRAMES,
    Samples,
    faded_in,
    faded_out,
    interpolated,
    peak,
)
from appliance.metrics.counters import AudioFault
from appliance.pcm import BLOCK_FRAMES, RATE_HZ, SILENCE, Block

SIZE_BLOCKS: Final = 16
"""160 ms; a longer burst is an outage, and storing it would only add delay."""
SIZE_FRAMES: Final = SIZE_BLOCKS * BLOCK_FRAMES
DEEPEST_BLOCKS: Final = 10
"""A fill level above 100 ms is cut at once: reading faster would take a minute."""
SILENT_AFTER_S: Final = 0.2
"""A participant that sends nothing for this long is silent, not late."""
LOUDNESS_DECAY: Final = 0.98
"""Per block of 10 ms: halved after 0.35 s, longer than a pause between words."""
HANGOVER_FRAMES: Final = RATE_HZ // 10
"""100 ms after the last loud block are played too: faint noise would be chopped."""
LEAST_FRAMES: Final = BLOCK_FRAMES + 3
"""Fill level from which a block can be read: interpolation needs three samples more."""


class RingBuffer:
    """Lock-free ring: `write` on one thread, `view` and `block` on another."""

    def __init__(self) -> None:
        # Everything is written twice, so that any range is contiguous.
        self._samples = np.zeros(2 * SIZE_FRAMES, np.float32)
        # From `SIZE_BLOCKS` on the ring is all zeros: silence is not written again.
        self._silent_blocks = SIZE_BLOCKS
        self.written = 0
        """Position of the next sample to be written."""

    def write(self, block: Block) -> None:
        """Add one block; it is copied."""
        if block is not SILENCE or self._silent_blocks < SIZE_BLOCKS:
            start = self.written % SIZE_FRAMES
            self._samples[start : start + BLOCK_FRAMES] = block
            second = start + SIZE_FRAMES
            self._samples[second : second + BLOCK_FRAMES] = block
        self._silent_blocks = self._silent_blocks + 1 if block is SILENCE else 0
        # Last, so that the reader never sees a partly written block.
        self.written += BLOCK_FRAMES

    def view(self, first: int, frames: int) -> Samples:
        """Return a read-only view of the samples, valid until they are overwritten."""
        start = first % SIZE_FRAMES
        return self._samples[start : start + frames]

    def block(self, first: int, fraction: float, rate: float) -> Samples:
        """Return an interpolated block from a position and fraction of a sample on."""
        return interpolated(self.view(first - 1, WINDOW_FRAMES), fraction, rate)


class JitterBuffer:
    """Bounded buffer of one participant's samples.

    Thread: `write` the library's, `read` the card's; neither blocks the other.
    """

    def __init__(self, faults: Counter[AudioFault]) -> None:
        """Start empty; underruns in speech and overruns are added to `faults`."""
        self._faults = faults
        self._ring = RingBuffer()
        self._written_at_s = 0.0
        self._at = 0
        self._fraction = 0.0
        self._is_primed = False
        self._was_silent = True
        self._loud_until_frame = -HANGOVER_FRAMES
        self._onset_frame = 0
        self._delay_control = DelayControl()
        self.loudness = 0.0
        """Recent peak."""
        self.is_muted = False
        """Whether the mixer reads the samples without playing them."""
        self.was_muted = True
        """Whether it did so with the last block."""
        self._is_waiting = False  # For sound, after a long silence.
        # Time of an audible underrun whose length is not known yet.
        self._starved_at_s: float | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing has to be read: silent for long, and no sound since."""
        return self._is_waiting and self._loud_until_frame <= self._at

    @property
    def _is_silent(self) -> bool:
        return self._loud_until_frame + HANGOVER_FRAMES <= self._at

    @property
    def depth_s(self) -> float:
        """Fill level in seconds."""
        stock = 0 if self.is_idle else max(0, self._ring.written - self._at)
        return stock / RATE_HZ

    @property
    def drift_ppm(self) -> float:
        """Mean drift of the reader's clock against the writer's; positive: faster."""
        return self._delay_control.drift * 1e6

    def write(self, block: Block, now_s: float) -> bool:
        """Add a copy of the block, and return whether it is audible."""
        loudest = 0.0 if block is SILENCE else peak(block)
        self.loudness = max(loudest, self.loudness * LOUDNESS_DECAY)
        is_heard = loudest > SILENT_PEAK
        if is_heard:
            if self._loud_until_frame <= self._at:
                self._onset_frame = self._ring.written
            self._loud_until_frame = self._ring.written + BLOCK_FRAMES
        self._written_at_s = now_s
        self._ring.write(block)
        return is_heard

    def read(self, now_s: float) -> Samples | None:
        """Return the next block, valid until the next write; None is silence."""
        if self._is_waiting and not self._resume(now_s):
            return None
        stock = self._ring.written - self._at
        if stock > DEEPEST_BLOCKS * BLOCK_FRAMES:
            self._faults[AudioFault.OVERFLOW] += 1
            # What follows the cut fades in.
            self._was_silent = True
            stock = BLOCK_FRAMES + self._delay_control.target
            self._at = self._ring.written - stock
        delay_frames = self._arrived(now_s) - self._at - BLOCK_FRAMES
        if not self._is_primed:
            is_enough = stock >= LEAST_FRAMES
            if is_enough and self._starved_at_s is not None:
                missing_s, self._starved_at_s = now_s - self._starved_at_s, None
                self._delay_control.raise_margin(missing_s * RATE_HZ)
            self._is_primed = is_enough and delay_frames >= self._delay_control.target
        if not self._is_primed:
            if now_s - self._written_at_s > SILENT_AFTER_S:
                self._at = self._ring.written
                self._become_idle()
            return None
        if stock < LEAST_FRAMES:
            return self._underrun(stock, now_s)
        if self._delay_control.note(delay_frames, stock - LEAST_FRAMES):
            self._end_window()
        return self._taken()

    def _arrived(self, now_s: float) -> float:
        """Return how many frames have been written, as if they came continuously."""
        return self._ring.written + (now_s - self._written_at_s) * RATE_HZ

    def _become_idle(self) -> None:
        self._is_waiting = True
        self._starved_at_s = None
        self._restart_control()

    def _restart_control(self) -> None:
        """Restart the measurement, and read at whole positions again."""
        self._delay_control.restart()
        self._fraction = 0.0

    def _resume(self, now_s: float) -> bool:
        """Return whether speech has begun; if so, read from the silence before it."""
        is_there = self._ring.written >= self._loud_until_frame
        if self._loud_until_frame <= self._at or not is_there:
            return False
        target = round(self._arrived(now_s)) - BLOCK_FRAMES - self._delay_control.target
        oldest = self._ring.written - SIZE_FRAMES + BLOCK_FRAMES
        self._at = max(min(target, self._onset_frame), oldest)
        self._is_primed = True
        self._is_waiting = False
        return True

    def _taken(self) -> Samples | None:
        is_silent, rate = self._is_silent, self._delay_control.rate
        at, fraction = self._at, self._fraction
        moved = fraction + BLOCK_FRAMES * (1.0 + rate)
        self._at, self._fraction = at + int(moved), moved % 1.0
        if is_silent and self._was_silent:
            if self._at - self._loud_until_frame > SIZE_FRAMES:
                self._become_idle()
            return None
        samples = self._ring.block(at, fraction, rate)
        if is_silent:
            samples = faded_out(samples)
        elif self._was_silent:
            samples = faded_in(samples)
        self._was_silent = is_silent
        return samples

    def _underrun(self, stock: int, now_s: float) -> Samples | None:
        """Return what is left, faded out."""
        self._is_primed = False
        was_silent, self._was_silent = self._was_silent, True
        is_heard = self._loud_until_frame > self._at
        self._restart_control()
        if not is_heard:
            return None
        self._starved_at_s = now_s
        self._faults[AudioFault.UNDERFLOW] += 1
        left = min(stock, BLOCK_FRAMES)
        if was_silent or left < FADE_FRAMES:
            return None
        rest = np.zeros(BLOCK_FRAMES, np.float32)
        rest[:left] = faded_out(self._ring.view(self._at, left))
        self._at += left
        return rest

    def _end_window(self) -> None:
        """Correct the delay: at once in silence, where a jump in time is inaudible."""
        # A window moves by whole samples: reading there needs no interpolation.
        self._at += round(self._fraction)
        self._fraction = 0.0
        is_silent = self._is_silent and self._was_silent
        self._at += self._delay_control.end_window(is_silent=is_silent)
