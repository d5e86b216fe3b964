"""Statistics of the card's streams, and events for lost and found directions."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from appliance.audio.devices import Direction
from appliance.audio.silent_microphone import SilentMicrophone
from appliance.audio.stream_clock import STALL_S, StreamClock
from appliance.core import fault_table
from appliance.core.events import Part, PartFound, PartLost
from appliance.metrics.audio import AudioFault
from appliance.ports import Post

PARTS: Final[dict[Direction, Part]] = {
    "microphone": Part.MICROPHONE,
    "speaker": Part.SPEAKER,
}

LOSING: Final = fault_table.LOSES_SOUND.text()
SILENT: Final = fault_table.SILENT_MICROPHONE.text()
STOPPED: Final = fault_table.CARD_STOPPED.text()
DEAF: Final = fault_table.CARD_DEAF.text()
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
        self._blocks: dict[Direction, int] = {}
        self.clocks: dict[Direction, StreamClock] = {}
        """Clocks of the streams that are open now."""
        self._opened: dict[Direction, PartFound] = {}
        """Events for opened streams that have not called back yet."""
        self._logged: dict[Direction, PartFound] = {}
        """Last event logged for each direction."""
        self._working: dict[Direction, PartFound] = {}
        """Events of the streams that work, without the troubles."""
        self._troubles: dict[Direction, str] = {}
        self._silent_microphone = SilentMicrophone()

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
        self._silent_microphone = SilentMicrophone()

    def stopped(self, now_s: float) -> dict[Direction, str]:
        """Return the directions whose stream has stopped, and how."""
        clocks = self.clocks.items()
        deaf = {way: DEAF for way, clock in clocks if _is_deaf(way, clock, STALL_S)}
        return deaf | {
            way: STOPPED for way, clock in clocks if now_s - clock.at_s > STALL_S
        }

    def note_first_callbacks(self) -> None:
        """Post the streams that work; one that opens but never calls back does not."""
        for direction in tuple(self._opened):
            clock = self.clocks[direction]
            if clock.blocks and not _is_deaf(direction, clock, 0.0):
                found = self._opened.pop(direction)
                self._working[direction] = found
                self._troubles.pop(direction, None)
                self._found(direction, found)

    def note_trouble(self, *, is_losing: bool, is_gate_open: bool) -> None:
        """Post what is wrong with streams that work, and when it is over.

        Args:
            is_losing: whether the card loses blocks with the longest buffer too.
            is_gate_open: whether the captured sound is being sent.
        """
        for direction, found in self._working.items():
            clock = self.clocks.get(direction)
            is_silent = (
                direction == "microphone"
                and clock is not None
                and self._silent_microphone.update(clock, is_gate_open=is_gate_open)
            )
            troubles = [found.notice] if found.notice else []
            if is_losing and clock is not None and clock.xruns + clock.drops:
                troubles.append(LOSING)
            if is_silent:
                troubles.append(SILENT)
            notice = ", ".join(troubles)
            if notice != self._troubles.get(direction, found.notice):
                self._troubles[direction] = notice
                changed = replace(found, notice=notice, is_silent=is_silent)
                self._found(direction, changed)

    def add(self, direction: Direction, kind: AudioFault, count: int = 1) -> None:
        """Count a fault."""
        key = (direction, kind)
        self._faults[key] = self._faults.get(key, 0) + count

    def close(self, directions: Iterable[Direction] | None = None) -> None:
        """Add the counts of streams that are about to be closed; None: of all."""
        closing = set(self.clocks if directions is None else directions)
        clocks = self.clocks
        self.clocks = {way: clocks[way] for way in clocks if way not in closing}
        for direction in closing & clocks.keys():
            self._opened.pop(direction, None)
            self._working.pop(direction, None)
            stream_clock = clocks[direction]
            self.add(direction, AudioFault.XRUN, stream_clock.xruns)
            if direction == "microphone":
                self.add(direction, AudioFault.DROP, stream_clock.drops)
            past = self._blocks.get(direction, 0)
            self._blocks[direction] = past + stream_clock.blocks

    def count(self, direction: Direction, kind: AudioFault) -> int:
        """Return the number of these faults since the start."""
        past = self._faults.get((direction, kind), 0)
        stream_clock = self.clocks.get(direction)
        if stream_clock is None:
            return past
        if kind is AudioFault.XRUN:
            return past + stream_clock.xruns
        is_drop = kind is AudioFault.DROP and direction == "microphone"
        return past + (stream_clock.drops if is_drop else 0)

    def blocks(self, direction: Direction) -> int:
        """Return the number of blocks captured or played."""
        stream_clock = self.clocks.get(direction)
        past = self._blocks.get(direction, 0)
        return past + (stream_clock.blocks if stream_clock else 0)

    @property
    def delay_ms(self) -> int:
        """Latency from output to input, as reported by PortAudio."""
        # A duplex stream has one clock for both directions.
        return sum(stream_clock.delay_ms for stream_clock in set(self.clocks.values()))

    @property
    def losses(self) -> int:
        """Xruns and discarded periods since the streams were opened."""
        clocks = self.clocks.values()
        return max((clock.xruns + clock.drops for clock in clocks), default=0)

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


def _is_deaf(direction: Direction, clock: StreamClock, least_s: float) -> bool:
    """Return whether a microphone has delivered no samples for so long."""
    since_s = clock.deaf_since_s
    is_deaf = since_s is not None and clock.at_s - since_s >= least_s
    return is_deaf and direction == "microphone"
