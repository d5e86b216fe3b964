"""GPIO pins through gpiozero: opening, errors, retries, and simulated ones."""

import asyncio
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from typing import Any, Final, Generic, TypeVar

from appliance.config import ButtonsConfig, LampsConfig, Pin
from appliance.core import fault_table
from appliance.core.events import Button, Part
from appliance.core.fault_table import HardwareFault
from appliance.errors import PanelError
from appliance.panel.gpio_chip import ALL_PINS, GpioChips, in_use
from appliance.ports import Post
from appliance.process.background import Background, Work
from appliance.process.fault_report import FaultLog, FaultReport

_opening: Final = threading.Lock()

RETRY_S: Final = 1.0
"""Time between two attempts; our choice: a repaired part is to work within 3 s."""
PATIENCE: Final = 3
"""Failed attempts to open the chip at the start that are not reported; our choice."""
SIMULATED_REVISION: Final = "902120"
"""Revision of a Zero 2 W; with it gpiozero does not read this machine's."""
Edge = tuple[float, bool]
"""Time stamp, with lgpio the kernel's on the monotonic clock, and whether the contact
is closed after the edge."""
Factory = Any
"""A gpiozero pin factory; gpiozero has no type annotations."""
OpenFactory = Callable[[], Factory]
"""Returns the pins of this machine; raises `PanelError` if there are none."""
CHIPS: Final = GpioChips()

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PinSource:
    """Pins of this machine."""

    open_factory: OpenFactory
    chips: GpioChips = CHIPS
    """Says who uses a pin."""

    def consumer(self, factory: Factory, number: int, reason: str) -> str | None:
        """Return who uses a pin, if it was not opened because it is busy."""
        # gpiozero's mock pins have no chip.
        chip = getattr(factory, "chip", None)
        if chip is None or "busy" not in reason.lower():
            return None
        return self.chips.consumer(chip, number)


def open_factory(chips: GpioChips = CHIPS) -> Factory:
    """Return gpiozero's pins through lgpio, or raise `PanelError`. Thread: any."""
    # lgpio creates a FIFO in the working directory, which may be read-only.
    folder = os.environ.get("RUNTIME_DIRECTORY") or tempfile.gettempdir()
    os.environ.setdefault("LG_WD", folder)
    with _opening, pin_errors(ALL_PINS, fault_table.NO_PINS):
        from gpiozero import Device
        from gpiozero.pins.lgpio import LGPIOFactory

        if Device.pin_factory is None:
            # gpiozero takes the number of the chip from the model of the Pi alone.
            Device.pin_factory = LGPIOFactory(chip=chips.header())
    return Device.pin_factory


PINS: Final = PinSource(open_factory)


def wired(section: ButtonsConfig | LampsConfig) -> dict[str, Pin]:
    """Return the pins of the buttons or lamps that are wired, by name."""
    pins = {item.name: getattr(section, item.name) for item in fields(section)}
    return {
        name: Pin(pin=pin) if isinstance(pin, int) else pin
        for name, pin in pins.items()
        if pin is not None
    }


def label(name: str, pin: Pin) -> str:
    """Return the name of a button or lamp with its pin, as messages show it."""
    return f"{name} GPIO{pin.pin}"


def is_active_high(pin: Pin, *, is_button: bool) -> bool:
    """Return True if the high level means pressed or lit.

    A button with a pull-down resistor is wired to 3.3 V, so its default is high.
    """
    if pin.active is not None:
        return pin.active == "high"
    return not is_button or pin.pull == "down"


def _gpiozero_pull(pull: str) -> str:
    """Return gpiozero's name for the state of the Pi's own resistor."""
    return "floating" if pull == "none" else pull


@contextmanager
def pin_errors(
    part: str, fault: HardwareFault = fault_table.PIN_FAILED
) -> Iterator[None]:
    """Convert the errors of gpiozero and its back-ends to a `PanelError` of a part."""
    with import_errors(part):
        try:
            yield
        except PanelError:
            raise
        except _pin_errors() as exc:
            reason = str(exc) or type(exc).__name__
            raise PanelError(part, fault.text(error=reason)) from exc


@contextmanager
def import_errors(part: str) -> Iterator[None]:
    """Convert a missing Python package to a `PanelError` that names the remedy."""
    try:
        yield
    except ImportError as exc:
        package = exc.name or "of the panel"
        is_missing = isinstance(exc, ModuleNotFoundError)
        state = "is missing" if is_missing else f"cannot be imported: {exc}"
        reason = fault_table.PACKAGE_MISSING.text(package=package, state=state)
        raise PanelError(part, reason) from exc


def _pin_errors() -> tuple[type[Exception], ...]:
    """Return the error classes of gpiozero and, if it is installed, of lgpio."""
    errors: tuple[type[Exception], ...] = (OSError,)
    with suppress(ImportError):
        from gpiozero import GPIOZeroError

        errors = (*errors, GPIOZeroError)
        import lgpio

        errors = (*errors, lgpio.error)
    return errors


class InputPin:
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

            # First, because a device whose pin is refused would keep it for minutes.
            factory.pin(pin.pin)
            self._device = GPIODevice(pin.pin, pin_factory=factory)
        try:
            with pin_errors(self._name):
                self._watch(pin.pull)
                self.was_closed = self.is_closed()
        except PanelError:
            self.close()
            raise

    def is_closed(self) -> bool:
        """Return True if the contact is closed now."""
        with pin_errors(self._name):
            return bool(self._device.pin.state) == self._is_active_high

    def close(self) -> None:
        """Release the pin."""
        with pin_errors(self._name), self._device:
            if self._device.pin is not None:
                # gpiozero would keep the callback for the next user of the pin.
                self._device.pin.when_changed = None

    def _watch(self, pull: str) -> None:
        wire = self._device.pin
        if wire.function != "input":
            wire.function = "input"
        wanted = _gpiozero_pull(pull)
        if wire.pull != wanted:
            wire.pull = wanted
        wire.edges = "both"
        wire.when_changed = self._changed

    def _changed(self, ticks: float, state: object) -> None:
        # Source: gpiozero `pins/lgpio.py`: the kernel's time stamp, in seconds.
        self._on_edge((float(ticks), bool(state) == self._is_active_high))


class OutputPin:
    """Output pin; every method raises `PanelError` if it is busy or has failed."""

    def __init__(self, factory: Factory, pin: Pin, *, is_lit: bool) -> None:
        self._name = f"GPIO{pin.pin}"
        is_high = is_active_high(pin, is_button=False)
        with pin_errors(self._name):
            from gpiozero import OutputDevice

            # As for an input.
            factory.pin(pin.pin)
            self._device = OutputDevice(
                pin.pin, active_high=is_high, initial_value=is_lit, pin_factory=factory
            )

    def light(self, *, is_lit: bool) -> None:
        """Switch the lamp."""
        with pin_errors(self._name):
            self._device.value = is_lit

    def close(self) -> None:
        """Switch the lamp off and release the pin."""
        with pin_errors(self._name), self._device:
            self._device.off()


PinT = TypeVar("PinT", bound=InputPin | OutputPin)


class PinGroup(Generic[PinT]):
    """Opened pins by the name of the button or lamp. Thread: the event loop's."""

    def __init__(
        self,
        part: Part,
        wiring: Mapping[str, Pin],
        post: Post,
        source: PinSource,
        open_pin: Callable[[Factory, str, Pin], PinT],
    ) -> None:
        """Keep the wiring of the buttons or lamps; nothing is opened yet."""
        self.pins: dict[str, PinT] = {}
        self.suspects: set[str] = set()
        """Names of pins that count as lost also while they are open, until `trust`."""
        self._wired = wiring
        self._source = source
        self._open_pin = open_pin
        self._factory: Factory | None = None
        self._factory_report = _report(post, part, ALL_PINS, PATIENCE)
        self._reports = {
            name: _report(post, part, label(name, pin)) for name, pin in wiring.items()
        }
        self._background = Background()

    async def open(self, run: Callable[[], Work]) -> None:
        """Start this task, which calls `find` again and again, if any pin is wired."""
        if self._wired:
            await self._background.open(run())

    async def find(self) -> None:
        """Try to open the pins that are not open; to be repeated after `RETRY_S`."""
        if self._factory is None:
            try:
                # In a thread: the imports are slow.
                self._factory = await asyncio.to_thread(self._source.open_factory)
            except PanelError as exc:
                self._factory_report.lost(exc.reason)
                return
            self._factory_report.found()
        for name in self._wired.keys() - self.pins.keys():
            try:
                self.pins[name] = self._opened(name)
            except PanelError as exc:
                self._reports[name].lost(exc.reason)
            else:
                if name not in self.suspects:
                    self._reports[name].found()

    def lose(self, name: str, exc: PanelError) -> None:
        """Close and report a pin that has failed; `find` opens it again."""
        pin = self.pins.pop(name)
        self._reports[name].lost(exc.reason)
        _close(pin)

    def trust(self, name: str) -> None:
        """Report that a suspect pin works."""
        self.suspects.discard(name)
        self._reports[name].found()

    async def close(self, *failure: object) -> None:
        """Stop the task and release all pins; `failure` is that of `__aexit__`."""
        try:
            await self._background.close(*failure)
        finally:
            while self.pins:
                _, pin = self.pins.popitem()
                _close(pin)

    def _opened(self, name: str) -> PinT:
        pin = self._wired[name]
        try:
            return self._open_pin(self._factory, name, pin)
        except PanelError as exc:
            consumer = self._source.consumer(self._factory, pin.pin, exc.reason)
            if consumer is None:
                raise
            raise PanelError(exc.part, in_use(consumer)) from exc


def _report(post: Post, part: Part, name: str, patience: int = 0) -> FaultReport:
    log = FaultLog(_log, f'{part} lost  name="{name}"', f'{part} found  name="{name}"')
    return FaultReport(post, part, name, log, patience)


def _close(pin: InputPin | OutputPin) -> None:
    try:
        pin.close()
    except PanelError as exc:
        _log.debug("pin cannot be released  reason=%s", exc)


class SimulatedPins:
    """Mock pins of gpiozero, wired as configured. Thread: any."""

    def __init__(
        self,
        buttons: ButtonsConfig,
        lamps: LampsConfig,
        pin_class: type | None = None,
    ) -> None:
        """Make the pins; those of tests may have another class."""
        from gpiozero.pins.mock import MockFactory

        self.factory: Factory = MockFactory(
            revision=SIMULATED_REVISION, pin_class=pin_class
        )
        self.source = PinSource(lambda: self.factory)
        """For `Buttons` and `Lamps`."""
        self._buttons = wired(buttons)
        self._lamps = wired(lamps)
        for pin in self._buttons.values():
            # Set the resistor, so that a button can be pressed before it is opened.
            self.factory.pin(pin.pin).pull = _gpiozero_pull(pin.pull)

    def press(self, button: Button) -> None:
        """Close the button's contact, if it is wired."""
        self._drive(button, is_closed=True)

    def release(self, button: Button) -> None:
        """Open the button's contact."""
        self._drive(button, is_closed=False)

    def lit(self) -> frozenset[str]:
        """Return the names of the lamps whose pins have the level for lit."""
        return frozenset(filter(self._is_lit, self._lamps))

    def _drive(self, button: Button, *, is_closed: bool) -> None:
        pin = self._buttons.get(button)
        if pin is None:
            return
        wire = self.factory.pin(pin.pin)
        is_high = is_closed == is_active_high(pin, is_button=True)
        wire.drive_high() if is_high else wire.drive_low()

    def _is_lit(self, lamp: str) -> bool:
        pin = self._lamps[lamp]
        wire = self.factory.pin(pin.pin)
        is_high = is_active_high(pin, is_button=False)
        return wire.function == "output" and bool(wire.state) == is_high
