"""One talker's sound between two clocks: the network's writes, the card's reads.

The delay is steered, not left to luck. What is held constant is not the stock, which
depends on who happens to come first, but the time between a sample's arrival and its
being read: stock plus the age of the newest block. It is one block plus a small margin,
held by reading a little faster or slower. An underrun raises the margin, peace lowers
it again, so a steady source earns the shortest delay. It is more where the library's
own buffer, before this one, happens to keep less: together they keep the same.
"""

from typing import Final

import numpy as np

from appliance.audio.arrival import ArrivalEstimator
from appliance.audio.delay_control import DelayControl
from appliance.audio.dsp import (
    BLOCK_FRAMES,
    FADE_FRAMES,
    RATE_HZ,
    Samples,
    faded_in,
    faded_out,
    interpolated,
    is_loud,
)
from appliance.audio.ring_buffer import SIZE_FRAMES, RingBuffer
from appliance.pcm import SILENCE, Block

DEEPEST_BLOCKS: Final = 10
"""Stock above 100 ms is thrown away at once: catching up slowly would take a minute."""
GUARD_FRAMES: Final = 3
"""What cubic interpolation needs beyond the last sample."""
DESERTED_S: Final = 0.2
"""Whoever sends nothing for so long is not late, but silent."""
ON_A_SAMPLE: Final = 1e-3
"""Of the way from one sample to the next: nobody hears a jump of that."""
_SPARE: Final = 6
"""Frames fetched beyond a stretch: for the spline, and for reading 0.5 % faster."""


class JitterBuffer:
    """A bounded stock of one talker's samples.

    Thread: `write` from one thread, `read` from another, `learn` from a third; none
    waits for another.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._ring = RingBuffer()
        self._arrival = ArrivalEstimator()
        self._written_at_s = 0.0
        self._at = 0
        self._fraction = 0.0
        self._is_primed = False
        self._was_silent = True
        self._loud_until = 0
        self._woken_at = 0
        self._delay_control = DelayControl()
        self.underruns = 0
        """Stretches that were missing while somebody spoke."""
        self.overruns = 0
        """Times the stock was too deep and was cut."""
        self.loudness = 0.0
        """Recent peak; kept by the writer where more talk than can be mixed."""
        self._dozed_at_s: float | None = None

    @property
    def is_asleep(self) -> bool:
        """In a long silence: nothing is stocked, and nothing has to be read.

        What was just written is seen at once, though the reader has not come to it.
        """
        return self._dozed_at_s is not None and self._loud_until <= self._at

    @property
    def depth_s(self) -> float:
        """Stock in seconds."""
        stock = 0 if self.is_asleep else max(0, self._ring.written - self._at)
        return stock / RATE_HZ

    @property
    def drift_ppm(self) -> float:
        """How much faster the reader's clock runs than the writer's, as a mean."""
        return self._delay_control.drift * 1e6

    def learn(self, held_s: float) -> None:
        """Take note how long sound was kept on its way here, before it was written."""
        self._delay_control.learn(round(held_s * RATE_HZ))

    def write(self, block: Block, now_s: float) -> bool:
        """Add one block.

        Args:
            block: int16, shape (480,); it is copied.
            now_s: monotonic clock.

        Returns:
            Whether there is anything to hear in it.
        """
        # In silence a jump in time is not heard: the depth is set at once.
        is_heard = block is not SILENCE and is_loud(block)
        if is_heard:
            if self._loud_until <= self._at:
                self._woken_at = self._ring.written
            self._loud_until = self._ring.written + BLOCK_FRAMES
        self._arrival.note(self._ring.written + BLOCK_FRAMES, now_s)
        self._written_at_s = now_s
        self._ring.write(block)
        return is_heard

    def read(self, frames: int, now_s: float) -> Samples | None:
        """Take the next stretch.

        Args:
            frames: 1-480.
            now_s: monotonic clock, the same as in `write`.

        Returns:
            float32, shape (frames,), in int16's range, not to be changed; to be used
            up at once, because it may be a piece of the stock. None for silence.
        """
        if self._dozed_at_s is not None and not self._is_woken(frames, now_s):
            return None
        stock = self._ring.written - self._at
        if stock > DEEPEST_BLOCKS * BLOCK_FRAMES:
            self.overruns += 1
            stock = self._skip(stock - frames - self._delay_control.target)
        age_frames = (now_s - self._written_at_s) * RATE_HZ
        delay_frames = stock - frames + age_frames
        if not self._is_primed:
            is_enough = stock >= frames + GUARD_FRAMES
            self._is_primed = is_enough and delay_frames >= self._delay_control.target
        if not self._is_primed:
            if now_s - self._written_at_s > DESERTED_S:
                self._at = self._ring.written
                self._doze_off(now_s)
            return None
        if stock < frames + GUARD_FRAMES:
            return self._starved(stock, frames)
        spare_frames = stock - frames - GUARD_FRAMES
        if self._delay_control.note(frames, delay_frames, spare_frames):
            self._turn()
        return self._taken(frames, now_s)

    def _doze_off(self, now_s: float) -> None:
        self._dozed_at_s = now_s
        self._delay_control.rest()

    def _is_woken(self, frames: int, now_s: float) -> bool:
        """Return whether somebody speaks again; then reading begins where it ought to.

        That is in the silence before the first word, so that its delay is right.
        """
        assert self._dozed_at_s is not None
        is_there = self._ring.written >= self._loud_until
        if self._loud_until <= self._at or not is_there:
            return False
        self._delay_control.resync((now_s - self._dozed_at_s) * RATE_HZ)
        right = (
            round(self._arrival.expected(now_s)) - self._delay_control.target - frames
        )
        oldest = self._ring.written - SIZE_FRAMES + BLOCK_FRAMES
        self._at = max(min(right, self._woken_at), oldest)
        self._fraction = 0.0
        self._is_primed = True
        self._dozed_at_s = None
        return True

    def _taken(self, frames: int, now_s: float) -> Samples | None:
        is_quiet = self._loud_until <= self._at
        step = 1.0 + self._delay_control.rate
        if is_quiet and self._was_silent:
            self._advance(frames * step)
            if self._at - self._loud_until > SIZE_FRAMES:
                self._doze_off(now_s)
            return None
        window = self._ring.stretch(self._at - 1, frames + _SPARE)
        samples = interpolated(window, self._fraction, self._delay_control.rate, frames)
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
        was_silent, self._was_silent = self._was_silent, True
        is_heard = not was_silent or self._loud_until > self._at
        self._delay_control.starve(is_heard=is_heard)
        if not is_heard:
            return None
        self.underruns += 1
        left = min(stock, frames)
        if was_silent or left < FADE_FRAMES:
            return None
        rest = np.zeros(frames, np.float32)
        rest[:left] = faded_out(self._ring.stretch(self._at, left))
        self._at += left
        return rest

    def _turn(self) -> None:
        """Once per window, see to the delay."""
        is_quiet = self._loud_until <= self._at and self._was_silent
        whole = round(self._fraction)
        # What is read from whole positions needs no interpolation.
        if is_quiet or abs(whole - self._fraction) < ON_A_SAMPLE:
            self._at += whole
            self._fraction = 0.0
        self._skip(self._delay_control.turn(self._fraction, is_quiet=is_quiet))

    def _skip(self, frames: int) -> int:
        """Forget that many frames; return what is left."""
        self._at += frames
        return self._ring.written - self._at

    def _advance(self, frames: float) -> None:
        moved = self._fraction + frames
        whole = int(moved)
        self._at += whole
        self._fraction = moved - whole
