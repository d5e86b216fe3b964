"""GPIO pins through gpiozero: their factory, wiring and error sentences."""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from appliance.config import Pin, PinConfig
from appliance.core import fault_table
from appliance.core.fault_table import HardwareFault
from appliance.errors import PanelError
from appliance.panel.gpio_chip import ALL_PINS, GpioChips, Line

_opening: Final = threading.Lock()

RETRY_S: Final = 5.0
"""Time between two attempts; our choice: an attempt costs a millisecond."""
BOOT_TRIES: Final = 5
"""First attempts to open the chip, which are not reported if they fail.

Our choice: its driver and udev may be some seconds later than this program.
"""
BOOT_RETRY_S: Final = 1.0
"""Time between them."""
Factory = Any
"""A gpiozero pin factory; gpiozero has no type annotations."""
OpenFactory = Callable[[], Factory]
"""Returns the pins of this machine; raises `PanelError` if there are none."""
CHIPS: Final = GpioChips()


@dataclass(frozen=True, slots=True)
class PinSource:
    """Pins of this machine."""

    open_factory: OpenFactory
    chips: GpioChips = CHIPS
    """Says who uses a pin."""

    def user(self, factory: Factory, number: int) -> Line | None:
        """Return the use of a pin; None: not known."""
        # gpiozero's other factories have no chip.
        chip = getattr(factory, "chip", None)
        return None if chip is None else self.chips.line(chip, number)


def open_factory(chips: GpioChips = CHIPS) -> Factory:
    """Return gpiozero's pins, through lgpio unless `GPIOZERO_PIN_FACTORY` differs.

    Thread: any; buttons and lamps share the pins.

    Raises:
        PanelError: this machine has no pins, or there is no permission to use them.
    """
    # lgpio creates a FIFO in the working directory, which may be read-only.
    folder = os.environ.get("RUNTIME_DIRECTORY") or tempfile.gettempdir()
    os.environ.setdefault("LG_WD", folder)
    # Only lgpio supports every Pi; by default gpiozero tries four libraries in turn.
    library = os.environ.setdefault("GPIOZERO_PIN_FACTORY", "lgpio")
    with _opening, pin_errors(ALL_PINS, fault_table.NO_PINS):
        from gpiozero import Device

        if Device.pin_factory is None and library == "lgpio":
            from gpiozero.pins.lgpio import LGPIOFactory

            # gpiozero takes the number of the chip from the model of the Pi alone.
            Device.pin_factory = LGPIOFactory(chip=chips.header())
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
