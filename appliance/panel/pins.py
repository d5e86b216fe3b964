"""GPIO pins through gpiozero: their factory, groups of wired pins, error sentences."""

import asyncio
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, Generic, Protocol, TypeVar

from appliance.config import Pin, PinConfig
from appliance.core import fault_table
from appliance.core.events import Part
from appliance.core.hardware_fault import HardwareFault
from appliance.errors import PanelError
from appliance.ports import Post
from appliance.process.fault_report import FaultLog, FaultReport

_log = logging.getLogger(__name__)

RETRY_S: Final = 30.0
"""Time between two attempts; our choice: a busy pin is freed by a person."""
ALL_PINS: Final = "GPIO"
"""Name of the missing part if this machine has no usable pins at all."""
Factory = Any
"""A gpiozero pin factory; gpiozero has no type annotations."""
OpenFactory = Callable[[], Factory]
"""Returns the pins of this machine; raises `PanelError` if there are none."""


def open_factory() -> Factory:
    """Return gpiozero's pins, through lgpio unless `GPIOZERO_PIN_FACTORY` differs.

    Raises:
        PanelError: this machine has no pins, or there is no permission to use them.
    """
    # lgpio creates a FIFO in the working directory, which may be read-only.
    folder = os.environ.get("RUNTIME_DIRECTORY") or tempfile.gettempdir()
    os.environ.setdefault("LG_WD", folder)
    # Only lgpio supports every Pi; by default gpiozero tries four libraries in turn.
    os.environ.setdefault("GPIOZERO_PIN_FACTORY", "lgpio")
    with pin_errors("GPIO", fault_table.NO_PINS):
        from gpiozero import Device

        Device.ensure_pin_factory()
    return Device.pin_factory


def pin_of(config: PinConfig) -> Pin | None:
    """Return the long form of a pin's configuration; None: not wired."""
    return Pin(pin=config) if isinstance(config, int) else config


def is_active_high(pin: Pin, *, is_button: bool) -> bool:
    """Return True if the high level means pressed or lit.

    A button with a pull-down resistor is wired to 3.3 V, so its default is high.
    """
    if pin.active is not None:
        return pin.active == "high"
    return not is_button or pin.pull == "down"


def gpiozero_pull(pull: str) -> str:
    """Return gpiozero's name for the state of the Pi's own resistor."""
    return "floating" if pull == "none" else pull


class Closable(Protocol):
    """An opened pin."""

    def close(self) -> None:
        """Release the pin; raises `PanelError` if it has failed."""


PinT = TypeVar("PinT", bound=Closable)


class PinGroup(Generic[PinT]):
    """Opened pins by the name of the button or lamp. Thread: the event loop's."""

    def __init__(
        self,
        part: Part,
        wiring: Mapping[str, PinConfig],
        post: Post,
        open_factory: OpenFactory,
        open_pin: Callable[[Factory, str, Pin], PinT],
    ) -> None:
        """Keep the wiring; nothing is opened yet.

        Args:
            part: kind of part in fault reports.
            wiring: pin of each button or lamp.
            post: receives `PartLost` and `PartFound`.
            open_factory: returns the pins of this machine.
            open_pin: opens one of them.
        """
        self.pins: dict[str, PinT] = {}
        self._part = part
        self._wired = {
            name: pin for name, config in wiring.items() if (pin := pin_of(config))
        }
        self._post = post
        self._open_factory = open_factory
        self._open_pin = open_pin
        self._factory: Factory | None = None
        self._reports: dict[str, FaultReport] = {}

    @property
    def is_wired(self) -> bool:
        """Whether any pin is wired."""
        return bool(self._wired)

    async def find(self) -> None:
        """Try to open the pins that are not open."""
        if self._factory is None:
            with self._reported(ALL_PINS):
                # In a thread: the imports are slow.
                self._factory = await asyncio.to_thread(self._open_factory)
        if self._factory is None:
            return
        for name in self._wired.keys() - self.pins.keys():
            with self._reported(self._label(name)):
                pin = self._wired[name]
                self.pins[name] = self._open_pin(self._factory, name, pin)

    def lose(self, name: str, exc: PanelError) -> None:
        """Close and report a pin that has failed; `find` opens it again."""
        pin = self.pins.pop(name)
        self._report(self._label(name)).lost(exc.reason)
        _close(pin)

    def close(self) -> None:
        """Release all pins."""
        while self.pins:
            _, pin = self.pins.popitem()
            _close(pin)

    @contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        """Report whether the part with this name could be opened."""
        try:
            yield
        except PanelError as exc:
            self._report(name).lost(exc.reason)
        else:
            self._report(name).found()

    def _label(self, name: str) -> str:
        return f"{name} GPIO{self._wired[name].pin}"

    def _report(self, name: str) -> FaultReport:
        """Return the report of the part with this name, made at its first use."""
        if name not in self._reports:
            log = FaultLog(
                _log,
                f'{self._part} lost  name="{name}"',
                f'{self._part} found  name="{name}"',
            )
            self._reports[name] = FaultReport(self._post, self._part, name, log)
        return self._reports[name]


def _close(pin: Closable) -> None:
    try:
        pin.close()
    except PanelError as exc:
        _log.debug("pin cannot be released  reason=%s", exc)


@contextmanager
def pin_errors(
    part: str, fault: HardwareFault = fault_table.PIN_FAILED
) -> Iterator[None]:
    """Convert the errors of gpiozero and its back-ends to a `PanelError` of a part."""
    with import_errors(part):
        try:
            yield
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
        reason = missing_package(package).text(package=package, state=state)
        raise PanelError(part, reason) from exc


def missing_package(package: str) -> HardwareFault:
    """Return the fault if this package is missing."""
    is_system = package == "lgpio"
    return fault_table.LGPIO_MISSING if is_system else fault_table.PACKAGE_MISSING


def _pin_errors() -> tuple[type[Exception], ...]:
    """Return the error classes of gpiozero and lgpio that can be imported."""
    errors: tuple[type[Exception], ...] = (OSError,)
    with suppress(ImportError):
        from gpiozero import GPIOZeroError

        errors = (*errors, GPIOZeroError)
    with suppress(ImportError):
        import lgpio

        errors = (*errors, lgpio.error)
    return errors
