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
from typing import Final

from appliance.audio.device_choice import Choice
from appliance.audio.devices import Device, Direction, listed
from appliance.audio.driver import Driver
from appliance.audio.latency_steps import LatencySteps
from appliance.audio.mixer import Mixer
from appliance.audio.reopen import ReopenPolicy
from appliance.audio.sender import Sender
from appliance.audio.stream_stats import PARTS, StreamStats
from appliance.audio.streams import LADDER, Streams
from appliance.config import SoundConfig
from appliance.core.events import PartFound
from appliance.errors import SoundError
from appliance.metrics.audio import AudioFault
from appliance.ports import Post

LOOK_S: Final = 0.25
STALL_S: Final = 1.0
"""R2.4: no callback for this long means that the stream is dead."""
LONG_LIFE_S: Final = 10.0
"""A stream that worked this long was a good one: its card is looked for at once."""
_log = logging.getLogger(__name__)


class _Wish(Enum):
    OPEN = "open"
    CLOSE = "close"
    END = "end"


class Supervisor:
    """The sound card, or the two of them.

    Thread: `open`, `close` and `end` from the loop; the work is done on its own thread,
    because PortAudio may take a second for it.
    """

    def __init__(
        self,
        config: SoundConfig,
        driver: Callable[[], Driver],
        mixer: Mixer,
        sender: Sender,
        post: Post,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            config: wishes for microphone and speaker.
            driver: imports and returns PortAudio, or raises `SoundError`; called on
                the card's thread.
            mixer: what the speaker plays.
            sender: takes what the microphone heard.
            post: takes `PartLost` and `PartFound`.
        """
        self._choice = Choice(config)
        self._import = driver
        self._mixer = mixer
        self._sender = sender
        self._inbox: SimpleQueue[_Wish] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="card", daemon=True)
        self._streams: Streams | None = None
        self._is_wanted = False
        self._driver: Driver | None = None
        self._reopen_policy = ReopenPolicy(self._choice.is_better_listed)
        self._names: dict[Direction, str] = {}
        self._opened_at_s = 0.0
        self._latency_steps = LatencySteps(len(LADDER))
        self.stats = StreamStats(post)
        """What is lost, and what was counted."""
        self.heartbeat_s = time.monotonic()
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
            self.heartbeat_s = time.monotonic()
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
            self._reopen_policy.reset()
            self._look()

    def _look(self) -> None:
        """Do what is due now: find dead streams, shaky cards and missing ones."""
        if not self._is_wanted:
            return
        self.stats.note_first_beats()
        self._close_dead()
        self._fit_buffer()
        is_due = self._reopen_policy.is_due(
            self._choice.cards,
            time.monotonic(),
            is_open=self._streams is not None,
            is_lost=self.stats.is_anything_lost,
            is_best=self._choice.is_best or not self._sender.is_idle,
        )
        if is_due:
            self._try()

    def _close_dead(self) -> None:
        """Close streams whose callbacks have stopped."""
        now_s = time.monotonic()
        beats = self.stats.beats.items()
        dead = [
            way for way, stream_clock in beats if now_s - stream_clock.at_s > STALL_S
        ]
        for direction in dead:
            self.stats.add(direction, AudioFault.STALL)
            self.stats.lost(direction, direction, "it stopped; was it unplugged?")
        if dead:
            self._shut()
        if dead and now_s - self._opened_at_s > LONG_LIFE_S:
            self._reopen_policy.reset()

    def _fit_buffer(self) -> None:
        """Open anew with a longer or shorter buffer, if the card asks for it."""
        if self._streams is None:
            return
        is_idle = self._sender.is_idle
        if self._latency_steps.has_moved(
            self.stats.xruns, time.monotonic(), is_idle=is_idle
        ):
            asked_ms = round(LADDER[self._latency_steps.latency_step].latency_s * 1000)
            _log.info("another buffer for the card  latency_ms=%d", asked_ms)
            self._try()

    def _try(self) -> None:
        """Open whatever is there."""
        self._shut()
        # Before the look: a card that comes during it is a change.
        cards = self._choice.cards
        wanted: dict[Direction, Device] = {}
        try:
            driver = self._renewed()
            wanted, missing = self._choice.choose(listed(driver.devices()))
        except SoundError as exc:
            missing = self._choice.missing_all(exc)
        for direction, why in missing.items():
            self.stats.lost(direction, why.device, why.reason)
        if wanted:
            self._open(driver, wanted)
        self._reopen_policy.note(cards, time.monotonic())

    def _open(self, driver: Driver, wanted: dict[Direction, Device]) -> None:
        names = {direction: device.name for direction, device in wanted.items()}
        self._latency_steps.start(time.monotonic(), is_other_card=names != self._names)
        self._names = names
        streams = Streams(driver, self._mixer, self._sender)
        failures = streams.open(
            wanted.get("microphone"),
            wanted.get("speaker"),
            LADDER[self._latency_steps.latency_step],
        )
        for direction, exc in failures.items():
            self.stats.lost(direction, exc.device, exc.reason)
        if not streams.beats:
            streams.close()
            return
        self._streams = streams
        self._choice.use(wanted, streams.beats)
        found = {
            direction: PartFound(
                PARTS[direction],
                wanted[direction].stable_name,
                self._choice.notice(direction),
            )
            for direction in streams.beats
        }
        self.stats.opened(streams.beats, found)
        self._sender.set_delay(self.stats.delay_ms)
        self._opened_at_s = time.monotonic()

    def _renewed(self) -> Driver:
        """Return the library, knowing the cards that are there now."""
        if self._driver is None:
            self._driver = self._import()
        else:
            self._driver.renew()
        return self._driver

    def _shut(self) -> None:
        self.stats.close()
        if self._streams is not None:
            self._streams.close()
            self._streams = None
            self._mixer.rest()
