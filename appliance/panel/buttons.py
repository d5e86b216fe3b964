"""Buttons on the GPIO pins."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from appliance.panel.pins import (
    RETRY_S,
    Factory,
    OpenFactory,
    PinGroup,
    gpiozero_pull,
    is_active_high,
    open_factory,
    pin_errors,
)
from appliance.ports import Post
from appliance.process.background import Background

READ_S: Final = 0.5
"""Time between two readings of all levels: an edge can get lost, a level cannot."""
OLD_S: Final = 5.0
"""Greatest age of an edge: an older time stamp is from another clock."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Edge seen by a thread of gpiozero's."""

    is_closed: bool
    """Level of the contact after the edge."""
    at_s: float
    """Time stamp; with lgpio the kernel's, on the monotonic clock."""


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
    ) -> None:
        """Keep the wiring; nothing is opened yet."""
        wiring = {button.value: getattr(config, button) for button in Button}
        self._group = PinGroup(Part.BUTTON, wiring, post, open_factory, self._open_pin)
        self._post = post
        self._clock = clock
        self._contacts: dict[str, Contact] = {}
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
                await self._group.find()
                retry_at_s = self._clock() + RETRY_S
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
        # The pin may have failed since.
        if contact := self._contacts.get(name):
            result = after_edge(contact, edge.at_s, is_closed=edge.is_closed)
            self._report(name, *result)

    def _read(self, name: str) -> None:
        try:
            is_closed = self._group.pins[name].is_closed()
        except PanelError as exc:
            self._fail(name, exc)
            return
        contact = self._contacts[name]
        self._report(name, *after_reading(contact, self._clock(), is_closed=is_closed))

    def _report(self, name: str, contact: Contact, reports: ContactReports) -> None:
        self._contacts[name] = contact
        button = Button(name)
        for report in reports:
            self._post(_event(button, report))

    def _open_pin(self, factory: Factory, name: str, pin: Pin) -> "Input":
        """Open a pin; a button that is pressed already is reported as held at boot."""

        def on_edge(edge: Edge) -> None:
            edge = replace(edge, at_s=self._at_s(edge.at_s))
            self._loop.call_soon_threadsafe(self._edges.put_nowait, (name, edge))

        wire = Input(factory, pin, on_edge)
        self._contacts[name] = opened(self._clock(), is_closed=wire.was_closed)
        if wire.was_closed:
            self._post(ButtonPressed(Button(name), is_at_boot=True))
        return wire

    def _at_s(self, stamp_s: float) -> float:
        """Return the time stamp, or the present time if it is from another clock."""
        now_s = self._clock()
        return stamp_s if now_s - OLD_S <= stamp_s <= now_s else now_s

    def _fail(self, name: str, exc: PanelError) -> None:
        """Give up a failed pin, and release its button: it must not go on talking."""
        contact = self._contacts.pop(name)
        if contact.is_reported:
            self._post(ButtonReleased(Button(name)))
        self._group.lose(name, exc)


def _event(button: Button, report: ContactReport) -> Event:
    if report.is_pressed:
        return ButtonPressed(button, at_s=report.at_s, is_resumed=report.is_resumed)
    return ButtonReleased(button, at_s=report.at_s)


class Input:
    """Input pin, with a callback for both edges in one of gpiozero's threads.

    Every method raises `PanelError` if the pin has failed.
    """

    def __init__(
        self, factory: Factory, pin: Pin, on_edge: Callable[[Edge], None]
    ) -> None:
        """Open the pin; it may be busy, or may not support the wanted resistor."""
        self._is_active_high = is_active_high(pin, is_button=True)
        self._on_edge = on_edge
        self._name = f"GPIO{pin.pin}"
        with pin_errors(self._name):
            from gpiozero import GPIODevice

            self._device = GPIODevice(pin.pin, pin_factory=factory)
        try:
            with pin_errors(self._name):
                self._watch(pin.pull)
                self.was_closed = self.is_closed()
                """The contact was closed when the pin was opened."""
        except PanelError:
            self.close()
            raise

    def is_closed(self) -> bool:
        """Return True if the contact is closed now."""
        with pin_errors(self._name):
            return bool(self._device.pin.state) == self._is_active_high

    def close(self) -> None:
        """Release the pin."""
        with pin_errors(self._name):
            self._device.close()

    def _watch(self, pull: str) -> None:
        wire = self._device.pin
        if wire.function != "input":
            wire.function = "input"
        wanted = gpiozero_pull(pull)
        if wire.pull != wanted:
            wire.pull = wanted
        wire.edges = "both"
        wire.when_changed = self._changed

    def _changed(self, ticks: float, state: object) -> None:
        # Source: gpiozero `pins/lgpio.py`: the kernel's time stamp, in seconds.
        self._on_edge(Edge(bool(state) == self._is_active_high, float(ticks)))
