"""Skipping of silent periods: while both sides are silent, the callback only counts.

An optimisation of CPU time: without it, every period is processed.
"""

from collections.abc import Callable

from appliance.audio.capture import Capture
from appliance.audio.mixer import Mixer
from appliance.audio.stream_clock import StreamClock


class IdleSkip:
    """Opens idle windows of whole packets and accounts for the skipped periods."""

    def __init__(
        self,
        mixer: Mixer,
        capture: Capture,
        stream_clock: StreamClock,
        skip: Callable[[int], None] | None = None,
    ) -> None:
        """Start without skipping.

        Args:
            mixer: owns the idle window and reports whether anything is to be played.
            capture: limits the window and accounts for what was skipped.
            stream_clock: counts the skipped frames.
            skip: receives the number of skipped frames at 48 kHz.
        """
        self._skip = skip
        self._idle_window = mixer.idle_window
        # Reset what earlier streams have left.
        self._idle_window.taken()
        self._mixer = mixer
        self._capture = capture
        self._stream_clock = stream_clock

    def skips(self, frames: int, status: int) -> bool:
        """Account for skipped periods, and return whether this one is skipped too."""
        skipped = self._idle_window.taken()
        if not skipped:
            return False
        is_calm = not status and not self._idle_window.is_over
        skipped += is_calm
        noted = self._stream_clock.note(skipped * frames, 0)
        if self._skip is not None:
            self._skip(noted)
        self._capture.skip_periods(skipped, frames)
        if is_calm:
            self.begin(frames)
        return is_calm

    def begin(self, frames: int) -> None:
        """Open an idle window with the next period, if both sides are silent."""
        self._idle_window.open()
        spare = self._capture.idle_frames
        if spare and self._mixer.is_still:
            # The last period is processed, and with it all skipped ones are counted.
            self._idle_window.begin(spare // frames - 1)
