"""One talker's sound between two clocks: the network's writes, the card's reads.

The delay is steered, not left to luck. What is held constant is not the stock, which
depends on who happens to come first, but the time between a sample's arrival and its
being read: stock plus the age of the newest block. It is one block plus a small margin,
held by reading a little faster or slower. An underrun raises the margin, peace lowers
it again, so a steady source earns the shortest delay.
"""

from typing import Final

import numpy as np

from appliance.ports import SILENCE, Block
from appliance.sound.dsp import (
    BLOCK_FRAMES,
    FADE_FRAMES,
    RATE_HZ,
    Samples,
    faded_in,
    faded_out,
    interpolated,
    peak,
)
from appliance.sound.ring import SIZE_FRAMES, Ring

DEEPEST_BLOCKS: Final = 10
"""Stock above 100 ms is thrown away at once: catching up slowly would take a minute."""
GUARD_FRAMES: Final = 3
"""What cubic interpolation needs beyond the last sample."""
MARGIN_FRAMES: Final = 96
"""2 ms: how late a block usually is when two threads of one machine meet."""
MARGIN_STEP_FRAMES: Final = 240
MARGIN_MOST_FRAMES: Final = 2880
"""60 ms: beyond this the source is broken, not late."""
PEACE_WINDOWS: Final = 10
"""Every 5 s the margin comes down by 1 ms, if so much was to spare all the time: a bad
moment is soon forgotten, and one that comes again and again is not."""
SPARE_FRAMES: Final = 96
WINDOW_FRAMES: Final = RATE_HZ // 2
FASTEST: Final = 0.005
"""Reading 0.5 % faster is 9 cents: not heard in speech."""
SLACK_FRAMES: Final = 4
"""0.1 ms off is good enough; a clock that drifts by 80 ppm needs more than this to be
followed evenly, a slower one is followed in steps that nobody hears."""
QUIET_PEAK: Final = 33
"""-60 dBFS: below this a jump in time is not heard, so the depth is set at once."""

_SPARE: Final = 6
"""Frames fetched beyond a stretch: for the spline, and for reading 0.5 % faster."""


class Fifo:
    """A bounded stock of one talker's samples.

    Thread: `write` from one thread, `read` from another; neither waits for the other.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._ring = Ring()
        self._written_at_s = 0.0
        self._at = 0
        self._fraction = 0.0
        self._is_primed = False
        self._was_silent = True
        self._loud_until = 0
        self._woken_at = 0
        self._rate = 0.0
        self._margin = MARGIN_FRAMES
        self._delay_sum = 0.0
        self._reads = 0
        self._seen_frames = 0
        self._peaceful = 0
        self._least = SIZE_FRAMES
        self.underruns = 0
        """Stretches that were missing while somebody spoke."""
        self.overruns = 0
        """Times the stock was too deep and was cut."""
        self.is_asleep = False
        """In a long silence: nothing is stocked, and nothing has to be read."""

    @property
    def depth_s(self) -> float:
        """Stock in seconds."""
        return (
            0.0 if self.is_asleep else max(0, self._ring.written - self._at) / RATE_HZ
        )

    @property
    def drift_ppm(self) -> float:
        """How much faster than nominal it is being read, parts per million."""
        return self._rate * 1e6

    def write(self, block: Block, now_s: float) -> bool:
        """Add one block.

        Args:
            block: int16, shape (480,); it is copied.
            now_s: monotonic clock.

        Returns:
            Whether there is anything to hear in it.
        """
        is_loud = block is not SILENCE and peak(block) >= QUIET_PEAK
        if is_loud:
            if self._loud_until <= self._at:
                self._woken_at = self._ring.written
            self._loud_until = self._ring.written + BLOCK_FRAMES
        self._written_at_s = now_s
        self._ring.write(block)
        return is_loud

    def read(self, frames: int, now_s: float) -> Samples | None:
        """Take the next stretch.

        Args:
            frames: 1-480.
            now_s: monotonic clock, the same as in `write`.

        Returns:
            float32, shape (frames,), in int16's range; None for silence.
        """
        if self.is_asleep and not self._is_woken(frames, now_s):
            return None
        stock = self._ring.written - self._at
        if stock > DEEPEST_BLOCKS * BLOCK_FRAMES:
            self.overruns += 1
            stock = self._skip(stock - frames - BLOCK_FRAMES - self._margin)
        age_frames = (now_s - self._written_at_s) * RATE_HZ
        delay_frames = stock - frames + age_frames
        if not self._is_primed:
            is_enough = stock >= frames + GUARD_FRAMES
            self._is_primed = is_enough and delay_frames >= self._target
        if not self._is_primed:
            return None
        if stock < frames + GUARD_FRAMES:
            return self._starved(stock, frames)
        self._least = min(self._least, stock - frames - GUARD_FRAMES)
        self._delay_sum += delay_frames
        self._reads += 1
        self._seen_frames += frames
        if self._seen_frames >= WINDOW_FRAMES:
            self._steer()
        return self._taken(frames)

    def _is_woken(self, frames: int, now_s: float) -> bool:
        """Return whether somebody speaks again; then reading begins where it ought to.

        That is in the silence before the first word, so that its delay is right.
        """
        if self._loud_until <= self._at:
            return False
        age_frames = (now_s - self._written_at_s) * RATE_HZ
        right = self._ring.written - round(self._target + frames - age_frames)
        self._at = max(min(right, self._woken_at), self._ring.written - SIZE_FRAMES)
        self._fraction, self._rate = 0.0, 0.0
        self.is_asleep = False
        self._restart_window()
        return True

    @property
    def _target(self) -> int:
        """Return the delay that is held: the next block may be a whole block away."""
        return BLOCK_FRAMES + self._margin

    def _taken(self, frames: int) -> Samples | None:
        is_quiet = self._loud_until <= self._at
        step = 1.0 + self._rate
        if is_quiet and self._was_silent:
            self._advance(frames * step)
            self.is_asleep = self._at - self._loud_until > SIZE_FRAMES
            return None
        window = self._ring.stretch(self._at - 1, frames + _SPARE)
        samples = interpolated(window, self._fraction, step, frames)
        self._advance(frames * step)
        if is_quiet:
            samples = faded_out(samples)
        elif self._was_silent:
            samples = faded_in(samples)
        self._was_silent = is_quiet
        return samples

    def _starved(self, stock: int, frames: int) -> Samples | None:
        """Nothing there in time: end softly, and keep more in stock from now on."""
        self._is_primed = False
        self._peaceful = 0
        self._least = 0
        self._restart_window()
        was_silent, self._was_silent = self._was_silent, True
        if was_silent and self._loud_until <= self._at:
            return None
        self.underruns += 1
        self._margin = min(self._margin + MARGIN_STEP_FRAMES, MARGIN_MOST_FRAMES)
        left = min(stock, frames)
        if was_silent or left < FADE_FRAMES:
            return None
        rest = np.zeros(frames, np.float32)
        rest[:left] = faded_out(self._ring.stretch(self._at, left))
        self._at += left
        return rest

    def _steer(self) -> None:
        """Once per window, set the reading speed from the mean delay in it."""
        excess = self._delay_sum / self._reads - self._target
        is_quiet = self._loud_until <= self._at and self._was_silent
        if is_quiet:
            # Nobody hears a jump in silence, forward or back; and what is read from
            # whole positions needs no interpolation.
            self._skip(round(excess))
            self._fraction = 0.0
        if is_quiet or abs(excess) <= SLACK_FRAMES:
            excess = 0.0
        # Half of the excess within the next window: quick, and never overshooting.
        wanted = excess / (2.0 * WINDOW_FRAMES)
        self._rate = min(max(wanted, -FASTEST), FASTEST)
        self._restart_window()
        self._relax()

    def _restart_window(self) -> None:
        self._delay_sum = 0.0
        self._reads = 0
        self._seen_frames = 0

    def _relax(self) -> None:
        self._peaceful += 1
        if self._peaceful < PEACE_WINDOWS:
            return
        if self._least >= SPARE_FRAMES:
            self._margin = max(MARGIN_FRAMES, self._margin - RATE_HZ // 1000)
        self._peaceful = 0
        self._least = SIZE_FRAMES

    def _skip(self, frames: int) -> int:
        """Forget that many frames; return what is left."""
        self._at += frames
        return self._ring.written - self._at

    def _advance(self, frames: float) -> None:
        moved = self._fraction + frames
        whole = int(moved)
        self._at += whole
        self._fraction = moved - whole
