"""Statistics of the card's streams, and events for lost and found directions."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from appliance.audio.devices import Direction
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
REASONS: Final = 8
"""Number of reasons per loss that are remembered as logged."""
BLOCKS_PER_S: Final = 100
ZEROS_S: Final = 5.0
"""Exact zeros for this long mean a switch or a mixer control, not a quiet room: the
noise of a converter is not 0."""
ADC_CERTAINTY: Final = 0.25
"""A period counts as discarded if three quarters of it are missing in the converter's
time, which is not exact."""
_log = logging.getLogger(__name__)


class StreamClock:
    """Heartbeat and counters of one stream, written by its callback.

    Single numbers, so that reading needs no lock.
    """

    def __init__(
        self, rate_hz: int, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Start now.

        Args:
            rate_hz: rate of the card.
            now_s: monotonic clock.
        """
        self.rate_hz = rate_hz
        self._now_s = now_s
        self.at_s = now_s()
        """Time of the last callback."""
        self.blocks = 0
        """Periods of 10 ms so far."""
        self.xruns = 0
        self.drops = 0
        """Captured periods that PortAudio discarded without reporting it, which it does
        when the speaker is not ready in time."""
        self.delay_ms = 0
        self.has_sound = False
        """Whether anything but zeros was captured."""
        self.zeros_since_s: float | None = None
        """Time since which only zeros are captured; None: there is sound."""
        self._adc_s = 0.0
        self._adc_blocks = 0

    def note(self, status: int, adc_s: float = 0.0) -> None:
        """Record one callback.

        Args:
            status: PortAudio's flags; not 0 after an xrun.
            adc_s: time at which the first captured frame was converted; 0: unknown.
        """
        self.at_s = self._now_s()
        self.blocks += 1
        if status:
            self.xruns += 1
        elif adc_s and self._adc_s:
            passed = (adc_s - self._adc_s) * BLOCKS_PER_S
            missing = int(passed - (self.blocks - self._adc_blocks) + ADC_CERTAINTY)
            self.drops += max(0, missing)
        self._adc_s, self._adc_blocks = adc_s, self.blocks

    def note_sound(self, *, is_zero: bool) -> None:
        """Record whether all samples of a captured block are 0."""
        if not is_zero:
            self.has_sound, self.zeros_since_s = True, None
        elif self.zeros_since_s is None:
            self.zeros_since_s = self.at_s

    @property
    def is_muted(self) -> bool:
        """Whether the microphone had sound and delivers zeros now."""
        since_s = self.zeros_since_s if self.has_sound else None
        return since_s is not None and self.at_s - since_s >= ZEROS_S

    def skip(self, blocks: int) -> None:
        """Record callbacks that were skipped in idle mode."""
        self.at_s = self._now_s()
        self.blocks += blocks


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
            if self.clocks[direction].blocks:
                found = self._opened.pop(direction)
                self._working[direction] = found
                self._troubles.pop(direction, None)
                self._found(direction, found)

    def note_trouble(self, *, is_losing: bool) -> None:
        """Post what is wrong with streams that work, and when it is over.

        Args:
            is_losing: whether the card loses blocks with the longest buffer too.
        """
        for direction, found in self._working.items():
            clock = self.clocks.get(direction)
            is_microphone = direction == "microphone"
            troubles = [found.notice] if found.notice else []
            if is_losing and clock is not None and clock.xruns + clock.drops:
                troubles.append(LOSING)
            if is_microphone and clock is not None and clock.is_muted:
                troubles.append(SILENT)
            notice = ", ".join(troubles)
            if notice != self._troubles.get(direction, found.notice):
                self._troubles[direction] = notice
                self._found(direction, replace(found, notice=notice))

    def add(self, direction: Direction, kind: AudioFault, count: int = 1) -> None:
        """Count a fault."""
        key = (direction, kind)
        self._faults[key] = self._faults.get(key, 0) + count

    def close(self) -> None:
        """Add the counts of the open streams, which are about to be closed."""
        clocks, self.clocks, self._opened = self.clocks, {}, {}
        self._working = {}
        for direction, stream_clock in clocks.items():
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
