"""Jitter buffer with asynchronous resampling for one remote participant.

The network's clock writes, the card's clock reads. The controlled value is the time
between a sample's arrival and its being read: fill level plus age of the newest block.
Its target is one block plus a small margin, held by reading slightly faster or slower.
Loss and jitter of the network are the work of NetEQ in the LiveKit library, before it.
"""

from collections import Counter
from typing import Final

import numpy as np

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
MARGIN_FRAMES: Final = 240
"""5 ms: the usual jitter between two threads of a small machine."""
MAX_MARGIN_FRAMES: Final = 2880
"""60 ms: more jitter than this is a fault that a deeper buffer does not cure."""
MAX_ONCE_FRAMES: Final = 480
"""10 ms: raise after a single gap, as of a machine that is busy for a moment."""
REPEATED_FRAMES: Final = 60 * RATE_HZ
"""A gap within a minute of sound after another is expected to recur and covered."""
MEMORY_INTERVALS: Final = 3
"""The margin is kept for three times the longest interval in a series of gaps, of time
with sound, and then reduced to what was needed: a gap every half minute stays covered,
and a gap every second costs nothing a few seconds after the last."""
MIN_MEMORY_FRAMES: Final = 5 * RATE_HZ
MAX_MEMORY_FRAMES: Final = MEMORY_INTERVALS * REPEATED_FRAMES
"""For a single gap, too."""
SPARE_FRAMES: Final = 96
CORRECTION_BLOCKS: Final = 50
CORRECTION_FRAMES: Final = CORRECTION_BLOCKS * BLOCK_FRAMES
"""Half a second."""
MOVED_FRAMES: Final = CORRECTION_FRAMES // 200
"""Largest change per window. Reading 0.5 % faster is 9 cents: inaudible in speech."""
SLACK_FRAMES: Final = 8
"""0.17 ms of tolerated deviation. A drift of 60 ppm then needs a correction in one
window of six, and the others need no interpolation."""
DRIFT_WINDOWS: Final = 60
"""Length of the mean: half a minute."""


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
        if block is not SILENCE or not self.is_silent:
            start = self.written % SIZE_FRAMES
            self._samples[start : start + BLOCK_FRAMES] = block
            second = start + SIZE_FRAMES
            self._samples[second : second + BLOCK_FRAMES] = block
        self._silent_blocks = self._silent_blocks + 1 if block is SILENCE else 0
        # Last, so that the reader never sees a partly written block.
        self.written += BLOCK_FRAMES

    @property
    def is_silent(self) -> bool:
        """Whether everything in the ring is silence."""
        return self._silent_blocks >= SIZE_BLOCKS

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
        self._is_waiting = False
        """Whether it waits for sound, after a long silence."""
        self._starved_at_s: float | None = None
        """Time of an audible underrun whose length is not known yet."""

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


class DelayControl:
    """Controller of the delay, corrected once per window. Thread: the reader's."""

    def __init__(self) -> None:
        self.rate = 0.0
        """Relative deviation from the nominal reading rate; 1 is twice as fast."""
        self.drift = 0.0
        """Estimated relative drift of the reader's clock against the writer's."""
        self.margin = MARGIN_FRAMES
        """Frames held beyond one block, as reserve against jitter."""
        self._delay: float | None = None
        """Delay at the end of the previous window; None after a restart."""
        self._compared = 0
        self._delay_sum = 0.0
        self._blocks = 0
        self._since_gap_frames = MAX_MEMORY_FRAMES
        self._longest_interval_frames = 0
        self._memory_frames = self._remembered_frames = 0
        self._least = MAX_MARGIN_FRAMES

    @property
    def target(self) -> int:
        """Delay to hold, in frames: one block and the margin."""
        return BLOCK_FRAMES + self.margin

    def note(self, delay_frames: float, spare_frames: int) -> bool:
        """Record the delay and the frames left; return whether the window is over."""
        self._least = min(self._least, spare_frames)
        self._delay_sum += delay_frames
        self._blocks += 1
        return self._blocks == CORRECTION_BLOCKS

    def end_window(self, *, is_silent: bool) -> int:
        """Set the reading rate from the mean delay; return the frames to jump.

        It jumps only where that is inaudible, and back if the number is negative.
        """
        moved = self.rate * CORRECTION_FRAMES
        # The mean contains half of the change made within the window.
        delay = self._delay_sum / CORRECTION_BLOCKS - moved / 2
        self._measure_drift(delay + moved)
        excess = round(delay - self.target)
        jump = excess if is_silent else 0
        self._delay = delay - jump
        self._begin_window()
        if not is_silent and abs(excess) > SLACK_FRAMES:
            self.rate = (
                min(max(excess, -MOVED_FRAMES), MOVED_FRAMES) / CORRECTION_FRAMES
            )
        return jump

    def restart(self) -> None:
        """Restart the measurement: reading was interrupted."""
        self._delay = None
        self._begin_window()

    def raise_margin(self, missing_frames: float) -> None:
        """Raise the margin after an audible gap of that length."""
        interval = self._since_gap_frames
        is_repeated = interval <= REPEATED_FRAMES
        most = MAX_MARGIN_FRAMES if is_repeated else MAX_ONCE_FRAMES
        # A longer gap is an interruption, which no margin would cover.
        is_coverable = missing_frames <= MAX_MARGIN_FRAMES
        raised = round(missing_frames) if is_coverable else MARGIN_FRAMES
        self.margin = min(self.margin + min(raised, most), MAX_MARGIN_FRAMES)
        longest = max(interval, self._longest_interval_frames) if is_repeated else 0
        memory = MEMORY_INTERVALS * longest if is_repeated else MAX_MEMORY_FRAMES
        self._memory_frames = max(memory, MIN_MEMORY_FRAMES)
        self._longest_interval_frames, self._since_gap_frames = longest, 0
        self._begin_memory()

    def pass_time(self, frames: int) -> None:
        """Record a time in which samples were read; reduce the margin at its end."""
        self._remembered_frames += frames
        self._since_gap_frames += frames
        if self._remembered_frames >= self._memory_frames:
            unneeded = max(0, self._least - SPARE_FRAMES)
            self.margin = max(MARGIN_FRAMES, self.margin - unneeded)
            self._begin_memory()

    def _begin_memory(self) -> None:
        self._remembered_frames, self._least = 0, MAX_MARGIN_FRAMES

    def _begin_window(self) -> None:
        """Begin a window; the last one counts, also if it was not filled."""
        self.pass_time(self._blocks * BLOCK_FRAMES)
        self.rate = 0.0
        self._delay_sum = 0.0
        self._blocks = 0

    def _measure_drift(self, delay: float) -> None:
        """Update the drift from the change of the uncorrected delay since last time."""
        if self._delay is None:
            return
        grown = delay - self._delay
        # A larger change is not clock drift but a loss.
        if abs(grown) <= MOVED_FRAMES:
            self._compared = min(self._compared + 1, DRIFT_WINDOWS)
            self.drift -= (grown / CORRECTION_FRAMES + self.drift) / self._compared
