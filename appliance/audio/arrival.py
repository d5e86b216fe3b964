"""When a talker's blocks come, on the average."""

from typing import Final

from appliance.audio.dsp import RATE_HZ

WEIGHT: Final = 1 / 50
"""Of the newest block: half a second of them makes the mean."""
JUMP_S: Final = 0.05
"""Further off than this, and it is another pace: a network that was away."""


class ArrivalEstimator:
    """Knows how much should be here by now, whether the newest block was late or not.

    Thread: `note` the writer's, `expected` the reader's.
    """

    def __init__(self) -> None:
        """Start with nothing known."""
        self._mean_s: float | None = None

    def note(self, written: int, now_s: float) -> None:
        """Take note that there are that many frames in all, the newest just come."""
        off_s = now_s - written / RATE_HZ
        mean_s = self._mean_s
        if mean_s is None or abs(off_s - mean_s) > JUMP_S:
            self._mean_s = off_s
            return
        self._mean_s = mean_s + WEIGHT * (off_s - mean_s)

    def expected(self, now_s: float) -> float:
        """Return how many frames there would be if every block came when it should.

        They grow evenly, not block by block. Something must have come before.
        """
        assert self._mean_s is not None, "nothing has come yet"
        return (now_s - self._mean_s) * RATE_HZ
