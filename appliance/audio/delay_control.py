"""Control of a jitter buffer's delay: target depth, reading rate and clock drift."""

from typing import Final

from appliance.pcm import BLOCK_FRAMES, RATE_HZ

MARGIN_FRAMES: Final = 240
"""5 ms: the usual jitter between two threads of a small machine."""
MAX_MARGIN_FRAMES: Final = 2880
"""60 ms: more jitter than this is a fault that a deeper buffer does not cure."""
MAX_ONCE_FRAMES: Final = 480
"""10 ms: raise after a single gap, as of a machine that is busy for a moment."""
REPEATED_FRAMES: Final = 60 * RATE_HZ
"""A gap within a minute of sound after another is expected to recur: it is covered
whole."""
MEMORY_INTERVALS: Final = 3
"""The margin is kept for three times the longest interval in a series of gaps, and then
reduced to what was needed: a gap every half minute stays covered, and a gap every
second costs nothing a few seconds after the last. Only time with sound counts."""
MIN_MEMORY_FRAMES: Final = 5 * RATE_HZ
MAX_MEMORY_FRAMES: Final = MEMORY_INTERVALS * REPEATED_FRAMES
"""For a single gap, too."""
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
        return self._blocks == WINDOW_BLOCKS

    def end_window(self, *, is_silent: bool) -> int:
        """Set the reading rate from the mean delay; return the frames to jump.

        It jumps only where that is inaudible, and back if the number is negative.
        """
        moved = self.rate * WINDOW_FRAMES
        # The mean contains half of the change made within the window.
        delay = self._delay_sum / WINDOW_BLOCKS - moved / 2
        self._measure_drift(delay + moved)
        excess = round(delay - self.target)
        jump = excess if is_silent else 0
        self._delay = delay - jump
        self._begin_window()
        if not is_silent and abs(excess) > SLACK_FRAMES:
            self.rate = min(max(excess, -MOVED_FRAMES), MOVED_FRAMES) / WINDOW_FRAMES
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
            self.drift -= (grown / WINDOW_FRAMES + self.drift) / self._compared
