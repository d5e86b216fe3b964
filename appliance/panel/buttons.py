"""Buttons on the GPIO pins: debouncing, floating wires, and the adapter itself."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final, Self

from appliance.config import ButtonsConfig, Pin
from appliance.core import fault_table
from appliance.core.events import Button, ButtonPressed, ButtonReleased, Event, Part
from appliance.errors import PanelError
from appliance.panel import pins
from appliance.ports import Post

SETTLED_S: Final = 0.008
"""A level that lasts this long is not bounce, whose gaps last 1-2 ms; our choice."""
LATE_S: Final = 0.15
"""Longest time from an edge to its processing; our choice: well above the 100 ms by
which a busy single-core board delays a thread."""
SLOT_S: Final = 0.02
"""One period of mains hum, and the longest bounce."""
FLOAT_DECAY: Final = 0.5
"""Taken off the suspicion in each slot: edges in half of the slots are no fault."""
FLOAT_LIMIT: Final = 90
"""Suspicion from which the wire floats; our choice: 3.6 s with edges in every slot."""
EDGES_PER_COUNT: Final = 50
"""Edges in one slot that count as another slot; a bounce of 20 ms has up to 41."""
QUIET_S: Final = 1.0
"""Time without any edge after which a wire that floated is trusted again."""
READ_S: Final = 0.5
"""Time between two readings of all levels: an edge can get lost, a level cannot."""
OLD_S: Final = 5.0
"""Greatest age of an edge: an older time stamp is from another clock."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ContactReport:
    """A press or a release."""

    is_pressed: bool
    at_s: float
    """Time of the edge on the kernel's clock (`time.monotonic`)."""
    is_resumed: bool = False
    """The release before it was bounce: the press before that continues."""


class Contact:
    """Debouncing of one contact; reports are in order, presses and releases alternate.

    Time is an argument.
    """

    def __init__(self, now_s: float, *, is_closed: bool) -> None:
        """Start with the level that it had when its pin was opened."""
        self.is_reported = is_closed
        """The newest report was a press."""
        self._is_closed = is_closed
        """Level after the newest edge, bounce or not."""
        self._changed_at_s = now_s - SETTLED_S
        """Stamp of the newest edge."""
        self._differs_since_s = inf
        """First reading that differed from the level: an edge is late, or was lost."""

    @property
    def due_s(self) -> float:
        """Time from which a reading may yield a report; infinity: none will."""
        is_settled = self.is_reported == self._is_closed
        settles_s = inf if is_settled else self._changed_at_s + SETTLED_S
        return min(settles_s, self._differs_since_s) + LATE_S

    def edge(self, at_s: float, *, is_closed: bool) -> list[ContactReport]:
        """Take an edge with its stamp: the first is reported, its bounce is not."""
        # The same level twice: an edge between them was lost, and how long the level
        # stayed is unknown.
        reports = self._settle(at_s) if is_closed != self._is_closed else []
        is_bounce = at_s < self._changed_at_s + SETTLED_S
        if not is_bounce and is_closed != self.is_reported:
            self.is_reported = is_closed
            reports.append(ContactReport(is_closed, at_s))
        self._is_closed, self._changed_at_s = is_closed, at_s
        self._differs_since_s = inf
        return reports

    def reading(self, now_s: float, *, is_closed: bool) -> list[ContactReport]:
        """Take the level as it was read, which finds lost edges.

        A different level counts as an edge if none arrives within `LATE_S`.
        """
        reports = self._settle(now_s - LATE_S)
        if is_closed == self._is_closed:
            self._differs_since_s = inf
            return reports
        self._differs_since_s = min(self._differs_since_s, now_s)
        if now_s >= self._differs_since_s + LATE_S:
            reports += self.edge(self._differs_since_s, is_closed=is_closed)
        return reports

    def _settle(self, until_s: float) -> list[ContactReport]:
        """Report a level that lasted until this stamp and is not reported yet."""
        is_closed, at_s = self._is_closed, self._changed_at_s
        if self.is_reported == is_closed or until_s < at_s + SETTLED_S:
            return []
        # An edge that closes the contact is reported at once, unless it follows the
        # edge of a release by less than `SETTLED_S`.
        self.is_reported = is_closed
        return [ContactReport(is_closed, at_s, is_resumed=is_closed)]


class EdgeRate:
    """Recent edges of one contact, which tell whether its wire floats."""

    def __init__(self, now_s: float) -> None:
        self.newest_s = now_s
        """Time of the newest edge."""
        self.suspicion = 0.0
        """From `FLOAT_LIMIT` on no finger can have made these edges."""
        self._edges = 0
        """Edges in the slot of the newest."""

    def add(self, edge_s: float) -> None:
        """Count an edge at this time."""
        passed = int(edge_s / SLOT_S) - int(self.newest_s / SLOT_S)
        self.newest_s = edge_s
        if passed > 0:
            quiet = FLOAT_DECAY * (passed - 1)
            self.suspicion = max(0.0, self.suspicion - quiet) + 1 - FLOAT_DECAY
            self._edges = 1
        else:
            self._edges += 1
            self.suspicion += self._edges % EDGES_PER_COUNT == 0


class Buttons:
    """Adapter that posts presses and releases; one coroutine debounces all edges."""

    def __init__(
        self,
        config: ButtonsConfig,
        post: Post,
        source: pins.PinSource = pins.PINS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        wiring = pins.wired(config)
        self._group = pins.PinGroup(Part.BUTTON, wiring, post, source, self._open_pin)
        self._post = post
        self._clock = clock
        self._contacts: dict[str, Contact] = {}
        self._rates: dict[str, EdgeRate] = {}
        self._edges: asyncio.Queue[tuple[str, pins.Edge]] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self._group.open(self._run)
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._group.close(*failure)

    async def _run(self) -> None:
        retry_at_s = self._clock()
        while True:
            if self._clock() >= retry_at_s:
                retry_at_s = self._clock() + pins.RETRY_S
                await self._group.find()
            await self._take_edges(self._wait_s(retry_at_s))
            for name in tuple(self._group.pins):
                self._read(name)

    def _wait_s(self, retry_at_s: float) -> float:
        """Return the time until something is due if there is no edge."""
        contacts_s = (contact.due_s for contact in self._contacts.values())
        due_s = min((retry_at_s, *contacts_s))
        return max(0.0, min(READ_S, due_s - self._clock()))

    async def _take_edges(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                self._take(*await self._edges.get())
        except TimeoutError:
            return
        while not self._edges.empty():
            self._take(*self._edges.get_nowait())

    def _take(self, name: str, edge: pins.Edge) -> None:
        at_s, is_closed = edge
        contact = self._contacts.get(name)
        if contact is None:
            # The pin has failed since.
            return
        rate = self._rates[name]
        rate.add(at_s)
        if rate.suspicion >= FLOAT_LIMIT:
            self._fail(name, PanelError(name, fault_table.WIRE_FLOATS.text()))
            self._group.suspects.add(name)
            return
        self._report(name, contact.edge(at_s, is_closed=is_closed))

    def _read(self, name: str) -> None:
        try:
            is_closed = self._group.pins[name].is_closed()
        except PanelError as exc:
            self._fail(name, exc)
            return
        now_s = self._clock()
        is_quiet = now_s >= self._rates[name].newest_s + QUIET_S
        if name in self._group.suspects and is_quiet:
            self._group.trust(name)
            self._begin(name, is_closed=is_closed)
        contact = self._contacts[name]
        self._report(name, contact.reading(now_s, is_closed=is_closed))

    def _report(self, name: str, reports: list[ContactReport]) -> None:
        if name not in self._group.suspects:
            for report in reports:
                self._post(_event(Button(name), report))

    def _open_pin(self, factory: pins.Factory, name: str, pin: Pin) -> pins.InputPin:
        """Open a pin; a button that is pressed already is reported as held at boot."""

        def on_edge(edge: pins.Edge) -> None:
            now_s, (at_s, is_closed) = self._clock(), edge
            if not now_s - OLD_S <= at_s <= now_s:
                # Its time stamp is from another clock.
                at_s = now_s
            item = name, (at_s, is_closed)
            self._loop.call_soon_threadsafe(self._edges.put_nowait, item)

        wire = pins.InputPin(factory, pin, on_edge)
        self._rates[name] = EdgeRate(self._clock())
        self._begin(name, is_closed=wire.was_closed)
        return wire

    def _begin(self, name: str, *, is_closed: bool) -> None:
        """Report a button that is closed already as held since the start."""
        self._contacts[name] = Contact(self._clock(), is_closed=is_closed)
        if is_closed and name not in self._group.suspects:
            _log.warning("button is held down at the start  name=%s", name)
            self._post(ButtonPressed(Button(name), is_at_boot=True))

    def _fail(self, name: str, exc: PanelError) -> None:
        """Give up a failed pin, and release its button: it must not go on talking."""
        del self._contacts[name]
        if name not in self._group.suspects:
            self._post(ButtonReleased(Button(name), is_lost=True))
        self._group.lose(name, exc)


def _event(button: Button, report: ContactReport) -> Event:
    if report.is_pressed:
        return ButtonPressed(button, at_s=report.at_s, is_resumed=report.is_resumed)
    return ButtonReleased(button, at_s=report.at_s)
