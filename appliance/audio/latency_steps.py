"""How long a buffer a card needs: the shortest that it proves to keep up with.

Time is an argument. A card that loses blocks climbs a rung; one that has lost none for
a while comes down again when nobody speaks, and each climb doubles the while.
"""

from typing import Final

SHAKY_XRUNS: Final = 5
SHAKY_S: Final = 10.0
"""More losses than this in ten seconds, and the card gets a longer buffer."""
SETTLED_S: Final = 3.0
"""Not counted: a process that starts keeps the processor from its own card."""
CALM_S: Final = 60.0
CALM_MOST_S: Final = 3600.0


class LatencySteps:
    """Counts losses and chooses a rung, 0 the shortest buffer."""

    def __init__(self, rungs: int) -> None:
        """Start at the bottom."""
        self.latency_step = 0
        self._top = rungs - 1
        self._calm_s = CALM_S
        self._window_s = 0.0
        self._window_xruns = 0
        self._calm_since_s = 0.0
        self._xruns = 0
        self._settled_s = 0.0

    def start(self, now_s: float, *, is_other_card: bool) -> None:
        """Streams were opened: their losses are counted from nothing.

        Args:
            now_s: monotonic clock.
            is_other_card: what one card needed says nothing about another.
        """
        if is_other_card:
            self.latency_step, self._calm_s = 0, CALM_S
        self._window_s = self._calm_since_s = now_s
        self._window_xruns = self._xruns = 0
        self._settled_s = now_s + SETTLED_S

    def has_moved(self, xruns: int, now_s: float, *, is_idle: bool) -> bool:
        """Return whether the streams have to be opened anew, on another rung.

        Args:
            xruns: losses since `start`.
            now_s: monotonic clock.
            is_idle: nobody would hear the interruption.
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
