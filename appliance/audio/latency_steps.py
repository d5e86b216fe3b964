"""Choice of the card's buffer size: the shortest one without repeated xruns.

A card with xruns gets the next longer buffer; after a time without any, and while both
sides are silent, it gets the next shorter one. Each step up doubles that time. Time is
an argument.
"""

from typing import Final

SHAKY_XRUNS: Final = 5
SHAKY_S: Final = 10.0
"""With more xruns than this in ten seconds the card gets a longer buffer."""
SETTLED_S: Final = 3.0
"""Time after opening in which xruns do not count: start-up takes the processor."""
CALM_S: Final = 60.0
CALM_MOST_S: Final = 3600.0


class LatencySteps:
    """Buffer step chosen by counting xruns; 0 is the shortest buffer."""

    def __init__(self, steps: int) -> None:
        """Start with the shortest of `steps` buffers."""
        self.latency_step = 0
        self._top = steps - 1
        self._calm_s = CALM_S
        self._window_s = 0.0
        self._window_xruns = 0
        self._calm_since_s = 0.0
        self._xruns = 0
        self._settled_s = 0.0

    def start(self, now_s: float, *, is_other_card: bool) -> None:
        """Restart counting: streams were opened.

        Args:
            now_s: monotonic clock.
            is_other_card: whether the card changed, so that its step is unknown.
        """
        if is_other_card:
            self.latency_step, self._calm_s = 0, CALM_S
        self._window_s = self._calm_since_s = now_s
        self._window_xruns = self._xruns = 0
        self._settled_s = now_s + SETTLED_S

    def has_moved(self, xruns: int, now_s: float, *, is_idle: bool) -> bool:
        """Return whether the streams must be reopened with another buffer.

        Args:
            xruns: xruns since `start`.
            now_s: monotonic clock.
            is_idle: whether the interruption would be inaudible.
        """
        if now_s < self._settled_s:
            self._window_s, self._window_xruns = now_s, xruns
        if xruns != self._xruns:
            self._xruns, self._calm_since_s = xruns, now_s
        if self._is_shaky(xruns, now_s):
            self._calm_s = min(2 * self._calm_s, CALM_MOST_S)
            return self._moved_to(self.latency_step + 1)
        is_calm = now_s - self._calm_since_s >= self._calm_s
        return is_calm and is_idle and self._moved_to(self.latency_step - 1)

    def _is_shaky(self, xruns: int, now_s: float) -> bool:
        if now_s - self._window_s < SHAKY_S:
            return False
        lost = xruns - self._window_xruns
        self._window_s, self._window_xruns = now_s, xruns
        return lost > SHAKY_XRUNS

    def _moved_to(self, latency_step: int) -> bool:
        before, self.latency_step = (
            self.latency_step,
            min(max(latency_step, 0), self._top),
        )
        return self.latency_step != before
