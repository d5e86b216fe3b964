"""Buttons on the GPIO pins."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Self

from appliance.config import ButtonsConfig, Pin
from appliance.core.events import Button, ButtonPressed, ButtonReleased, Event, Part
from appliance.errors import PanelError
from appliance.panel.debounce import (
    Contact,
    ContactReport,
    ContactReports,
    after_edge,
    after_reading,
    opened,
)
from appliance.panel.floating import EdgeRate
from appliance.panel.floating import after_edge as after_rated_edge
from appliance.panel.gpio_chip import GpioChips
from appliance.panel.input_pin import Edge, Input
from appliance.panel.pin_group import PinGroup
from appliance.panel.pins import (
    CHIPS,
    Factory,
    OpenFactory,
    PinSource,
    open_factory,
)
from appliance.ports import Post
from appliance.process.background import Background

_log = logging.getLogger(__name__)

READ_S: Final = 0.5
"""Time between two readings of all levels: an edge can get lost, a level cannot."""
TRIAL_S: Final = 5.0
"""Time without too many edges after which a wire that floated is trusted again."""
OLD_S: Final = 5.0
"""Greatest age of an edge: an older time stamp is from another clock."""


class Buttons:
    """Adapter that posts presses and releases.

    gpiozero's threads only put edges into a queue; one coroutine debounces them in
    order, so that no lock is needed.
    """

    def __init__(
        self,
        config: ButtonsConfig,
        post: Post,
        open_factory: OpenFactory = open_factory,
        clock: Callable[[], float] = time.monotonic,
        chips: GpioChips = CHIPS,
    ) -> None:
        """Keep the wiring; nothing is opened yet."""
        wiring = {button.value: getattr(config, button) for button in Button}
        source = PinSource(open_factory, chips)
        self._group = PinGroup(Part.BUTTON, wiring, post, source, self._open_pin)
        self._post = post
        self._clock = clock
        self._contacts: dict[str, Contact] = {}
        self._rates: dict[str, EdgeRate] = {}
        self._trial_ends_s: dict[str, float] = {}
        self._edges: asyncio.Queue[tuple[str, Edge]] = asyncio.Queue()
        self._background = Background()

    async def __aenter__(self) -> Self:
        """Start the task that opens the pins and reads them."""
        self._loop = asyncio.get_running_loop()
        if self._group.is_wired:
            await self._background.open(self._run())
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Stop the task and release the pins."""
        try:
            await self._background.close(*failure)
        finally:
            self._group.close()

    async def _run(self) -> None:
        retry_at_s = self._clock()
        while True:
            if self._clock() >= retry_at_s:
                retry_at_s = self._clock() + await self._group.find()
            await self._take_edges(self._wait_s())
            for name in tuple(self._group.pins):
                self._read(name)

    def _wait_s(self) -> float:
        """Return the time until something is due if there is no edge."""
        due_s = min((c.due_s for c in self._contacts.values()), default=float("inf"))
        return max(0.0, min(READ_S, due_s - self._clock()))

    async def _take_edges(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                self._take(*await self._edges.get())
        except TimeoutError:
            return
        while not self._edges.empty():
            self._take(*self._edges.get_nowait())

    def _take(self, name: str, edge: Edge) -> None:
        contact = self._contacts.get(name)
        if contact is None:
            # The pin has failed since.
            return
        rate = self._rates[name] = after_rated_edge(self._rates[name], edge.at_s)
        if rate.is_floating:
            wire = self._group.pins[name]
            self._fail(name, PanelError(name, wire.float_reason), is_suspect=True)
            return
        result = after_edge(contact, edge.at_s, is_closed=edge.is_closed)
        self._report(name, *result)

    def _read(self, name: str) -> None:
        try:
            is_closed = self._group.pins[name].is_closed()
        except PanelError as exc:
            self._fail(name, exc)
            return
        if self._clock() >= self._trial_ends_s.get(name, float("inf")):
            del self._trial_ends_s[name]
            self._group.trust(name)
            self._begin(name, is_closed=is_closed)
        contact = self._contacts[name]
        self._report(name, *after_reading(contact, self._clock(), is_closed=is_closed))

    def _report(self, name: str, contact: Contact, reports: ContactReports) -> None:
        self._contacts[name] = contact
        if self._group.is_suspect(name):
            return
        button = Button(name)
        for report in reports:
            self._post(_event(button, report))

    def _open_pin(self, factory: Factory, name: str, pin: Pin) -> "Input":
        """Open a pin; a button that is pressed already is reported as held at boot."""

        def on_edge(edge: Edge) -> None:
            edge = replace(edge, at_s=self._at_s(edge.at_s))
            self._loop.call_soon_threadsafe(self._edges.put_nowait, (name, edge))

        wire = Input(factory, pin, on_edge)
        if self._group.is_suspect(name):
            self._trial_ends_s[name] = self._clock() + TRIAL_S
        self._rates[name] = EdgeRate()
        self._begin(name, is_closed=wire.was_closed)
        return wire

    def _begin(self, name: str, *, is_closed: bool) -> None:
        """Report a button that is closed already as held since the start."""
        self._contacts[name] = opened(self._clock(), is_closed=is_closed)
        if is_closed and not self._group.is_suspect(name):
            _log.warning("button is held down at the start  name=%s", name)
            self._post(ButtonPressed(Button(name), is_at_boot=True))

    def _at_s(self, stamp_s: float) -> float:
        """Return the time stamp, or the present time if it is from another clock."""
        now_s = self._clock()
        return stamp_s if now_s - OLD_S <= stamp_s <= now_s else now_s

    def _fail(self, name: str, exc: PanelError, *, is_suspect: bool = False) -> None:
        """Give up a failed pin, and release its button: it must not go on talking."""
        contact = self._contacts.pop(name)
        self._trial_ends_s.pop(name, None)
        if contact.is_reported and not self._group.is_suspect(name):
            self._post(ButtonReleased(Button(name)))
        self._group.lose(name, exc, is_suspect=is_suspect)


def _event(button: Button, report: ContactReport) -> Event:
    if report.is_pressed:
        return ButtonPressed(button, at_s=report.at_s, is_resumed=report.is_resumed)
    return ButtonReleased(button, at_s=report.at_s)
