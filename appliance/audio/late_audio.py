"""Silence that was sent in place of sound that came late."""

from typing import Final

FORGIVEN_S: Final = 0.2
"""Silence that lasted this long was no hiccup: what comes then is all wanted."""


class LateAudio:
    """Counts it, so that the late sound is not sent as well.

    That would make the far end's delay grow.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._blocks = 0
        self._silent_s = 0.0

    def grow(self, blocks: int, silent_s: float) -> None:
        """Take note of blocks of silence, sent after that long without sound."""
        self._blocks += blocks
        self._silent_s += silent_s

    def takes(self, blocks: int, *, is_late: bool) -> bool:
        """Return whether silence has gone in place of these blocks.

        Args:
            blocks: how many come together.
            is_late: more wait behind them: they come in a burst, after a hiccup.
        """
        if self._blocks > 0 and is_late and self._silent_s < FORGIVEN_S:
            self._blocks -= blocks
            return True
        self._blocks, self._silent_s = 0, 0.0
        return False
