"""Estimate of the mean arrival time of one participant's blocks."""

from typing import Final

from appliance.audio.dsp import RATE_HZ

WEIGHT: Final = 1 / 50
"""Weight of the newest block: a time constant of half a second."""
JUMP_S: Final = 0.05
"""A larger deviation restarts the estimate: the network was interrupted."""


class ArrivalEstimator:
    """Number of frames expected by now, independent of the newest block's jitter.

    Thread: `note` the writer's, `expected` the reader's.
    """

    def __init__(self) -> None:
        """Start without an estimate."""
        self._mean_s: float | None = None

    def note(self, written: int, now_s: float) -> None:
        """Update the estimate: `written` frames in total have arrived by now."""
        off_s = now_s - written / RATE_HZ
        mean_s = self._mean_s
        if mean_s is None or abs(off_s - mean_s) > JUMP_S:
            self._mean_s = off_s
            return
        self._mean_s = mean_s + WEIGHT * (off_s - mean_s)

    def expected(self, now_s: float) -> float:
        """Return how many frames would have arrived by now without jitter.

        The number grows continuously, not block by block. `note` must have been called.
        """
        assert self._mean_s is not None, "no block has arrived yet"
        return (now_s - self._mean_s) * RATE_HZ
