"""Statistics of the card's streams, and events for lost and found directions."""

import logging
from typing import Final

from appliance.audio.devices import Direction
from appliance.audio.dsp import BLOCK_FRAMES
from appliance.audio.stream_clock import StreamClock
from appliance.core.events import Part, PartFound, PartLost
from appliance.metrics.audio import AudioFault
from appliance.ports import Post

PARTS: Final[dict[Direction, Part]] = {
    "microphone": Part.MICROPHONE,
    "speaker": Part.SPEAKER,
}

REASONS: Final = 8
"""Number of reasons per loss that are remembered as logged."""
_log = logging.getLogger(__name__)


class StreamStats:
    """Faults and counters per direction, kept over the lifetime of single streams.

    Thread: written by the supervisor's, read by any.
    """

    def __init__(self, post: Post) -> None:
        """Start with nothing lost."""
        self._post = post
        self._lost: dict[Direction, list[PartLost]] = {}
        """Reasons reported for a loss, the current one last."""
        self._faults: dict[tuple[Direction, AudioFault], int] = {}
        self._frames: dict[Direction, int] = {}
        self.clocks: dict[Direction, StreamClock] = {}
        """Clocks of the streams that are open now."""
        self._opened: dict[Direction, PartFound] = {}
        """Events for opened streams that have not called back yet."""
        self._logged: dict[Direction, PartFound] = {}
        """Last event logged for each direction."""

    @property
    def is_anything_lost(self) -> bool:
        """Whether microphone or speaker is missing."""
        return bool(self._lost)

    def lost(self, direction: Direction, name: str, reason: str) -> None:
        """Post that a direction is missing, and again if the reason changes.

        Each reason is logged above DEBUG once per loss.
        """
        event = PartLost(PARTS[direction], name, reason)
        reported = self._lost.setdefault(direction, [])
        level = logging.DEBUG if event in reported else logging.WARNING
        _log.log(level, '%s lost  device="%s" reason="%s"', direction, name, reason)
        if not reported:
            self.add(direction, AudioFault.UNPLUG)
        if reported[-1:] == [event]:
            return
        others = [known for known in reported if known != event]
        self._lost[direction] = [*others, event][-REASONS:]
        self._post(event)

    def opened(
        self, clocks: dict[Direction, StreamClock], found: dict[Direction, PartFound]
    ) -> None:
        """Take the clocks of new streams and the events to post when each works."""
        self.clocks = clocks
        self._opened = dict(found)

    def note_first_callbacks(self) -> None:
        """Post the streams that work; one that opens but never calls back does not."""
        for direction in tuple(self._opened):
            if self.clocks[direction].frames:
                self._found(direction, self._opened.pop(direction))

    def add(self, direction: Direction, kind: AudioFault, count: int = 1) -> None:
        """Count a fault."""
        key = (direction, kind)
        self._faults[key] = self._faults.get(key, 0) + count

    def close(self) -> None:
        """Add the counts of the open streams, which are about to be closed."""
        clocks, self.clocks, self._opened = self.clocks, {}, {}
        for direction, stream_clock in clocks.items():
            self.add(direction, AudioFault.XRUN, stream_clock.xruns)
            self._frames[direction] = (
                self._frames.get(direction, 0) + stream_clock.frames
            )

    def count(self, direction: Direction, kind: AudioFault) -> int:
        """Return the number of these faults since the start."""
        past = self._faults.get((direction, kind), 0)
        stream_clock = self.clocks.get(direction)
        return past + (
            stream_clock.xruns if stream_clock and kind is AudioFault.XRUN else 0
        )

    def blocks(self, direction: Direction) -> int:
        """Return the number of blocks captured or played."""
        stream_clock = self.clocks.get(direction)
        frames = self._frames.get(direction, 0) + (
            stream_clock.frames if stream_clock else 0
        )
        return frames // BLOCK_FRAMES

    @property
    def delay_ms(self) -> int:
        """Latency from output to input, as reported by PortAudio."""
        # A duplex stream has one clock for both directions.
        return sum(stream_clock.delay_ms for stream_clock in set(self.clocks.values()))

    @property
    def xruns(self) -> int:
        """Xruns since the streams were opened."""
        return max(
            (stream_clock.xruns for stream_clock in self.clocks.values()), default=0
        )

    def _found(self, direction: Direction, found: PartFound) -> None:
        before = self._lost.pop(direction, None)
        is_new = before is not None or self._logged.get(direction) != found
        level = logging.WARNING if found.notice else logging.INFO
        _log.log(
            level if is_new else logging.DEBUG,
            '%s open  device="%s"%s',
            direction,
            found.name,
            f' notice="{found.notice}"' if found.notice else "",
        )
        self._logged[direction] = found
        self._post(found)
