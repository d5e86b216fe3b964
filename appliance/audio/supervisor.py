"""Supervisor of the sound streams: detects lost or stalled cards and reopens them.

PortAudio does not report an unplugged card: its callbacks just stop. A thread notices
that, and searches while a device is missing or a better one may be there. A search
interrupts nothing that works.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, Literal

from appliance.audio.driver import Driver
from appliance.audio.latency_steps import LatencySteps
from appliance.audio.sender import Sender
from appliance.audio.stream_faults import StreamFaults
from appliance.audio.streams import Streams
from appliance.errors import SoundError
from appliance.metrics.counters import AudioFault
from appliance.sound_cards.devices import Device, Direction, listed
from appliance.sound_cards.selected_devices import SelectedDevices

CHECK_S: Final = 0.25
RETRY_S: Final = 1.0
"""Shortest time between two searches: sound must be back 3 s after the card is."""
LONGEST_S: Final = 30.0
"""Longest time. A search takes up to a second of a Zero 2 W's processor."""
MUTE_S: Final = 2.0
"""The same while a card is listed, but none is open: sound must be back after 3 s."""
PATIENCE: Final = 10.0
"""A card that is listed and does not work is searched for at a tenth of the time since
the last change, so that an outage becomes longer by no more than that. Our choice."""
PAUSE_S: Final = 5.0
"""A pause in speech this long may be used to reopen the streams, also while the gate
is open: nobody thinks for so long in a talk. Our choice."""
LONGEST_WAIT_S: Final = 120.0
"""Time after which a better card is opened without one: noise may look like speech."""
_log = logging.getLogger(__name__)


class Supervisor:
    """Thread that keeps the streams of microphone and speaker open.

    Thread: `open`, `close` and `end` the loop's; the work, which may block, its own.
    """

    def __init__(
        self,
        choice: SelectedDevices,
        driver: Driver,
        sender: Sender,
        faults: StreamFaults,
        latency_steps: LatencySteps,
    ) -> None:
        self._choice = choice
        self._driver = driver
        self._sender = sender
        self._faults = faults
        self._latency_steps = latency_steps
        self.set_card_volumes: Callable[[Mapping[Direction, Device]], None]
        self.set_card_volumes = lambda _: None
        """Takes the open devices when they change; none only if sound was closed."""
        self._streams = Streams(driver, sender, faults.totals)
        self._inbox: SimpleQueue[Literal["open", "close", "end"]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="card", daemon=True)
        self._looked_at_s = self._searched_at_s = float("-inf")
        self._cards: tuple[str, bool] | None = None
        """The kernel's list at the last look, and whether it gave hope."""
        self._changed_at_s = 0.0
        """Time of the last change of that, or of a loss."""
        self._refused: set[str] = set()
        self._refused_at_s = float("-inf")
        """Names of better cards that could not be opened then. They are tried again
        after as long as they had been there: it interrupts those in use."""
        self._opened_at_s = self._voice_at_s = self._idle_at_s = 0.0
        self.heartbeat_s = time.monotonic()
        """Time at which the thread was last seen to work."""

    def start(self) -> None:
        """Start the thread; nothing is opened before `open`."""
        self._thread.start()

    def open(self) -> None:
        """Open the configured devices and keep them open."""
        # Requested while the card was closed. Later ones are played when it is open.
        self._sender.mixer.drop_earcons()
        self._inbox.put("open")

    def close(self) -> None:
        """Close the streams."""
        self._inbox.put("close")

    def end(self) -> None:
        """Close the streams, stop the thread and wait for its end."""
        if self._thread.is_alive():
            self._inbox.put("end")
            self._thread.join()

    def _run(self) -> None:
        order = "close"
        while order != "end":
            self.heartbeat_s = time.monotonic()
            with suppress(Empty):
                order = self._inbox.get(timeout=CHECK_S)
                # Search at once.
                self._looked_at_s, self._cards = float("-inf"), None
                if order != "open":
                    self._close(tuple(self._streams.devices))
                    self._faults.forget()
                    self.set_card_volumes({})
            if order == "open":
                self._check()
        self._driver.close()

    def _check(self) -> None:
        """Check for stopped streams, repeated losses and missing devices."""
        steps, faults, now_s = self._latency_steps, self._faults, time.monotonic()
        # After a stop of the whole process the callbacks are as late as this thread.
        is_late = now_s - self.heartbeat_s > 2 * CHECK_S
        if not is_late and (stopped := self._streams.stopped()):
            self._lose(stopped)
        faults.look(
            self._streams.counters,
            self._choice.found(),
            losing=steps.losing,
            is_gate_open=self._sender.gate.is_open,
        )
        losses = {way: faults.totals[way].losses for way in self._streams.devices}
        is_idle = self._is_idle(now_s)
        if is_idle:
            self._idle_at_s = now_s
        if losses and steps.update(losses, now_s, is_idle=is_idle):
            self._change_buffer()
        elif self._is_due(now_s):
            self._searched_at_s = now_s
            waited_s = now_s - max(self._idle_at_s, self._opened_at_s)
            self._search(is_idle=is_idle or waited_s > LONGEST_WAIT_S)

    def _lose(self, stopped: Mapping[Direction, str]) -> None:
        """Close streams that have ended for these reasons; the others go on."""
        self._changed_at_s = time.monotonic()
        for direction, reason in stopped.items():
            self._faults.count(direction, AudioFault.STALL)
            name = self._streams.devices[direction].stable_name
            self._faults.lost(direction, name, reason)
        self._close(tuple(stopped))
        self._pass_devices()

    def _is_idle(self, now_s: float) -> bool:
        """Return whether an interruption would be inaudible."""
        sender, devices = self._sender, self._streams.devices
        is_gate_open = sender.gate.is_open and "microphone" in devices
        if sender.meter.is_voice or not is_gate_open:
            self._voice_at_s = now_s
        is_talking = is_gate_open and now_s - self._voice_at_s < PAUSE_S
        is_playing = "speaker" in devices and not sender.mixer.is_idle
        return not (is_talking or is_playing)

    @property
    def _has_no_samples(self) -> bool:
        microphone = self._streams.counters.get("microphone")
        return microphone is not None and microphone.has_no_samples

    def _is_due(self, now_s: float) -> bool:
        """Return whether to search for missing or better devices now."""
        choice, is_dead = self._choice, self._has_no_samples
        is_complete = choice.wanted.keys() == self._streams.devices.keys()
        is_good = is_complete and choice.is_best and not is_dead
        if is_good or now_s - self._looked_at_s < RETRY_S:
            return False
        is_hopeful, before = choice.is_better_listed(), self._cards
        self._looked_at_s, self._cards = now_s, (choice.list_cards(), is_hopeful)
        if self._cards != before:
            self._changed_at_s = now_s
            return True
        if is_complete and not (is_hopeful or is_dead):
            return False
        wait_s = LONGEST_S
        if is_hopeful:
            is_mute = self._cards[0] and not self._streams.devices
            longest_s = MUTE_S if is_mute else LONGEST_S
            wait_s = min((now_s - self._changed_at_s) / PATIENCE, longest_s)
        return now_s - self._searched_at_s >= wait_s

    def _search(self, *, is_idle: bool) -> None:
        """Search for cards, open what is missing, and in a pause what is better."""
        choice, now_s = self._choice, time.monotonic()
        been_there_s = self._refused_at_s - self._changed_at_s
        refused = self._refused if now_s - self._refused_at_s < been_there_s else ()
        try:
            devices = listed(self._driver.devices())
            wanted, missing = choice.choose(
                tuple(x for x in devices if x.name not in refused)
            )
            self._faults.note_listed(choice.listed)
        except SoundError as exc:
            wanted, missing = {}, dict.fromkeys(choice.wanted, exc)
        worse, used = self._worse(wanted, is_idle=is_idle), self._streams.devices
        before = {way: used[way] for way in worse if wanted[way].name != used[way].name}
        self._close(worse)
        self._note_missing(missing)
        used = self._streams.devices
        if closed := {way: wanted[way] for way in wanted if way not in used}:
            self._open(closed)
        self._go_back(before, wanted)

    def _go_back(
        self, before: Mapping[Direction, Device], wanted: Mapping[Direction, Device]
    ) -> None:
        """Open what worked before again, where a better card could not be opened."""
        if failed := before.keys() - self._streams.devices.keys():
            self._refused = {wanted[way].name for way in failed}
            self._refused_at_s = time.monotonic()
            self._open({way: before[way] for way in failed})

    def _worse(
        self, wanted: Mapping[Direction, Device], *, is_idle: bool
    ) -> list[Direction]:
        """Return the directions to close, because others are to be opened instead."""
        used = self._streams.devices
        both = wanted.keys() & used.keys()
        worse = [way for way in both if wanted[way].name != used[way].name]
        if not is_idle:
            # A card that comes for the missing direction is opened for both.
            new = {wanted[way].name for way in wanted.keys() - used.keys()}
            return [way for way in worse if wanted[way].name in new]
        now_s = time.monotonic()
        # This may interrupt the speaker, so it becomes rare.
        wait_s = max(LONGEST_S, (now_s - self._changed_at_s) / PATIENCE)
        is_dead = self._has_no_samples and now_s - self._opened_at_s > wait_s
        return ["microphone"] if is_dead and "microphone" in both else worse

    def _change_buffer(self) -> None:
        """Open the same devices with another buffer."""
        latency_s = self._latency_steps.latency_s
        _log.info("buffer size changed  latency_ms=%.0f", latency_s * 1000)
        self._sender.mixer.drop_pending()
        if failures := self._streams.change(latency_s):
            self._changed_at_s = time.monotonic()
        self._note_opened(failures, is_change=True)

    def _open(self, devices: Mapping[Direction, Device]) -> None:
        """Open streams for directions that are closed."""
        self.heartbeat_s = time.monotonic()
        latency_s = self._latency_steps.latency_s
        failures = self._streams.open(devices, latency_s)
        if len(failures) == len(devices):
            self._note_missing(failures)
        else:
            self._note_opened(failures, is_change=False)

    def _note_opened(
        self, failures: Mapping[Direction, SoundError], *, is_change: bool
    ) -> None:
        self._note_missing(failures)
        self._opened_at_s = time.monotonic()
        self._latency_steps.start(self._opened_at_s, is_change=is_change)
        self._choice.use(self._streams.devices)
        self._sender.set_delay(self._streams.delay_ms)
        self._pass_devices()

    def _note_missing(self, missing: Mapping[Direction, SoundError]) -> None:
        for direction, exc in missing.items():
            if direction not in self._streams.devices:
                self._faults.lost(direction, exc.part, exc.reason)

    def _pass_devices(self) -> None:
        if devices := self._streams.devices:
            self.set_card_volumes(dict(devices))

    def _close(self, directions: Collection[Direction]) -> None:
        closed = self._streams.close(directions)
        self._choice.use(self._streams.devices)
        if "speaker" in closed:
            self._sender.mixer.drop_pending()
