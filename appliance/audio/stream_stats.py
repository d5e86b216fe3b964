"""Statistics of the card's streams, and events for lost and found directions."""

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Final

from appliance.audio.devices import Direction
from appliance.audio.silent_microphone import SilentMicrophone
from appliance.core import fault_table
from appliance.core.events import Part, PartFound, PartLost
from appliance.core.hardware_fault import joined
from appliance.metrics.audio import AudioFault
from appliance.ports import Post
from appliance.process.logs import FAULT_LINES, FAULT_WINDOW_S, LogLimit

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
STALL_S: Final = 1.0
"""Time without callbacks, or without captured samples, after which a stream counts as
stopped."""
INPUT_UNDERFLOW: Final = 1
"""PortAudio's flag for a callback without captured samples. Source: portaudio.h,
`paInputUnderflow`."""
BLOCKS_PER_S: Final = 100
ADC_CERTAINTY: Final = 0.25
"""A period counts as discarded if three quarters of it are missing in the converter's
time, which is not exact."""
ADC_VALUES: Final = 10
"""The converter's time is compared by the earliest of so many values, because
some drivers report it up to 12 ms late. Of 10, one is nearly always in time."""
ADC_RATE_ERROR: Final = 0.001
"""The converter's clock may be slower than the nominal rate by this."""
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
        """Callbacks with a flag for lost samples; of a duplex stream in either
        direction, because PortAudio then starts both again."""
        self.missing = 0
        """Periods without captured samples, of a microphone that went on."""
        self.drops = 0
        """Captured periods that PortAudio discarded without reporting it, which it does
        when the speaker is not ready in time."""
        self.delay_ms = 0
        self.has_sound = False
        """Whether anything but zeros was captured."""
        self.zeros_since_s: float | None = None
        """Time since which only zeros are captured; None: there is sound."""
        self.deaf_since_s: float | None = None
        """Time since which PortAudio has had no captured samples for any callback; it
        passes zeros in their place. None: there are samples."""
        self._missed = 0
        # Periods by which the converter's time is ahead of the callbacks: at the last
        # comparison, and the least value since.
        self._ahead: float | None = None
        self._least_ahead = 0.0
        self._compared_blocks = self._values = 0

    def note(self, status: int, adc_s: float = 0.0) -> None:
        """Record one callback.

        Args:
            status: PortAudio's flags; not 0 after an xrun.
            adc_s: time at which the first captured frame was converted; 0, or not a
                finite number: unknown.
        """
        adc_s = adc_s if math.isfinite(adc_s) else 0.0
        self.at_s = self._now_s()
        self.blocks += 1
        if status & INPUT_UNDERFLOW:
            self._note_missed()
            return
        # More are a microphone that had stopped.
        self.missing += self._missed if self._missed < STALL_S * BLOCKS_PER_S else 0
        self._missed, self.deaf_since_s = 0, None
        if status:
            self.xruns += 1
        if status or not adc_s:
            self._ahead = None
        if adc_s:
            self._note_drops(adc_s * BLOCKS_PER_S - self.blocks)

    def note_sound(self, *, is_zero: bool) -> None:
        """Record whether all samples of a captured block are 0."""
        if not is_zero:
            self.has_sound, self.zeros_since_s = True, None
        elif self.zeros_since_s is None:
            self.zeros_since_s = self.at_s

    def _note_drops(self, ahead: float) -> None:
        """Count the periods that stay missing in the converter's time."""
        if self._ahead is None:
            self._ahead = self._least_ahead = ahead
            self._compared_blocks, self._values = self.blocks, 0
        self._least_ahead = min(self._least_ahead, ahead)
        # In idle mode one period in eight has a value.
        self._values += 1
        if self._values <= ADC_VALUES:
            return
        passed = self.blocks - self._compared_blocks
        missing = max(0, int(self._least_ahead - self._ahead + ADC_CERTAINTY))
        self.drops += missing
        latest = self._ahead + missing + passed * ADC_RATE_ERROR
        self._ahead = min(latest, self._least_ahead)
        self._least_ahead, self._compared_blocks = math.inf, self.blocks
        self._values = 1

    def _note_missed(self) -> None:
        """Record a callback without captured samples.

        It counts if the microphone goes on, and not if it has stopped.
        """
        self._missed += 1
        self._ahead = None
        if self.deaf_since_s is None:
            self.deaf_since_s = self.at_s

    def losses(self, direction: Direction) -> int:
        """Return the number of losses of every kind in this direction."""
        captured = self.missing + self.drops
        return self.xruns + (captured if direction == "microphone" else 0)

    def skip(self, blocks: int) -> None:
        """Record callbacks that were skipped in idle mode, which had no flags."""
        self.deaf_since_s = None
        self.at_s = self._now_s()
        self.blocks += blocks


class StreamStats:
    """Faults and counters per direction, kept over the lifetime of single streams.

    Thread: written by the supervisor's, read by any.
    """

    def __init__(self, post: Post) -> None:
        """Start with nothing lost."""
        self._post = post
        self._log_limit = LogLimit(FAULT_LINES, window_s=FAULT_WINDOW_S)
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
        self._listed: dict[Direction, str] = {}
        """Names of the devices that worked and have not gone away since."""
        self._troubles: dict[Direction, str] = {}
        """Notice last posted for each of them."""
        self.level_notice: Callable[[Direction, str], str] = lambda *_: ""
        """Returns the notice about the hardware level of this device; empty: none."""
        self._silent_microphone = SilentMicrophone()
        # Held while counts of closed streams take the place of their clocks.
        self._changing = threading.Lock()
        self.is_deaf = False
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

    def opened(
        self, clocks: dict[Direction, StreamClock], found: dict[Direction, PartFound]
    ) -> None:
        """Take the clocks of new streams and the events to post when each works."""
        self.clocks = clocks
        self._opened = dict(found)
        microphone = found.get("microphone")
        if microphone and microphone.name != self._silent_microphone.name:
            self._silent_microphone = SilentMicrophone(microphone.name)
        self.is_deaf = False

    def stopped(self, now_s: float) -> set[Direction]:
        """Return the directions whose stream does not call back any more."""
        clocks = self.clocks.items()
        return {way for way, clock in clocks if now_s - clock.at_s > STALL_S}

    def note_first_callbacks(self) -> None:
        """Post the streams that work; one that opens but never calls back does not."""
        for direction in tuple(self._opened):
            clock = self.clocks[direction]
            if clock.blocks and not _is_deaf(direction, clock):
                found = self._opened.pop(direction)
                self._listed[direction] = found.name
                self._working[direction] = found
                changed = self._with_troubles(direction, is_losing=False)
                self._troubles[direction] = changed.notice
                self._found(direction, changed)

    def note_listed(self, names: Collection[str]) -> None:
        """Count devices that worked and are not among these any more as unplugged."""
        for direction, name in tuple(self._listed.items()):
            if name not in names:
                del self._listed[direction]
                self.add(direction, AudioFault.UNPLUG)

    def note_deaf(self) -> bool:
        """Post that the microphone delivers nothing, and return whether that is new.

        Its stream stays open: the speaker of the same card plays on, and the microphone
        is reported again as soon as it delivers samples.
        """
        clock, was_deaf = self.clocks.get("microphone"), self.is_deaf
        since_s = None if clock is None else clock.deaf_since_s
        self.is_deaf = (
            clock is not None
            and since_s is not None
            and clock.at_s - since_s >= STALL_S
        )
        if was_deaf or not self.is_deaf:
            return False
        found = self._working.pop("microphone", None) or self._opened["microphone"]
        self._opened["microphone"] = found
        self.add("microphone", AudioFault.STALL)
        self.lost("microphone", found.name, DEAF)
        return True

    def note_trouble(self, *, is_losing: bool, is_gate_open: bool) -> None:
        """Post what is wrong with streams that work, and when it is over.

        Args:
            is_losing: whether the card loses blocks with the longest buffer too.
            is_gate_open: whether the captured sound is being sent.
        """
        for direction in self._working:
            clock = self.clocks[direction]
            if direction == "microphone":
                self._silent_microphone.update(clock, is_gate_open=is_gate_open)
            is_lossy = is_losing and clock.losses(direction) > 0
            changed = self._with_troubles(direction, is_losing=is_lossy)
            if changed.notice != self._troubles[direction]:
                self._troubles[direction] = changed.notice
                self._found(direction, changed)

    def _with_troubles(self, direction: Direction, *, is_losing: bool) -> PartFound:
        """Return the event for a stream that works, with its present troubles."""
        found = self._working[direction]
        is_silent = direction == "microphone" and self._silent_microphone.is_silent
        notices = (
            found.notice,
            self.level_notice(direction, found.name),
            LOSING if is_losing else "",
            SILENT if is_silent else "",
        )
        return replace(found, notice=joined(notices), is_silent=is_silent)

    def add(self, direction: Direction, kind: AudioFault, count: int = 1) -> None:
        """Count a fault."""
        key = (direction, kind)
        self._faults[key] = self._faults.get(key, 0) + count

    def close(self, directions: Iterable[Direction] | None = None) -> None:
        """Add the counts of streams that are about to be closed; None: of all."""
        clocks = self.clocks
        closing = set(clocks if directions is None else directions) & clocks.keys()
        self.is_deaf = self.is_deaf and "microphone" not in closing
        faults, blocks = dict(self._faults), dict(self._blocks)
        for direction in closing:
            self._opened.pop(direction, None)
            self._working.pop(direction, None)
            for kind in (AudioFault.XRUN, AudioFault.DROP):
                faults[direction, kind] = self.count(direction, kind)
            blocks[direction] = self.blocks(direction)
        left = {way: clock for way, clock in clocks.items() if way not in closing}
        # At once, because a counter that another thread reads must not go back.
        with self._changing:
            self._faults, self._blocks, self.clocks = faults, blocks, left

    def count(self, direction: Direction, kind: AudioFault) -> int:
        """Return the number of these faults since the start."""
        with self._changing:
            past = self._faults.get((direction, kind), 0)
            stream_clock = self.clocks.get(direction)
        if stream_clock is None:
            return past
        is_microphone = direction == "microphone"
        if kind is AudioFault.XRUN:
            missing = stream_clock.missing if is_microphone else 0
            return past + stream_clock.xruns + missing
        is_drop = kind is AudioFault.DROP and is_microphone
        return past + (stream_clock.drops if is_drop else 0)

    def blocks(self, direction: Direction) -> int:
        """Return the number of blocks captured or played."""
        with self._changing:
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
        """Losses of the worse direction since the streams were opened."""
        clocks = self.clocks.items()
        return max((clock.losses(direction) for direction, clock in clocks), default=0)

    def _found(self, direction: Direction, found: PartFound) -> None:
        before = self._lost.pop(direction, None)
        is_new = before is not None or self._logged.get(direction) != found
        level = logging.WARNING if found.notice else logging.INFO
        ending = f' notice="{found.notice}"' if found.notice else ""
        message, facts = '%s open  device="%s"%s', (direction, found.name, ending)
        self._write(level if is_new else logging.DEBUG, message, *facts)
        self._logged[direction] = found
        self._post(found)

    def _write(self, level: int, message: str, *facts: str) -> None:
        """Log a line; a loose contact may cause any number of them."""
        if level > logging.DEBUG:
            self._log_limit.log(_log, level, message, *facts)
        else:
            _log.debug(message, *facts)


def _is_deaf(direction: Direction, clock: StreamClock) -> bool:
    return direction == "microphone" and clock.deaf_since_s is not None
