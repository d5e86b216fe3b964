"""Stream clock without offset, for tests that run faster than real time."""

from appliance.audio.stream_clock import StreamClock


class Steady(StreamClock):
    """Stream clock whose offset is always 0."""

    def note(self, frames: int, status: int) -> int:
        """Record one callback and reset the offset."""
        wanted = super().note(frames, status)
        self.resync()
        self.lost_s = 0.0
        return wanted
