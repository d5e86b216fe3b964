"""Account of silence that was sent in place of late sound."""

from typing import Final

FORGIVEN_S: Final = 0.2
"""After silence this long the sound that follows is new speech and is all sent."""


class LateAudio:
    """Counter of inserted blocks of silence, for which late blocks are dropped.

    Sending both would increase the delay at the receiver.
    """

    def __init__(self) -> None:
        """Start with no inserted silence."""
        self._blocks = 0
        self._silent_s = 0.0

    def grow(self, blocks: int, silent_s: float) -> None:
        """Count blocks of silence that were sent after `silent_s` without sound."""
        self._blocks += blocks
        self._silent_s += silent_s

    def must_drop(self, blocks: int, *, is_late: bool) -> bool:
        """Return whether to drop these blocks, because silence was sent in their place.

        Args:
            blocks: number of blocks in the packet.
            is_late: whether more packets are queued: a burst after an interruption.
        """
        if self._blocks > 0 and is_late and self._silent_s < FORGIVEN_S:
            self._blocks -= blocks
            return True
        self._blocks, self._silent_s = 0, 0.0
        return False
