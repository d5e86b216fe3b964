"""Control of a jitter buffer's delay: target depth and reading rate."""

from typing import Final

from appliance.audio.dsp import BLOCK_FRAMES, RATE_HZ
from appliance.audio.ring_buffer import SIZE_FRAMES

MARGIN_FRAMES: Final = 96
"""2 ms: the usual jitter between two threads of one machine."""
MARGIN_STEP_FRAMES: Final = 240
MARGIN_MOST_FRAMES: Final = 2880
"""60 ms: more jitter than this is a fault that a deeper buffer does not cure."""
WINDOW_FRAMES: Final = RATE_HZ // 2
TOGETHER_FRAMES: Final = BLOCK_FRAMES + MARGIN_FRAMES + 19 * RATE_HZ // 1000
"""31 ms: target of the delay here plus that of NetEQ in the LiveKit library. NetEQ
holds the voice of another box for 13 to 23 ms; this target halves the remaining spread
and costs 1 ms on average."""
HELD_STEP_FRAMES: Final = RATE_HZ // 1000
"""1 ms: smaller changes are noise of the library's statistics."""
CALM_FRAMES: Final = 10 * WINDOW_FRAMES
"""Every 5 s the margin shrinks by 1 ms, if that much was spare all the time: a single
disturbance is soon forgotten, a recurring one is not."""
CALM_STEP_FRAMES: Final = RATE_HZ // 1000
SPARE_FRAMES: Final = 96
MOVED_FRAMES: Final = WINDOW_FRAMES // 200
"""Largest change per window. Reading 0.5 % faster is 9 cents: inaudible in speech."""
SLACK_FRAMES: Final = 8
"""0.17 ms of tolerated deviation. A drift of 60 ppm then needs a correction in one
window of six, and the others need no interpolation."""
DRIFT_WINDOWS: Final = 60
"""Length of the mean: half a minute."""


class DelayControl:
    """Controller of the delay, which is measured and corrected once per window.

    Thread: the reader's, unless stated otherwise.
    """

    def __init__(self) -> None:
        """Start with the shortest delay."""
        self.rate = 0.0
        """Relative deviation from the nominal reading rate; 1 is twice as fast."""
        self.drift = 0.0
        """Estimated relative drift of the reader's clock against the writer's."""
        self.margin = MARGIN_FRAMES
        """Frames held beyond one block, as reserve against jitter."""
        self._held = TOGETHER_FRAMES
        self._delay: float | None = None
        """Delay at the end of the previous window; None after a restart."""
        self._compared = 0
        self._delay_sum = 0.0
        self._reads = 0
        self._frames = 0
        self._calm_frames = 0
        self._least = SIZE_FRAMES

    @property
    def target(self) -> int:
        """Delay to hold, in frames: one block and the margin at least."""
        return max(BLOCK_FRAMES + self.margin, TOGETHER_FRAMES - self._held)

    def learn(self, held: int) -> None:
        """Set for how many frames sound is buffered before it arrives here.

        Thread: any.
        """
        if abs(held - self._held) >= HELD_STEP_FRAMES:
            self._held = held

    def note(self, frames: int, delay_frames: float, spare_frames: int) -> bool:
        """Record one read and return whether the window is complete.

        Args:
            frames: frames that were read.
            delay_frames: time between arrival and reading.
            spare_frames: frames left in the buffer afterwards.
        """
        self._least = min(self._least, spare_frames)
        self._delay_sum += delay_frames
        self._reads += 1
        self._frames += frames
        return self._frames >= WINDOW_FRAMES

    def end_window(self, beyond: float, *, is_quiet: bool) -> int:
        """Set the reading speed from the mean delay in the window.

        Args:
            beyond: fractional part of the read position, in frames; 0 after the next
                window.
            is_quiet: whether a jump in time would be inaudible.

        Returns:
            How many frames to jump forward, or back.
        """
        moved = self.rate * self._frames
        # The mean contains half of the change made within the window.
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
        """Restart after an underrun, with a larger margin if it was audible."""
        self._calm_frames = 0
        self._least = 0
        self._restart()
        if is_heard:
            self.margin = min(self.margin + MARGIN_STEP_FRAMES, MARGIN_MOST_FRAMES)

    def rest(self) -> None:
        """Restart: reading pauses."""
        self._restart()

    def shrink_margin(self, frames: float) -> None:
        """Shrink the margin for a time of that length without reading."""
        steps = int(frames / CALM_FRAMES)
        self.margin = max(MARGIN_FRAMES, self.margin - steps * CALM_STEP_FRAMES)

    def _restart(self) -> None:
        # Measurements from before the interruption do not apply any more.
        self.rate = 0.0
        self._delay = None
        self._begin_window()

    def _begin_window(self) -> None:
        self._delay_sum = 0.0
        self._reads = 0
        self._frames = 0

    def _learn_drift(self, delay: float) -> None:
        """Update the drift from the change of the uncorrected delay since last time."""
        if self._delay is None:
            return
        grown = delay - self._delay
        # A larger change is not clock drift but a loss.
        if abs(grown) <= MOVED_FRAMES:
            self._compared = min(self._compared + 1, DRIFT_WINDOWS)
            self.drift -= (grown / self._frames + self.drift) / self._compared

    def _relax(self) -> None:
        self._calm_frames += self._frames
        if self._calm_frames < CALM_FRAMES:
            return
        if self._least >= SPARE_FRAMES:
            self.shrink_margin(CALM_FRAMES)
        self._calm_frames = 0
        self._least = SIZE_FRAMES
