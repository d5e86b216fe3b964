"""How fast a fifo is read, and how much it keeps: its delay is steered, not luck."""

from typing import Final

from appliance.audio.dsp import BLOCK_FRAMES, RATE_HZ
from appliance.audio.ring_buffer import SIZE_FRAMES

MARGIN_FRAMES: Final = 96
"""2 ms: how late a block usually is when two threads of one machine meet."""
MARGIN_STEP_FRAMES: Final = 240
MARGIN_MOST_FRAMES: Final = 2880
"""60 ms: beyond this the source is broken, not late."""
WINDOW_FRAMES: Final = RATE_HZ // 2
TOGETHER_FRAMES: Final = BLOCK_FRAMES + MARGIN_FRAMES + 19 * RATE_HZ // 1000
"""31 ms, with what the library keeps. Of another box's voice that is 13 to 23 ms: half
of the chance that is left is taken out of it, for 1 ms on the average."""
HELD_STEP_FRAMES: Final = RATE_HZ // 1000
"""1 ms: less is within what the library's answers differ by."""
PEACE_FRAMES: Final = 10 * WINDOW_FRAMES
"""Every 5 s the margin comes down by 1 ms, if so much was to spare all the time: a bad
moment is soon forgotten, and one that comes again and again is not."""
PEACE_STEP_FRAMES: Final = RATE_HZ // 1000
SPARE_FRAMES: Final = 96
MOVED_FRAMES: Final = WINDOW_FRAMES // 200
"""In one window, at the most. Reading 0.5 % faster is 9 cents: not heard in speech."""
SLACK_FRAMES: Final = 8
"""0.17 ms off is good enough. A clock that drifts by 60 ppm is then followed in one
window of six, and in the others nothing has to be interpolated."""
DRIFT_WINDOWS: Final = 60
"""Half a minute of them makes the mean."""


class DelayControl:
    """Looks at the delay, window by window, and says what to do about it.

    Thread: the reader's, unless it says otherwise.
    """

    def __init__(self) -> None:
        """Start with the shortest delay and nothing seen."""
        self.rate = 0.0
        """How much faster than nominal to read, 1 being twice as fast."""
        self.drift = 0.0
        """How much faster the reader's clock seems to run than the writer's."""
        self.margin = MARGIN_FRAMES
        """Kept beyond the block that may be a whole block away."""
        self._held = TOGETHER_FRAMES
        self._delay: float | None = None
        """At the end of the window before; None: there was none."""
        self._compared = 0
        self._delay_sum = 0.0
        self._reads = 0
        self._frames = 0
        self._peaceful = 0
        self._least = SIZE_FRAMES

    @property
    def target(self) -> int:
        """The delay that is held: the next block may be a whole block away."""
        return max(BLOCK_FRAMES + self.margin, TOGETHER_FRAMES - self._held)

    def learn(self, held: int) -> None:
        """Take note for how many frames sound is kept before it comes here.

        Thread: any.
        """
        if abs(held - self._held) >= HELD_STEP_FRAMES:
            self._held = held

    def note(self, frames: int, delay_frames: float, spare_frames: int) -> bool:
        """Take note of one read; return whether a window is full.

        Args:
            frames: that were read.
            delay_frames: from arrival to being read.
            spare_frames: still in stock afterwards.
        """
        self._least = min(self._least, spare_frames)
        self._delay_sum += delay_frames
        self._reads += 1
        self._frames += frames
        return self._frames >= WINDOW_FRAMES

    def turn(self, beyond: float, *, is_quiet: bool) -> int:
        """Set the reading speed from the mean delay in the window.

        Args:
            beyond: how far the next sample to be read lies behind a whole position, in
                frames. After the next window it is 0.
            is_quiet: nobody would hear a jump in time.

        Returns:
            How many frames to jump forward, or back.
        """
        moved = self.rate * self._frames
        # What was moved within the window shows in its mean by half.
        delay = self._delay_sum / self._reads - moved / 2
        self._learn_drift(delay + moved)
        excess = delay - self.target
        jump = round(excess) if is_quiet else 0
        self._delay = delay - jump
        if is_quiet or abs(excess) <= SLACK_FRAMES:
            excess = 0.0
        within = min(max(excess, -MOVED_FRAMES), MOVED_FRAMES)
        self.rate = (round(within + beyond) - beyond) / WINDOW_FRAMES
        self._relax()
        self._begin_window()
        return jump

    def starve(self, *, is_heard: bool) -> None:
        """Nothing was there in time: keep more, if anybody heard it."""
        self._peaceful = 0
        self._least = 0
        self._restart()
        if is_heard:
            self.margin = min(self.margin + MARGIN_STEP_FRAMES, MARGIN_MOST_FRAMES)

    def rest(self) -> None:
        """Nothing is read for a while."""
        self._restart()

    def resync(self, frames: float) -> None:
        """Take note that nothing went wrong for so long, because nothing was read."""
        steps = int(frames / PEACE_FRAMES)
        self.margin = max(MARGIN_FRAMES, self.margin - steps * PEACE_STEP_FRAMES)

    def _restart(self) -> None:
        # What comes has nothing to do with what was.
        self.rate = 0.0
        self._delay = None
        self._begin_window()

    def _begin_window(self) -> None:
        self._delay_sum = 0.0
        self._reads = 0
        self._frames = 0

    def _learn_drift(self, delay: float) -> None:
        """Compare what the delay would be, had nothing been moved, with what it was."""
        if self._delay is None:
            return
        grown = delay - self._delay
        # More is no clock: something was lost.
        if abs(grown) <= MOVED_FRAMES:
            self._compared = min(self._compared + 1, DRIFT_WINDOWS)
            self.drift -= (grown / self._frames + self.drift) / self._compared

    def _relax(self) -> None:
        self._peaceful += self._frames
        if self._peaceful < PEACE_FRAMES:
            return
        if self._least >= SPARE_FRAMES:
            self.resync(PEACE_FRAMES)
        self._peaceful = 0
        self._least = SIZE_FRAMES
