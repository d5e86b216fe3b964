"""GPIO pins through gpiozero, with every error converted to a `PanelError`."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from appliance.config import Pin, PinConfig
from appliance.errors import PanelError
from appliance.panel import missing

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
    os.environ.setdefault("LG_WD", _runtime_directory())
    # Only lgpio supports every Pi; by default gpiozero tries four libraries in turn.
    os.environ.setdefault("GPIOZERO_PIN_FACTORY", "lgpio")
    with _named("GPIO", "this machine has no pins to use: "):
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


class OnEdge(Protocol):
    """Callback for edges."""

    def __call__(self, *, is_closed: bool, stamp_s: float) -> None:
        """Process an edge.

        Args:
            is_closed: level of the contact after the edge.
            stamp_s: time of the edge; with lgpio the kernel's time stamp.

        Thread: one of gpiozero's.
        """


class Input:
    """Input pin, with a callback for both edges."""

    def __init__(self, factory: Factory, pin: Pin, on_edge: OnEdge) -> None:
        """Open the pin.

        Raises:
            PanelError: the pin is busy, or does not support the wanted resistor.
        """
        self._is_active_high = is_active_high(pin, is_button=True)
        self._on_edge = on_edge
        self._name = f"GPIO{pin.pin}"
        with _named(self._name):
            from gpiozero import GPIODevice

            self._device = GPIODevice(pin.pin, pin_factory=factory)
        try:
            with _named(self._name):
                self._watch(pin.pull)
                self.was_closed = self.is_closed()
                """The contact was closed when the pin was opened."""
        except PanelError:
            self.close()
            raise

    def is_closed(self) -> bool:
        """Return True if the contact is closed now.

        Raises:
            PanelError: the pin has failed.
        """
        with _named(self._name):
            return bool(self._device.pin.state) == self._is_active_high

    def close(self) -> None:
        """Release the pin."""
        with _named(self._name):
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
        is_closed = bool(state) == self._is_active_high
        self._on_edge(is_closed=is_closed, stamp_s=float(ticks))


class Output:
    """Output pin."""

    def __init__(self, factory: Factory, pin: Pin, *, is_lit: bool) -> None:
        """Open the pin and set its first level.

        Raises:
            PanelError: the pin is busy.
        """
        self._name = f"GPIO{pin.pin}"
        is_high = is_active_high(pin, is_button=False)
        with _named(self._name):
            from gpiozero import OutputDevice

            self._device = OutputDevice(
                pin.pin, active_high=is_high, initial_value=is_lit, pin_factory=factory
            )

    def light(self, *, is_lit: bool) -> None:
        """Switch the lamp.

        Raises:
            PanelError: the pin has failed.
        """
        with _named(self._name):
            self._device.value = is_lit

    def close(self) -> None:
        """Switch the lamp off and release the pin."""
        with _named(self._name), self._device:
            self._device.off()


@contextmanager
def _named(part: str, preface: str = "") -> Iterator[None]:
    """Convert the errors of gpiozero and its back-ends to `PanelError`."""
    try:
        yield
    except _pin_errors() as exc:
        reason = str(exc) or type(exc).__name__
        raise PanelError(part, preface + reason) from exc
    except ImportError as exc:
        raise PanelError(part, missing.reason(exc)) from exc


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


def _runtime_directory() -> str:
    return os.environ.get("RUNTIME_DIRECTORY") or tempfile.gettempdir()
