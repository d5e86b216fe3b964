"""What the card's thread remembers: what is missing, and what was counted."""

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
"""Reasons of one loss that are remembered as told; more are told again."""
_log = logging.getLogger(__name__)


class StreamStats:
    """Losses are told once, returns too; counts outlive the streams they were made by.

    Thread: written by the card's, read by any.
    """

    def __init__(self, post: Post) -> None:
        """Start with nothing lost."""
        self._post = post
        self._lost: dict[Direction, list[PartLost]] = {}
        """Reasons that were told for a loss, the one in force last."""
        self._faults: dict[tuple[Direction, AudioFault], int] = {}
        self._frames: dict[Direction, int] = {}
        self.beats: dict[Direction, StreamClock] = {}
        """Of the streams that are open now."""
        self._opened: dict[Direction, PartFound] = {}
        """What to say of streams that were opened and have not called back yet."""
        self._told: dict[Direction, PartFound] = {}
        """What was logged last."""

    @property
    def is_anything_lost(self) -> bool:
        """Whether microphone or speaker is missing."""
        return bool(self._lost)

    def lost(self, direction: Direction, name: str, reason: str) -> None:
        """Say that it is missing, and again when the reason is another one.

        Each reason is logged once per loss above DEBUG.
        """
        event = PartLost(PARTS[direction], name, reason)
        told = self._lost.setdefault(direction, [])
        level = logging.DEBUG if event in told else logging.WARNING
        _log.log(level, '%s lost  device="%s" reason="%s"', direction, name, reason)
        if not told:
            self.add(direction, AudioFault.UNPLUG)
        if told[-1:] == [event]:
            return
        others = [known for known in told if known != event]
        self._lost[direction] = [*others, event][-REASONS:]
        self._post(event)

    def opened(
        self, beats: dict[Direction, StreamClock], found: dict[Direction, PartFound]
    ) -> None:
        """Take the beats of new streams, and what to say of each when it works."""
        self.beats = beats
        self._opened = dict(found)

    def note_first_beats(self) -> None:
        """Say what works: a stream that opens but never calls back does not."""
        for direction in tuple(self._opened):
            if self.beats[direction].frames:
                self._found(direction, self._opened.pop(direction))

    def add(self, direction: Direction, kind: AudioFault, count: int = 1) -> None:
        """Count a fault."""
        key = (direction, kind)
        self._faults[key] = self._faults.get(key, 0) + count

    def close(self) -> None:
        """Keep what the open streams have counted; they are about to go."""
        beats, self.beats, self._opened = self.beats, {}, {}
        for direction, stream_clock in beats.items():
            self.add(direction, AudioFault.XRUN, stream_clock.xruns)
            self._frames[direction] = (
                self._frames.get(direction, 0) + stream_clock.frames
            )

    def count(self, direction: Direction, kind: AudioFault) -> int:
        """Return how often this happened since the start."""
        past = self._faults.get((direction, kind), 0)
        stream_clock = self.beats.get(direction)
        return past + (
            stream_clock.xruns if stream_clock and kind is AudioFault.XRUN else 0
        )

    def blocks(self, direction: Direction) -> int:
        """Return how many blocks the card has taken or given."""
        stream_clock = self.beats.get(direction)
        frames = self._frames.get(direction, 0) + (
            stream_clock.frames if stream_clock else 0
        )
        return frames // BLOCK_FRAMES

    @property
    def delay_ms(self) -> int:
        """From the speaker's buffer to the microphone's, as PortAudio says."""
        # A duplex stream has one beat for both directions.
        return sum(stream_clock.delay_ms for stream_clock in set(self.beats.values()))

    @property
    def xruns(self) -> int:
        """Losses at the card since its streams were opened."""
        return max(
            (stream_clock.xruns for stream_clock in self.beats.values()), default=0
        )

    def _found(self, direction: Direction, found: PartFound) -> None:
        before = self._lost.pop(direction, None)
        is_new = before is not None or self._told.get(direction) != found
        level = logging.WARNING if found.notice else logging.INFO
        _log.log(
            level if is_new else logging.DEBUG,
            '%s open  device="%s"%s',
            direction,
            found.name,
            f' notice="{found.notice}"' if found.notice else "",
        )
        self._told[direction] = found
        self._post(found)
