"""Faults of the card's streams: counts, silent microphone, events of lost and found."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final

from appliance.audio.stream_callbacks import StreamCounters, Totals
from appliance.core import fault_table
from appliance.core.events import PartFound, PartLost
from appliance.core.fault_table import joined
from appliance.metrics.counters import AudioFault
from appliance.ports import Post
from appliance.process.logs import FAULT_LINES, FAULT_WINDOW_S, LogLimit
from appliance.sound_cards.devices import PARTS, Direction

LOSING: Final = fault_table.LOSES_SOUND.text()
SILENT: Final = fault_table.SILENT_MICROPHONE.text()
NO_SAMPLES: Final = fault_table.CARD_NO_SAMPLES.text()
ZEROS_S: Final = 3.5
"""Time with the gate open in which a microphone may deliver zeros; our choice, longer
than most pauses of a talk. Doubled each time that sound comes after all."""
MAX_ZEROS_S: Final = 72.0
"""Upper limit of the doubling, so that later mutes are still reported; our choice."""
_log = logging.getLogger(__name__)


class SilentMicrophone:
    """Detector of zeros, for one stream. Thread: the supervisor's."""

    def __init__(self, counters: StreamCounters) -> None:
        self.counters = counters
        self.is_silent = False
        self._zeros_since_s: float | None = None
        self._longest_s = ZEROS_S
        self._talked_s = 0.0
        """Time with the gate open since the zeros began, over several talks."""
        self._open_at_s: float | None = None

    def update(self, *, is_gate_open: bool) -> None:
        """Set `is_silent` after some time of zeros; it stays so until sound comes."""
        zeros_since_s, now_s = self.counters.zeros_since_s, self.counters.at_s
        if zeros_since_s != self._zeros_since_s:
            self._zeros_since_s, self._talked_s = zeros_since_s, 0.0
            if self.is_silent:
                self.is_silent = False
                self._longest_s = min(2 * self._longest_s, MAX_ZEROS_S)
        opened_at_s, self._open_at_s = self._open_at_s, now_s if is_gate_open else None
        if opened_at_s is not None and is_gate_open and zeros_since_s is not None:
            self._talked_s += now_s - max(opened_at_s, zeros_since_s)
            self.is_silent = self.is_silent or self._talked_s >= self._longest_s


class StreamFaults:
    """Faults and counts per direction, kept over the lifetime of single streams.

    Thread: the supervisor's; `totals` are read by any.
    """

    def __init__(
        self,
        post: Post,
        card_volume_notice: Callable[[Direction, str], str] = lambda *_: "",
    ) -> None:
        """`post` takes `PartLost` and `PartFound`.

        `card_volume_notice` returns the notice about a card's own volume; empty: none.
        """
        self._post = post
        self._card_volume_notice = card_volume_notice
        self._log_limit = LogLimit(FAULT_LINES, window_s=FAULT_WINDOW_S)
        self.totals: Mapping[Direction, Totals] = {way: Totals() for way in PARTS}
        self._posted: dict[Direction, PartFound | PartLost] = {}
        """Last event about each direction."""
        self._listed: dict[Direction, str] = {}
        """Names of the devices that worked and have not gone away since."""
        self._silent_microphone: SilentMicrophone | None = None

    def lost(self, direction: Direction, name: str, reason: str) -> None:
        """Post that a direction is missing, and again if the reason changes."""
        event = PartLost(PARTS[direction], name, reason)
        line = '%s lost  device="%s" reason="%s"'
        self._tell(direction, event, logging.WARNING, line, reason)

    def forget(self) -> None:
        """Let everything be posted again when the sound, now closed, is opened."""
        self._posted.clear()

    def look(
        self,
        counters: Mapping[Direction, StreamCounters],
        found: Mapping[Direction, PartFound],
        *,
        losing: Collection[Direction] = (),
        is_gate_open: bool,
    ) -> None:
        """Post which streams work and what is wrong with them.

        A microphone that delivers no samples stays open, and with it the speaker of the
        same card.

        Args:
            counters: those of the open streams.
            found: an event for each of them, which may have a notice.
            losing: directions that lose blocks with the longest buffer too.
            is_gate_open: somebody should be heard.
        """
        for direction, counts in counters.items():
            event, is_silent = found[direction], False
            if direction == "microphone":
                if counts.has_no_samples:
                    self._lose_samples(event.name)
                if counts.no_samples_since_s is not None:
                    continue
                is_silent = self._is_silent(counts, is_gate_open=is_gate_open)
            self._listed[direction] = event.name
            notices = (
                event.notice,
                self._card_volume_notice(direction, event.name),
                LOSING if direction in losing else "",
                SILENT if is_silent else "",
            )
            event = replace(event, notice=joined(notices), is_silent=is_silent)
            level = logging.WARNING if event.notice else logging.INFO
            ending = f' notice="{event.notice}"' if event.notice else ""
            self._tell(direction, event, level, '%s open  device="%s"%s', ending)

    def note_listed(self, names: Collection[str]) -> None:
        """Count devices that worked and are not among these any more as unplugged."""
        for direction, name in tuple(self._listed.items()):
            if name not in names:
                del self._listed[direction]
                self.count(direction, AudioFault.UNPLUG)

    def count(self, direction: Direction, kind: AudioFault) -> None:
        """Count a fault."""
        self.totals[direction].faults[kind] += 1

    def _lose_samples(self, name: str) -> None:
        if not isinstance(self._posted.get("microphone"), PartLost):
            self.count("microphone", AudioFault.STALL)
        self.lost("microphone", name, NO_SAMPLES)

    def _is_silent(self, counters: StreamCounters, *, is_gate_open: bool) -> bool:
        """Return whether the microphone is silent; a new stream begins anew."""
        detector = self._silent_microphone
        if detector is None or detector.counters is not counters:
            detector = self._silent_microphone = SilentMicrophone(counters)
        detector.update(is_gate_open=is_gate_open)
        return detector.is_silent

    def _tell(
        self,
        direction: Direction,
        event: PartFound | PartLost,
        level: int,
        line: str,
        fact: str,
    ) -> None:
        """Post and log an event, unless it is the last one again."""
        if self._posted.get(direction) == event:
            return
        self._posted[direction] = event
        self._post(event)
        self._log_limit.log(_log, level, line, direction, event.name, fact)
