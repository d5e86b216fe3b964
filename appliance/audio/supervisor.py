"""Supervisor of the sound streams: detects lost or stalled cards and reopens them.

PortAudio does not report an unplugged card: its callbacks just stop. So each callback
updates a `StreamClock`, which a thread checks. On a stall it closes the streams,
initialises PortAudio again (which finds new cards only then) and reopens the streams,
repeating this with a back-off until it succeeds.
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
from appliance.audio.reopen import ReopenPolicy
from appliance.audio.sender import Sender
from appliance.audio.stream_stats import PARTS, StreamStats
from appliance.audio.streams import LATENCY_STEPS_S, Streams
from appliance.config import SoundConfig
from appliance.core import fault_table
from appliance.core.events import PartFound
from appliance.errors import SoundError
from appliance.metrics.audio import AudioFault
from appliance.ports import Post

CHECK_S: Final = 0.25
STALL_S: Final = 1.0
"""Time without callbacks after which a stream counts as stalled."""
LONG_LIFE_S: Final = 10.0
"""A card that has worked for this long is searched again at once when it is lost."""
_log = logging.getLogger(__name__)


class _Order(Enum):
    OPEN = "open"
    CLOSE = "close"
    END = "end"


class Supervisor:
    """Thread that keeps the streams of microphone and speaker open.

    Thread: `open`, `close` and `end` from the loop; the work is done on its own thread,
    because PortAudio may block for a second.
    """

    def __init__(
        self,
        config: SoundConfig,
        driver: Callable[[], Driver],
        sender: Sender,
        post: Post,
        latency_steps: LatencySteps,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            config: orders of preference for microphone and speaker.
            driver: imports and returns PortAudio, or raises `SoundError`; called on
                the supervisor's thread.
            sender: consumer of captured blocks, with the mixer to be played.
            post: takes `PartLost` and `PartFound`.
            latency_steps: chooses one of `LATENCY_STEPS_S`.
        """
        self._choice = Choice(config)
        self._import = driver
        self._sender = sender
        self._inbox: SimpleQueue[_Order] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="card", daemon=True)
        self._streams: Streams | None = None
        self._is_wanted = False
        self._driver: Driver | None = None
        self._reopen_policy = ReopenPolicy(self._choice.is_better_listed)
        self._devices: dict[Direction, Device] = {}
        """Devices of the open streams."""
        self._opened_at_s = 0.0
        self._latency_steps = latency_steps
        self.stats = StreamStats(post)
        """Lost directions and counters."""
        self.heartbeat_s = time.monotonic()
        """Time of the thread's last iteration."""

    def start(self) -> None:
        """Start the thread; nothing is opened before `open`."""
        self._thread.start()

    def open(self) -> None:
        """Open the configured devices and keep them open."""
        self._inbox.put(_Order.OPEN)

    def close(self) -> None:
        """Close the streams."""
        self._inbox.put(_Order.CLOSE)

    def end(self) -> None:
        """Close the streams, stop the thread and wait for its end."""
        if self._thread.is_alive():
            self._inbox.put(_Order.END)
            self._thread.join()

    def _run(self) -> None:
        while True:
            self.heartbeat_s = time.monotonic()
            try:
                order = self._inbox.get(timeout=CHECK_S)
            except Empty:
                self._check()
                continue
            self._is_wanted = order is _Order.OPEN
            if not self._is_wanted:
                self._close_streams()
            if order is _Order.END:
                return
            self._reopen_policy.reset()
            self._check()

    def _check(self) -> None:
        """Check for stalled streams, repeated losses and missing devices."""
        if not self._is_wanted:
            return
        self.stats.note_first_callbacks()
        self._close_stalled()
        self._adapt_buffer()
        is_due = self._reopen_policy.is_due(
            self._choice.cards,
            time.monotonic(),
            is_open=self._streams is not None,
            is_lost=self.stats.is_anything_lost,
            is_best=self._choice.is_best or not self._sender.is_idle,
        )
        if is_due:
            self._reopen()

    def _close_stalled(self) -> None:
        """Close the streams if callbacks have stopped."""
        now_s = time.monotonic()
        clocks = self.stats.clocks.items()
        stalled = [
            way for way, stream_clock in clocks if now_s - stream_clock.at_s > STALL_S
        ]
        for direction in stalled:
            self.stats.add(direction, AudioFault.STALL)
            self.stats.lost(direction, direction, fault_table.CARD_STOPPED.text())
        if stalled:
            self._close_streams()
        if stalled and now_s - self._opened_at_s > LONG_LIFE_S:
            self._reopen_policy.reset()

    def _adapt_buffer(self) -> None:
        """Reopen with a longer or shorter buffer, if the losses call for it."""
        if self._streams is None or self._driver is None:
            return
        steps, driver = self._latency_steps, self._driver
        now_s = time.monotonic()
        if steps.has_moved(self.stats.losses, now_s, is_idle=self._sender.is_idle):
            asked_ms = round(LATENCY_STEPS_S[steps.latency_step] * 1000)
            _log.info("buffer size changed  latency_ms=%d", asked_ms)
            # Without a search, which would interrupt a talk for a second.
            self._close_streams()
            self._open(driver, self._devices)
            return
        self.stats.note_trouble(is_losing=steps.is_losing)

    def _reopen(self) -> None:
        """Search for cards and open the streams."""
        self._close_streams()
        # Read before the search: a card plugged in meanwhile then counts as a change.
        cards = self._choice.cards
        wanted: dict[Direction, Device] = {}
        try:
            driver = self._initialised()
            wanted, missing = self._choice.choose(listed(driver.devices()))
        except SoundError as exc:
            missing = self._choice.missing_all(exc)
        for direction, why in missing.items():
            self.stats.lost(direction, why.device, why.reason)
        if wanted:
            self._open(driver, wanted)
        self._reopen_policy.note(cards, time.monotonic())

    def _open(self, driver: Driver, wanted: dict[Direction, Device]) -> None:
        self._devices = wanted
        card = " and ".join(sorted({device.stable_name for device in wanted.values()}))
        self._latency_steps.start(card, time.monotonic())
        streams = Streams(driver, self._sender.mixer, self._sender)
        failures = streams.open(
            wanted.get("microphone"),
            wanted.get("speaker"),
            LATENCY_STEPS_S[self._latency_steps.latency_step],
        )
        for direction, exc in failures.items():
            self.stats.lost(direction, exc.device, exc.reason)
        if not streams.clocks:
            streams.close()
            return
        self._streams = streams
        self._choice.use(wanted, streams.clocks)
        found = {
            direction: PartFound(
                PARTS[direction],
                wanted[direction].stable_name,
                self._choice.notice(direction),
            )
            for direction in streams.clocks
        }
        self.stats.opened(streams.clocks, found)
        self._sender.set_delay(self.stats.delay_ms)
        self._opened_at_s = time.monotonic()

    def _initialised(self) -> Driver:
        """Return PortAudio, initialised with the cards that are there now."""
        if self._driver is None:
            self._driver = self._import()
        else:
            self._driver.renew()
        return self._driver

    def _close_streams(self) -> None:
        self.stats.close()
        if self._streams is not None:
            self._streams.close()
            self._streams = None
            self._sender.mixer.rest()
