"""Keeps microphone and speaker open through loss, stall and return (R2.3, R2.4).

PortAudio tells nobody that a card was unplugged: callbacks just stop. So the callbacks
leave a beat, and a thread of our own looks at it, closes, initialises PortAudio anew
(it does not see new cards otherwise) and opens again, for as long as it takes.
"""

import logging
import threading
import time
from collections.abc import Callable
from enum import Enum
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Final

from appliance.config import SoundConfig
from appliance.core.events import Part, PartFound, PartLost
from appliance.core.figures import SoundFault
from appliance.errors import SoundError
from appliance.ports import Post
from appliance.sound.devices import ALSA_CARDS, Device, Direction, chosen, listed
from appliance.sound.dsp import BLOCK_FRAMES
from appliance.sound.playout import Playout
from appliance.sound.stream import LADDER, Put, Streams

LOOK_S: Final = 0.25
STALL_S: Final = 1.0
"""R2.4: no callback for this long means that the stream is dead."""
RETRY_S: Final = 1.0
"""R2.3 wants sound back 3 s after the card; opening takes up to one."""
BLIND_RETRY_S: Final = 5.0
"""How often to look for the missing half of a pair where ALSA does not tell: each look
interrupts the half that works."""
SHAKY_XRUNS: Final = 5
SHAKY_WINDOW_S: Final = 10.0
"""More losses than this in ten seconds, and the card gets a longer buffer."""

PARTS: Final[dict[Direction, Part]] = {
    "microphone": Part.MICROPHONE,
    "speaker": Part.SPEAKER,
}

_log = logging.getLogger(__name__)


class _Wish(Enum):
    OPEN = "open"
    CLOSE = "close"
    END = "end"


class Card:
    """The sound card, or the two of them.

    Thread: `open`, `close` and `end` from the loop; the work is done on its own thread,
    because PortAudio may take a second for it.
    """

    def __init__(
        self,
        config: SoundConfig,
        library: Callable[[], ModuleType],
        playout: Playout,
        put: Put,
        post: Post,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            config: wishes for microphone and speaker.
            library: imports and returns `sounddevice`; called on the card's thread.
            playout: what the speaker plays.
            put: takes what the microphone heard.
            post: takes `PartLost` and `PartFound`.
        """
        self._wishes: dict[Direction, tuple[str, ...]] = {
            "microphone": config.microphone,
            "speaker": config.speaker,
        }
        self._import = library
        self._playout = playout
        self._put = put
        self._post = post
        self._inbox: SimpleQueue[_Wish] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="card", daemon=True)
        self._streams: Streams | None = None
        self._lost: dict[Direction, PartLost] = {}
        self._is_wanted = False
        self._is_fresh = False
        self._next_try_s = 0.0
        self._seen_cards = ""
        self._rung = 0
        self._window_s = 0.0
        self._window_xruns = 0
        self._past: dict[tuple[Direction, SoundFault], int] = {}
        self._past_frames: dict[Direction, int] = {}
        self.beat_s = time.monotonic()
        """When the thread last turned."""

    def start(self) -> None:
        """Begin to work; nothing is opened before `open`."""
        self._thread.start()

    def open(self) -> None:
        """Open what there is, and keep it open."""
        self._inbox.put(_Wish.OPEN)

    def close(self) -> None:
        """Close both."""
        self._inbox.put(_Wish.CLOSE)

    def end(self) -> None:
        """Close both and end the thread; returns when that is done."""
        if self._thread.is_alive():
            self._inbox.put(_Wish.END)
            self._thread.join()

    @property
    def delay_ms(self) -> int:
        """From the speaker's buffer to the microphone's, as PortAudio says."""
        streams = self._streams
        beats = set(streams.beats.values()) if streams else set()
        return sum(beat.delay_ms for beat in beats)

    def count(self, direction: Direction, kind: SoundFault) -> int:
        """Return how often this happened since the start."""
        past = self._past.get((direction, kind), 0)
        if kind is not SoundFault.XRUN:
            return past
        beats = self._streams.beats if self._streams else {}
        return past + (beats[direction].xruns if direction in beats else 0)

    def blocks(self, direction: Direction) -> int:
        """Return how many blocks the card has taken or given."""
        beats = self._streams.beats if self._streams else {}
        now = beats[direction].frames if direction in beats else 0
        return (self._past_frames.get(direction, 0) + now) // BLOCK_FRAMES

    def _run(self) -> None:
        while True:
            self.beat_s = time.monotonic()
            try:
                wish = self._inbox.get(timeout=LOOK_S)
            except Empty:
                self._look()
                continue
            self._is_wanted = wish is _Wish.OPEN
            if not self._is_wanted:
                self._shut()
            if wish is _Wish.END:
                return
            self._next_try_s = 0.0
            self._look()

    def _look(self) -> None:
        """Do what is due now: open, find dead streams, find missing halves."""
        if not self._is_wanted:
            return
        for direction, name in self._dead():
            self._note_lost(direction, name, "it stopped; was it unplugged?")
            self._add(direction, SoundFault.STALL)
            self._shut()
        self._steady()
        if self._is_due():
            self._next_try_s = time.monotonic() + RETRY_S
            self._try()

    def _is_due(self) -> bool:
        is_open = self._streams is not None and bool(self._streams.beats)
        if time.monotonic() < self._next_try_s:
            return False
        if not is_open:
            return True
        if not self._lost:
            return False
        if self._seen_cards:
            return _cards() != self._seen_cards
        return time.monotonic() >= self._next_try_s - RETRY_S + BLIND_RETRY_S

    def _try(self) -> None:
        """Open whatever is there."""
        self._shut()
        library = self._library()
        self._seen_cards = _cards()
        devices = listed(library.query_devices())
        microphone = self._find("microphone", devices)
        speaker = self._find("speaker", devices)
        if microphone is None and speaker is None:
            return
        self._streams = Streams(library, self._playout, self._put)
        try:
            self._streams.open(microphone, speaker, LADDER[self._rung])
        except SoundError as exc:
            found: tuple[tuple[Direction, Device | None], ...] = (
                ("microphone", microphone),
                ("speaker", speaker),
            )
            for direction, device in found:
                if device is not None:
                    self._note_lost(direction, exc.device, exc.reason)
            return
        self._window_s = time.monotonic()
        self._window_xruns = 0
        self._note_found(microphone, speaker)

    def _library(self) -> ModuleType:
        """Return `sounddevice`, knowing the cards that are there now."""
        library = self._import()
        if self._is_fresh:
            library._terminate()
            library._initialize()
        self._is_fresh = True
        return library

    def _find(self, direction: Direction, devices: tuple[Device, ...]) -> Device | None:
        try:
            return chosen(self._wishes[direction], devices, direction)
        except SoundError as exc:
            self._note_lost(direction, exc.device, exc.reason)
            return None

    def _dead(self) -> tuple[tuple[Direction, str], ...]:
        if self._streams is None:
            return ()
        late_s = time.monotonic() - STALL_S
        beats = self._streams.beats.items()
        return tuple((way, way) for way, beat in beats if beat.at_s < late_s)

    def _steady(self) -> None:
        """Give a card that drops blocks a longer buffer."""
        now_s = time.monotonic()
        if self._streams is None or now_s - self._window_s < SHAKY_WINDOW_S:
            return
        beats = self._streams.beats.values()
        xruns = max((beat.xruns for beat in beats), default=0)
        is_shaky = xruns - self._window_xruns > SHAKY_XRUNS
        self._window_s, self._window_xruns = now_s, xruns
        if is_shaky and self._rung < len(LADDER) - 1:
            self._rung += 1
            asked_ms = round(LADDER[self._rung].latency_s * 1000)
            _log.info("card drops blocks, asking for more  latency_ms=%d", asked_ms)
            self._try()

    def _shut(self) -> None:
        if self._streams is None:
            return
        for direction, beat in self._streams.beats.items():
            self._add(direction, SoundFault.XRUN, beat.xruns)
            before = self._past_frames.get(direction, 0)
            self._past_frames[direction] = before + beat.frames
        self._streams.close()
        self._streams = None

    def _add(self, direction: Direction, kind: SoundFault, count: int = 1) -> None:
        key = (direction, kind)
        self._past[key] = self._past.get(key, 0) + count

    def _note_lost(self, direction: Direction, name: str, reason: str) -> None:
        """Say it once; the same loss again is only worth a debug line."""
        event = PartLost(PARTS[direction], name, reason)
        before = self._lost.get(direction)
        level = logging.DEBUG if before else logging.WARNING
        _log.log(level, '%s lost  device="%s" reason="%s"', direction, name, reason)
        if before is not None:
            return
        self._lost[direction] = event
        self._add(direction, SoundFault.UNPLUG)
        self._post(event)

    def _note_found(self, microphone: Device | None, speaker: Device | None) -> None:
        found: tuple[tuple[Direction, Device | None], ...] = (
            ("microphone", microphone),
            ("speaker", speaker),
        )
        for direction, device in found:
            if device is None:
                continue
            _log.info('%s open  device="%s"', direction, device.name)
            before = self._lost.pop(direction, None)
            name = before.name if before else device.name
            self._post(PartFound(PARTS[direction], name))


def _cards() -> str:
    """Return ALSA's list of cards; empty where there is none to read."""
    try:
        return (ALSA_CARDS / "cards").read_text()
    except OSError:
        return ""
