"""Skipping of silent periods: while nobody speaks, callbacks only count.

An optimisation beside the audio path: without it, every period is processed.
"""

from collections.abc import Callable

from appliance.audio.capture import Capture
from appliance.audio.mixer import Mixer
from appliance.audio.stream_clock import StreamClock


class IdleSkip:
    """Skips whole packets of a silent capture, and accounts for what was skipped."""

    def __init__(
        self,
        mixer: Mixer,
        capture: Capture,
        stream_clock: StreamClock,
        skip: Callable[[int], None] | None = None,
    ) -> None:
        """Start without skipping.

        Args:
            mixer: has the idle window, and knows whether somebody speaks there.
            capture: knows how much may be skipped, and counts it.
            stream_clock: counts the skipped frames.
            skip: takes how many frames at 48 kHz were skipped.
        """
        self._skip = skip
        self._idle_window = mixer.idle_window
        # Of the streams before, if there were any.
        self._idle_window.taken()
        self._mixer = mixer
        self._capture = capture
        self._stream_clock = stream_clock

    def skips(self, frames: int, status: int) -> bool:
        """Account for skipped periods, and return whether this one is skipped too."""
        passed = self._idle_window.taken()
        if not passed:
            return False
        is_calm = not status and not self._idle_window.is_over
        passed += is_calm
        noted = self._stream_clock.note(passed * frames, 0)
        if self._skip is not None:
            self._skip(noted)
        self._capture.skip_periods(passed, frames)
        if is_calm:
            self.begin(frames)
        return is_calm

    def begin(self, frames: int) -> None:
        """Begin to skip with the next period, if nobody speaks."""
        self._idle_window.open()
        spare = self._capture.idle_frames
        if spare and self._mixer.is_still:
            # The last of the periods is looked at: then all are accounted for.
            self._idle_window.begin(spare // frames - 1)
