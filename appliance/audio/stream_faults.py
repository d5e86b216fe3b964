"""Faults of the card's streams: counts, silent microphone, events of lost and found."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Final

from appliance.audio.stream_callbacks import STALL_S, StreamCounters
from appliance.core import fault_table
from appliance.core.events import PartFound, PartLost
from appliance.core.fault_table import joined
from appliance.metrics.counters import AudioFault
from appliance.ports import Post
from appliance.process.logs import FAULT_LINES, FAULT_WINDOW_S, LogLimit
from appliance.sound_cards.devices import PARTS, Direction

LOSING: Final = fault_table.LOSES_SOUND.text()
SILENT: Final = fault_table.SILENT_MICROPHONE.text()
STOPPED: Final = fault_table.CARD_STOPPED.text()
NO_SAMPLES: Final = fault_table.CARD_NO_SAMPLES.text()
REASONS: Final = 8
"""Number of reasons per loss that are remembered as logged."""
FIRST_ZEROS_S: Final = 2.0
"""Time with the gate open in which a microphone that has never delivered anything else
may deliver zeros; our choice, longer than it takes to begin to speak."""
ZEROS_S: Final = 4.5
"""The same for a microphone that did deliver sound; our choice, longer than the pauses
of a talk. Doubled each time that sound comes after all."""
MAX_ZEROS_S: Final = 72.0
"""Upper limit of the doubling, so that later mutes are still reported; our choice."""
HALVED_S: Final = 3600.0
"""Time after which the limit is halved, if no zeros took half of it; our choice, so
that each mute of a day is reported soon, and a noise gate seldom."""
_log = logging.getLogger(__name__)


class SilentMicrophone:
    """Detector for one microphone, over all its streams. Thread: the supervisor's."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.is_silent = False
        self._had_sound = False
        self._zeros_since_s: float | None = None
        self._open_at_s: float | None = None
        self._talked_s = 0.0
        """Time with the gate open since the zeros began, over several talks."""
        self._longest_s = ZEROS_S
        self._long_zeros_at_s = 0.0

    def update(self, counters: StreamCounters, *, is_gate_open: bool) -> None:
        """Set `is_silent` after some time of zeros; it stays so until sound comes."""
        zeros_since_s, now_s = counters.zeros_since_s, counters.at_s
        if zeros_since_s != self._zeros_since_s:
            self._zeros_since_s, self._talked_s = zeros_since_s, 0.0
            # A stream that was just opened has had neither zeros nor sound yet.
            if self.is_silent and counters.has_sound:
                self.is_silent = False
                self._longest_s = min(2 * self._longest_s, MAX_ZEROS_S)
        self._had_sound = self._had_sound or counters.has_sound
        opened_at_s, self._open_at_s = self._open_at_s, now_s if is_gate_open else None
        if opened_at_s is not None and is_gate_open and zeros_since_s is not None:
            self._talked_s += now_s - max(opened_at_s, zeros_since_s)
            longest_s = self._longest_s if self._had_sound else FIRST_ZEROS_S
            self.is_silent = self.is_silent or self._talked_s >= longest_s
        if self._talked_s >= self._longest_s / 2:
            self._long_zeros_at_s = now_s
        elif now_s - self._long_zeros_at_s >= HALVED_S:
            self._long_zeros_at_s = now_s
            self._longest_s = max(ZEROS_S, self._longest_s / 2)


class StreamFaults:
    """Faults and counters per direction, kept over the lifetime of single streams.

    Thread: written by the supervisor's, read by any.
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
        self._lost: dict[Direction, list[PartLost]] = {}
        """Reasons reported for a loss, the current one last."""
        self._faults: Counter[tuple[Direction, AudioFault]] = Counter()
        self._blocks: Counter[Direction] = Counter()
        self.counters: dict[Direction, StreamCounters] = {}
        """Counters of the streams that are open now."""
        self._opened: dict[Direction, PartFound] = {}
        """Events for opened streams that have not called back yet."""
        self._posted: dict[Direction, PartFound] = {}
        """Last event posted for each direction that works."""
        self._working: dict[Direction, PartFound] = {}
        """Events of the streams that work, without the troubles."""
        self._listed: dict[Direction, str] = {}
        """Names of the devices that worked and have not gone away since."""
        self._silent_microphone = SilentMicrophone()
        # Held while counts of closed streams take the place of their counters: one that
        # another thread reads must not go back.
        self._changing = threading.RLock()
        self.has_no_samples = False
        """Whether the microphone is open, but has delivered no samples for a second."""

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
        message = '%s lost  device="%s" reason="%s"'
        level = logging.DEBUG if event in reported else logging.WARNING
        self._write(level, message, direction, name, reason)
        if reported[-1:] == [event]:
            return
        others = [known for known in reported if known != event]
        self._lost[direction] = [*others, event][-REASONS:]
        self._post(event)

    def forget_losses(self) -> None:
        """Let what is missing be posted again when the sound, now closed, is opened."""
        self._lost.clear()

    def opened(
        self,
        counters: dict[Direction, StreamCounters],
        found: dict[Direction, PartFound],
    ) -> None:
        """Take the counters of new streams and the events to post when each works."""
        self.counters = dict(counters)
        self._opened = dict(found)
        microphone = found.get("microphone")
        if microphone and microphone.name != self._silent_microphone.name:
            self._silent_microphone = SilentMicrophone(microphone.name)
        self.has_no_samples = False

    def stopped(self, now_s: float) -> set[Direction]:
        """Return the directions whose stream does not call back any more."""
        counters = self.counters.items()
        return {way for way, counts in counters if now_s - counts.at_s > STALL_S}

    def note_first_callbacks(self) -> None:
        """Post the streams that work; one that opens but never calls back does not."""
        for direction in tuple(self._opened):
            counts = self.counters[direction]
            has_samples = direction == "speaker" or counts.no_samples_since_s is None
            if counts.blocks and has_samples:
                found = self._opened.pop(direction)
                self._listed[direction] = found.name
                self._working[direction] = found
                self._found(direction, self._with_troubles(direction, is_losing=False))

    def update(self, found: dict[Direction, PartFound]) -> None:
        """Take events with other notices for the streams that are open."""
        for events in (self._opened, self._working):
            events.update({way: found[way] for way in events.keys() & found.keys()})

    def note_listed(self, names: Collection[str]) -> None:
        """Count devices that worked and are not among these any more as unplugged."""
        for direction, name in tuple(self._listed.items()):
            if name not in names:
                del self._listed[direction]
                self.add(direction, AudioFault.UNPLUG)

    def note_missing_samples(self) -> bool:
        """Post that the microphone delivers nothing, and return whether that is new.

        Its stream stays open: the speaker of the same card plays on, and the microphone
        is reported again as soon as it delivers samples.
        """
        counts, had_no_samples = self.counters.get("microphone"), self.has_no_samples
        since_s = counts.no_samples_since_s if counts else None
        is_long = counts and since_s is not None and counts.at_s - since_s >= STALL_S
        self.has_no_samples = bool(is_long)
        if had_no_samples or not self.has_no_samples:
            return False
        found = self._working.pop("microphone", None) or self._opened["microphone"]
        self._opened["microphone"] = found
        self.add("microphone", AudioFault.STALL)
        self.lost("microphone", found.name, NO_SAMPLES)
        return True

    def note_trouble(
        self, *, losing: Collection[Direction], is_gate_open: bool
    ) -> None:
        """Post what is wrong with streams that work, and when it is over.

        `losing`: directions that lose blocks with the longest buffer too.
        """
        for direction in self._working:
            counts = self.counters[direction]
            if direction == "microphone":
                self._silent_microphone.update(counts, is_gate_open=is_gate_open)
            changed = self._with_troubles(direction, is_losing=direction in losing)
            if changed != self._posted[direction]:
                self._found(direction, changed)

    def _with_troubles(self, direction: Direction, *, is_losing: bool) -> PartFound:
        """Return the event for a stream that works, with its present troubles."""
        found = self._working[direction]
        is_silent = direction == "microphone" and self._silent_microphone.is_silent
        notices = (
            found.notice,
            self._card_volume_notice(direction, found.name),
            LOSING if is_losing else "",
            SILENT if is_silent else "",
        )
        return replace(found, notice=joined(notices), is_silent=is_silent)

    def add(self, direction: Direction, kind: AudioFault, count: int = 1) -> None:
        """Count faults."""
        self._faults[direction, kind] += count

    def close(self, directions: Iterable[Direction] | None = None) -> None:
        """Add the counts of streams that are about to be closed; None: of all."""
        closing = set(self.counters if directions is None else directions)
        self.has_no_samples = self.has_no_samples and "microphone" not in closing
        for direction in closing & self.counters.keys():
            self._opened.pop(direction, None)
            self._working.pop(direction, None)
            with self._changing:
                counts = self.counters[direction]
                for kind, losses in counts.losses(direction).items():
                    self.add(direction, kind, losses)
                self._blocks[direction] = self.blocks(direction)
                del self.counters[direction]

    def count(self, direction: Direction, kind: AudioFault) -> int:
        """Return the number of these faults since the start."""
        with self._changing:
            counts = self.counters.get(direction)
            present = counts.losses(direction)[kind] if counts else 0
            return self._faults[direction, kind] + present

    def blocks(self, direction: Direction) -> int:
        """Return the number of blocks captured or played."""
        with self._changing:
            counts = self.counters.get(direction)
            return self._blocks[direction] + (counts.blocks if counts else 0)

    @property
    def delay_ms(self) -> int:
        """Latency from output to input, as reported by PortAudio."""
        # A duplex stream has one object for both directions.
        return sum(counts.delay_ms for counts in set(self.counters.values()))

    @property
    def losses(self) -> dict[Direction, int]:
        """Losses of each direction since its stream was opened."""
        counters = self.counters.items()
        return {way: counts.losses(way).total() for way, counts in counters}

    def _found(self, direction: Direction, found: PartFound) -> None:
        before = self._lost.pop(direction, None)
        is_new = before is not None or self._posted.get(direction) != found
        level = logging.WARNING if found.notice else logging.INFO
        ending = f' notice="{found.notice}"' if found.notice else ""
        message, facts = '%s open  device="%s"%s', (direction, found.name, ending)
        self._write(level if is_new else logging.DEBUG, message, *facts)
        self._posted[direction] = found
        self._post(found)

    def _write(self, level: int, message: str, *facts: str) -> None:
        """Log a line; a loose contact may cause any number of them."""
        if level > logging.DEBUG:
            self._log_limit.log(_log, level, message, *facts)
        else:
            _log.debug(message, *facts)
