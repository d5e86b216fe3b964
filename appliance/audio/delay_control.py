"""Control of a jitter buffer's delay: target depth, reading rate and clock drift."""

from typing import Final

from appliance.pcm import BLOCK_FRAMES, RATE_HZ

MARGIN_FRAMES: Final = 240
"""5 ms: the usual jitter between two threads of a small machine."""
MARGIN_STEP_FRAMES: Final = 240
"""Raise after an interruption that is too long to be covered."""
MAX_MARGIN_FRAMES: Final = 2880
"""60 ms: more jitter than this is a fault that a deeper buffer does not cure."""
MAX_ONCE_FRAMES: Final = 480
"""10 ms: raise after a single gap, as of a machine that is busy for a moment. A whole
gap would be held for minutes after that."""
REPEATED_FRAMES: Final = 60 * RATE_HZ
"""A gap within a minute of the last one is expected to recur."""
MEMORY_INTERVALS: Final = 3
"""The margin is kept for three intervals between gaps, and then reduced to what was
needed in that time: a gap every half minute stays covered, and half a minute with a gap
every second costs nothing a few seconds after its end. Only time counts in which there
was sound: silence shows no gaps."""
MEMORY_LEAST_FRAMES: Final = 5 * RATE_HZ
MAX_MEMORY_FRAMES: Final = 600 * RATE_HZ
"""10 minutes of sound, for which the raise after a single gap is kept too."""
SPARE_FRAMES: Final = 96
WINDOW_BLOCKS: Final = 50
WINDOW_FRAMES: Final = WINDOW_BLOCKS * BLOCK_FRAMES
"""Half a second."""
MOVED_FRAMES: Final = WINDOW_FRAMES // 200
"""Largest change per window. Reading 0.5 % faster is 9 cents: inaudible in speech."""
SLACK_FRAMES: Final = 8
"""0.17 ms of tolerated deviation. A drift of 60 ppm then needs a correction in one
window of six, and the others need no interpolation."""
DRIFT_WINDOWS: Final = 60
"""Length of the mean: half a minute."""
ARRIVAL_WEIGHT: Final = 1 / 50
"""Weight of the newest block in the mean arrival: a time constant of half a second."""
JUMP_S: Final = 0.05
"""A larger deviation restarts the mean arrival: the sound was interrupted."""


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
        self._remembered_frames = 0.0
        self._since_gap_frames = float("inf")
        self._longest_interval_frames = 0.0
        self._memory_frames = float(MAX_MEMORY_FRAMES)
        self._least = MAX_MARGIN_FRAMES

    @property
    def target(self) -> int:
        """Delay to hold, in frames: one block and the margin."""
        return BLOCK_FRAMES + self.margin

    def note(self, delay_frames: float, spare_frames: int) -> bool:
        """Record that a block was read, and return whether the window is complete.

        `delay_frames` is the time between arrival and reading; `spare_frames` are left.
        """
        self._least = min(self._least, spare_frames)
        self._delay_sum += delay_frames
        self._blocks += 1
        return self._blocks == WINDOW_BLOCKS

    def end_window(self, beyond: float, *, is_silent: bool) -> int:
        """Set the reading speed from the mean delay; return the frames to jump.

        `beyond` is the fractional part of the read position, in frames; 0 after the
        next window. `is_silent`: a jump in time would be inaudible. A negative one is
        back.
        """
        moved = self.rate * WINDOW_FRAMES
        # The mean contains half of the change made within the window.
        delay = self._delay_sum / WINDOW_BLOCKS - moved / 2
        self._measure_drift(delay + moved)
        excess = delay - self.target
        jump = round(excess) if is_silent else 0
        self._delay = delay - jump
        if is_silent or abs(excess) <= SLACK_FRAMES:
            excess = 0.0
        within = min(max(excess, -MOVED_FRAMES), MOVED_FRAMES)
        self.rate = (round(within + beyond) - beyond) / WINDOW_FRAMES
        self._begin_window()
        return jump

    def restart(self) -> None:
        """Restart the measurement: reading was interrupted."""
        self.rate = 0.0
        self._delay = None
        self._begin_window()

    def raise_margin(self, missing_frames: float) -> None:
        """Raise the margin after an audible gap of that length."""
        is_coverable = missing_frames <= MAX_MARGIN_FRAMES
        raise_frames = missing_frames if is_coverable else MARGIN_STEP_FRAMES
        if self._since_gap_frames > REPEATED_FRAMES:
            raise_frames = min(raise_frames, MAX_ONCE_FRAMES)
            self._longest_interval_frames = 0.0
            self._memory_frames = MAX_MEMORY_FRAMES
        else:
            longest = max(self._longest_interval_frames, self._since_gap_frames)
            self._longest_interval_frames = longest
            # 60 s at most, so three of them are less than the longest memory.
            self._memory_frames = max(MEMORY_INTERVALS * longest, MEMORY_LEAST_FRAMES)
        self._since_gap_frames = 0.0
        self.margin = min(round(self.margin + raise_frames), MAX_MARGIN_FRAMES)
        self._remembered_frames, self._least = 0.0, MAX_MARGIN_FRAMES

    def pass_silence(self, frames: float) -> None:
        """Record a time in which nothing was read."""
        self._since_gap_frames += frames

    def pass_time(self, frames: float) -> None:
        """Record a time in which samples were read.

        Each time the margin's memory ends, it is reduced to what was needed in it.
        """
        self._remembered_frames += frames
        self._since_gap_frames += frames
        if self._remembered_frames < self._memory_frames:
            return
        unneeded = max(0, self._least - SPARE_FRAMES)
        self.margin = max(MARGIN_FRAMES, self.margin - unneeded)
        self._remembered_frames, self._least = 0.0, MAX_MARGIN_FRAMES

    def _begin_window(self) -> None:
        """Begin a window; the last one counts, also if a short word did not fill it."""
        self.pass_time(self._blocks * BLOCK_FRAMES)
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
            self.drift -= (grown / WINDOW_FRAMES + self.drift) / self._compared


class ArrivalEstimator:
    """Number of frames expected by now, independent of the newest block's jitter.

    Thread: `note` the writer's, `expected` the reader's.
    """

    def __init__(self) -> None:
        self._mean_s: float | None = None

    def note(self, written: int, now_s: float) -> None:
        """Update the estimate: `written` frames in total have arrived by now."""
        off_s = now_s - written / RATE_HZ
        mean_s = self._mean_s
        if mean_s is None or abs(off_s - mean_s) > JUMP_S:
            self._mean_s = off_s
            return
        self._mean_s = mean_s + ARRIVAL_WEIGHT * (off_s - mean_s)

    def expected(self, now_s: float) -> float:
        """Return how many frames would have arrived by now without jitter.

        The number grows continuously, not block by block. `note` must have been called.
        """
        assert self._mean_s is not None, "no block has arrived yet"
        return (now_s - self._mean_s) * RATE_HZ
