"""Supervisor of the sound streams: detects lost or stalled cards and reopens them.

PortAudio does not report an unplugged card: its callbacks just stop. A thread notices
that, initialises PortAudio again, which finds new cards only then, and opens them.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Final

from appliance.audio.driver import Driver
from appliance.audio.latency_steps import LATENCY_STEPS_S, LatencySteps
from appliance.audio.reopen_policy import ReopenPolicy, SoundState
from appliance.audio.sender import Sender
from appliance.audio.stream_faults import STOPPED, StreamFaults
from appliance.audio.streams import Streams
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.metrics.counters import AudioFault
from appliance.sound_cards.alsa_devices import without_closed
from appliance.sound_cards.devices import Device, Direction, listed
from appliance.sound_cards.selected_devices import SelectedDevices

CHECK_S: Final = 0.25
PAUSE_S: Final = 2.0
"""A pause in speech this long may be used to reopen the streams."""
LONG_TALK_S: Final = 120.0
"""A gate that has been open for longer is hardly held open by a button. In a shorter
talk a pause is for thinking, and reopening might cost the first or the next word."""
LONG_LIFE_S: Final = 10.0
"""A card lost after working for at least this long is searched for at once."""
DUPLEX_RETRY_S: Final = 300.0
"""Time after which a card whose duplex stream did not run is opened with one again,
because two streams have a longer delay."""
DUPLEX_RETRY_FACTOR: Final = 4
"""Factor by which that time grows with each attempt: with some cards it never works."""
_log = logging.getLogger(__name__)


class _Order(Enum):
    OPEN = "open"
    CLOSE = "close"
    END = "end"


class Supervisor:
    """Thread that keeps the streams of microphone and speaker open.

    Thread: `open`, `close` and `end` the loop's; the work, which may block, its own.
    """

    def __init__(
        self,
        choice: SelectedDevices,
        driver: Callable[[], Driver],
        sender: Sender,
        faults: StreamFaults,
        latency_steps: LatencySteps,
    ) -> None:
        """`driver` creates the driver; it is called on the supervisor's thread."""
        self._choice = choice
        self._create_driver = driver
        self._sender = sender
        self._inbox: SimpleQueue[_Order] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="card", daemon=True)
        self._streams: Streams | None = None
        self._is_wanted = False
        self._driver: Driver | None = None
        self._reopen_policy = ReopenPolicy(
            self._is_better_listed, choice.is_plugin_wanted
        )
        self._devices: dict[Direction, Device] = {}
        self._opened_at_s = self._voice_at_s = 0.0
        self.long_talk_s = LONG_TALK_S
        """Time after which pauses of a talk may be used to reopen working streams."""
        self._split_cards: str | None = None
        """List of cards with which a duplex stream did not run."""
        self.duplex_retry_s = DUPLEX_RETRY_S
        """Time after which such a card is opened with a duplex stream again."""
        self._retry_cards: str | None = None
        """List of cards for which that time holds."""
        self._left_out: Direction | None = None
        """Direction that hung when it was opened; the next attempt is made without it,
        so that the other one works."""
        self._hangs = self._alone_at_hang = 0
        """Hangs since the last success, and after how many one is left out again."""
        self._latency_steps = latency_steps
        self.set_card_volumes: Callable[[dict[Direction, Device]], None] | None = None
        """Takes the open devices, to set the volumes of new cards; without any of them
        the sound was closed. None: nobody sets volumes."""
        self.faults = faults
        self._iterated_at_s = self._gate_closed_at_s = time.monotonic()

    @property
    def heartbeat_s(self) -> float:
        """Time at which the thread was last seen to work.

        A search makes some twenty calls, each of which has a time limit.
        """
        driver = self._driver
        answered_at_s = 0.0 if driver is None else driver.answered_at_s
        return max(self._iterated_at_s, answered_at_s)

    def start(self) -> None:
        """Start the thread; nothing is opened before `open`."""
        self._thread.start()

    def open(self) -> None:
        """Open the configured devices and keep them open."""
        # Requested while the card was closed. Later ones are played when it is open.
        self._sender.mixer.drop_earcons()
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
            self._iterated_at_s = time.monotonic()
            try:
                order = self._inbox.get(timeout=CHECK_S)
            except Empty:
                self._check()
                continue
            self._is_wanted = order is _Order.OPEN and self._choice.is_any_wanted
            if not self._is_wanted:
                self._close_streams()
                self.faults.forget_losses()
                self._pass_devices()
            if order is _Order.END:
                break
            self._reopen_policy.reset()
            self._left_out = None
            self._hangs = self._alone_at_hang = 0
            self._check()
        if self._driver is not None:
            self._driver.close()

    def _check(self) -> None:
        """Check for stopped streams, repeated losses and missing devices."""
        if not self._is_wanted:
            return
        self.faults.note_first_callbacks()
        if self.faults.note_missing_samples():
            self._note_loss()
        self._close_stopped()
        state = self._state()
        self._adapt_buffer(is_idle=state.is_idle)
        if state.is_idle:
            self._retry_duplex()
        if self._reopen_policy.is_due(self._choice.list_cards, time.monotonic(), state):
            self._reopen()

    def _state(self) -> SoundState:
        now_s, sender, counters = time.monotonic(), self._sender, self.faults.counters
        is_gate_open = sender.gate.is_open and "microphone" in counters
        if not is_gate_open:
            self._gate_closed_at_s = now_s
        if sender.meter.is_voice:
            self._voice_at_s = now_s
        talked_s = now_s - self._gate_closed_at_s
        return SoundState(
            is_open=self._streams is not None,
            is_stuck=self._driver is not None and bool(self._driver.failure()),
            is_lost=self.faults.is_anything_lost,
            has_no_samples=self.faults.has_no_samples,
            is_best=self._choice.is_best,
            is_talking=is_gate_open and now_s - self._voice_at_s < PAUSE_S,
            is_in_short_talk=is_gate_open and talked_s < self.long_talk_s,
            is_playing="speaker" in counters and not sender.mixer.is_idle,
        )

    def _close_stopped(self) -> None:
        """Close streams whose callbacks have stopped; the other direction goes on."""
        if self._streams is None or self._driver is None:
            return
        is_over = bool(self._driver.failure())
        now_s, counters = time.monotonic(), self.faults.counters
        stopped = set(counters) if is_over else self.faults.stopped(now_s)
        if not stopped:
            return
        devices = self._devices
        rest = {way: devices[way] for way in counters.keys() - stopped}
        if rest:
            self.faults.close(stopped)
            self._streams.close(stopped)
            self._devices = rest
            self._latency_steps.keep_open(_names(rest), now_s)
            self._choice.use(rest, rest)
            if "speaker" in stopped:
                self._sender.mixer.drop_pending()
        else:
            if not any(counts.blocks for counts in counters.values()):
                cards = without_closed(self._choice.list_cards())
                self._split_cards = None if self._split_cards == cards else cards
                if cards != self._retry_cards:
                    self._retry_cards, self.duplex_retry_s = cards, DUPLEX_RETRY_S
            self._close_streams()
        # Closing may have failed as well, and names the call in which.
        self._lose({way: devices[way] for way in stopped}, self._driver.failure())

    def _lose(self, devices: dict[Direction, Device], failure: str) -> None:
        """Post that the streams of these devices have ended."""
        for direction, device in sorted(devices.items()):
            self.faults.add(direction, AudioFault.STALL)
            self.faults.lost(direction, device.stable_name, failure or STOPPED)
        self._pass_devices()
        self._note_loss()

    def _note_loss(self) -> None:
        """Search again at once for a card that worked, else after a while."""
        now_s = time.monotonic()
        if now_s - self._opened_at_s > LONG_LIFE_S:
            self._reopen_policy.reset()
        elif self._streams is not None:
            self._reopen_policy.postpone(now_s)

    def _adapt_buffer(self, *, is_idle: bool) -> None:
        """Reopen with a longer or shorter buffer, if the losses call for it.

        `is_idle`: nobody is heard, here or there, and no short talk goes on; the gate
        may be open for hours.
        """
        if self._streams is None or self._driver is None:
            return
        steps = self._latency_steps
        if steps.update(self.faults.losses, time.monotonic(), is_idle=is_idle):
            asked_s = LATENCY_STEPS_S[steps.latency_step]
            _log.info("buffer size changed  latency_ms=%.0f", asked_s * 1000)
            # A search would interrupt a talk for a second.
            self._open_again(self._driver)
            return
        is_gate_open = self._sender.gate.is_open
        self.faults.note_trouble(losing=steps.losing, is_gate_open=is_gate_open)

    def _retry_duplex(self) -> None:
        """Open a card as one stream again after it has worked as two for a while."""
        counters, driver = self.faults.counters, self._driver
        is_both = len(set(counters.values())) > 1
        is_one_card = len(set(self._devices.values())) == 1
        is_old = time.monotonic() - self._opened_at_s > self.duplex_retry_s
        if driver is None or not (is_both and is_one_card and is_old):
            return
        if self._split_cards != without_closed(self._choice.list_cards()):
            return
        self.duplex_retry_s *= DUPLEX_RETRY_FACTOR
        self._split_cards = None
        self._open_again(driver)

    def _open_again(self, driver: Driver) -> None:
        """Open the same devices with other streams, without a search."""
        devices = {way: self._devices[way] for way in self.faults.counters}
        self._close_streams()
        if failure := driver.failure():
            self._lose(devices, failure)
            return
        self._open(driver, self._devices, is_change=True)
        self._pass_devices()

    def _is_better_listed(self) -> bool:
        """Return whether to search, and update the reasons and notices if not."""
        self._note_missing(self._choice.missing_now())
        self.faults.update(self._choice.found())
        return self._choice.is_better_listed()

    def _reopen(self) -> None:
        """Search for cards and open the streams."""
        self._close_streams()
        # Read before the search: a card plugged in meanwhile then counts as a change.
        cards = self._choice.list_cards()
        wanted: dict[Direction, Device] = {}
        try:
            self._driver = driver = self._driver or self._create_driver()
            driver.renew()
            wanted, missing = self._choice.choose(listed(driver.devices()))
            self.faults.note_listed(self._choice.listed)
        except SoundError as exc:
            # The library's process may have failed without any card.
            faults = fault_table.CARD_STUCK, fault_table.SOUND_CRASHED
            is_stuck = any(fault.likeness(exc.reason) for fault in faults)
            missing = self._choice.missing_all(exc, is_stuck=is_stuck)
        self._note_missing(missing)
        if wanted:
            self._open(driver, wanted)
        self._pass_devices()
        is_open = self._streams is not None
        self._reopen_policy.note(cards, time.monotonic(), is_open=is_open)

    def _open(
        self,
        driver: Driver,
        wanted: dict[Direction, Device],
        *,
        is_change: bool = False,
    ) -> None:
        left_out, self._left_out = self._left_out, None
        if left_out in wanted and len(wanted) > 1:
            wanted = {way: wanted[way] for way in wanted if way != left_out}
        self._devices = wanted
        self._latency_steps.start(_names(wanted), time.monotonic(), is_change=is_change)
        streams = Streams(driver, self._sender.mixer, self._sender)
        devices = wanted.get("microphone"), wanted.get("speaker")
        latency_s = LATENCY_STEPS_S[self._latency_steps.latency_step]
        cards = without_closed(self._choice.list_cards())
        is_split = self._split_cards == cards
        failures = streams.open(*devices, latency_s, is_split=is_split)
        self._note_missing(failures)
        if failures and driver.failure():
            self._note_hang(failures, cards)
            streams.close()
            return
        if not streams.counters:
            streams.close()
            return
        self._streams = streams
        self._hangs = self._alone_at_hang = 0
        self._choice.use(wanted, streams.counters)
        self.faults.opened(streams.counters, self._choice.found())
        self._sender.set_delay(self.faults.delay_ms)
        self._opened_at_s = time.monotonic()

    def _note_hang(self, failures: Collection[Direction], cards: str) -> None:
        """Note which direction made PortAudio hang or crash when it was opened."""
        devices = self._devices
        is_one_card = devices.get("microphone") == devices.get("speaker")
        if is_one_card and self._split_cards != cards:
            # It was a duplex stream, or will be clear with two.
            self._split_cards = cards
        else:
            # The speaker is opened first, and what follows a hang fails as well.
            hung: Direction = "speaker" if "speaker" in failures else "microphone"
            self._hangs += 1
            # If the other one hangs as well, the next attempts are for both: with one
            # of them open, the search for the other would wait for silence.
            if len(devices) > 1 and self._hangs >= self._alone_at_hang:
                self._left_out = hung
                self._alone_at_hang = 2 * self._hangs + 8

    def _note_missing(self, missing: dict[Direction, SoundError]) -> None:
        for direction, exc in missing.items():
            self.faults.lost(direction, exc.part, exc.reason)

    def _pass_devices(self) -> None:
        """Pass the open devices, after a loss of all of them only the next ones."""
        ways = self.faults.counters
        if self.set_card_volumes is not None and (ways or not self._is_wanted):
            self.set_card_volumes({way: self._devices[way] for way in ways})

    def _close_streams(self) -> None:
        self.faults.close()
        if self._streams is not None:
            self._streams.close()
            self._streams = None
            self._sender.mixer.drop_pending()


def _names(devices: dict[Direction, Device]) -> str:
    return " and ".join(sorted({device.stable_name for device in devices.values()}))
