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
from typing import Final, Protocol

from appliance.config import SoundConfig
from appliance.core.figures import SoundFault
from appliance.errors import SoundError
from appliance.ports import Block, Post
from appliance.sound.devices import ALSA_CARDS, Device, Direction, chosen, listed
from appliance.sound.playout import Playout
from appliance.sound.stream import LADDER, Streams
from appliance.sound.tally import Tally

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

_log = logging.getLogger(__name__)


class Ear(Protocol):
    """Where the microphone's sound goes."""

    def put(self, microphone: Block, played: Block) -> None:
        """Take 10 ms of what was heard, and what was played meanwhile."""

    def set_delay(self, delay_ms: int) -> None:
        """Take how long it is from the speaker's buffer to the microphone's."""


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
        ear: Ear,
        post: Post,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            config: wishes for microphone and speaker.
            library: imports and returns `sounddevice`; called on the card's thread.
            playout: what the speaker plays.
            ear: takes what the microphone heard.
            post: takes `PartLost` and `PartFound`.
        """
        self._wishes: dict[Direction, tuple[str, ...]] = {
            "microphone": config.microphone,
            "speaker": config.speaker,
        }
        self._import = library
        self._playout = playout
        self._ear = ear
        self._inbox: SimpleQueue[_Wish] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="card", daemon=True)
        self._streams: Streams | None = None
        self._is_wanted = False
        self._is_initialised = False
        self._tried_at_s = float("-inf")
        self._known_cards = ""
        self._rung = 0
        self._window_s = 0.0
        self._window_xruns = 0
        self.tally = Tally(post)
        """What is lost, and what was counted."""
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
            self._tried_at_s = float("-inf")
            self._look()

    def _look(self) -> None:
        """Do what is due now: find dead streams, shaky cards and missing ones."""
        if not self._is_wanted:
            return
        self._bury()
        self._climb()
        if self._is_due():
            self._try()

    def _bury(self) -> None:
        """Close streams whose callbacks have stopped."""
        late_s = time.monotonic() - STALL_S
        beats = self.tally.beats.items()
        dead = [direction for direction, beat in beats if beat.at_s < late_s]
        for direction in dead:
            self.tally.add(direction, SoundFault.STALL)
            self.tally.lost(direction, direction, "it stopped; was it unplugged?")
        if dead:
            self._shut()

    def _climb(self) -> None:
        """Give a card that drops blocks a longer buffer."""
        now_s, xruns = time.monotonic(), self.tally.xruns
        if self._streams is None or now_s - self._window_s < SHAKY_WINDOW_S:
            return
        is_shaky = xruns - self._window_xruns > SHAKY_XRUNS
        self._window_s, self._window_xruns = now_s, xruns
        if is_shaky and self._rung < len(LADDER) - 1:
            self._rung += 1
            asked_ms = round(LADDER[self._rung].latency_s * 1000)
            _log.info("card drops blocks, asking for more  latency_ms=%d", asked_ms)
            self._try()

    def _is_due(self) -> bool:
        """Whether to look for cards now."""
        waited_s = time.monotonic() - self._tried_at_s
        if self._streams is None:
            return waited_s >= RETRY_S
        if not self.tally.is_anything_lost:
            return False
        if self._known_cards:
            return waited_s >= RETRY_S and _cards() != self._known_cards
        return waited_s >= BLIND_RETRY_S

    def _try(self) -> None:
        """Open whatever is there."""
        self._shut()
        library = self._library()
        self._known_cards = _cards()
        devices = listed(library.query_devices())
        wanted: dict[Direction, Device] = {}
        for direction in self._wishes:
            device = self._found(direction, devices)
            if device is not None:
                wanted[direction] = device
        if wanted:
            self._open(library, wanted)
        self._tried_at_s = time.monotonic()

    def _open(self, library: ModuleType, wanted: dict[Direction, Device]) -> None:
        streams = Streams(library, self._playout, self._ear.put)
        failures = streams.open(
            wanted.get("microphone"), wanted.get("speaker"), LADDER[self._rung]
        )
        for direction, exc in failures.items():
            self.tally.lost(direction, exc.device, exc.reason)
        if not streams.beats:
            return
        self._streams = streams
        self.tally.beats = streams.beats
        self._ear.set_delay(self.tally.delay_ms)
        self._window_s, self._window_xruns = time.monotonic(), 0
        for direction in streams.beats:
            self.tally.found(direction, wanted[direction].name)

    def _library(self) -> ModuleType:
        """Return `sounddevice`, knowing the cards that are there now."""
        library = self._import()
        if self._is_initialised:
            library._terminate()
            library._initialize()
        self._is_initialised = True
        return library

    def _found(
        self, direction: Direction, devices: tuple[Device, ...]
    ) -> Device | None:
        try:
            return chosen(self._wishes[direction], devices, direction)
        except SoundError as exc:
            self.tally.lost(direction, exc.device, exc.reason)
            return None

    def _shut(self) -> None:
        self.tally.close()
        if self._streams is not None:
            self._streams.close()
            self._streams = None


def _cards() -> str:
    """Return ALSA's list of cards; empty where there is none to read."""
    try:
        return (ALSA_CARDS / "cards").read_text()
    except OSError:
        return ""
