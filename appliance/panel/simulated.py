"""Simulated front panel for the demo and for tests."""

import time
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from gpiozero.pins.mock import MockFactory, MockPin

from appliance.config import ButtonsConfig, LampsConfig, PinConfig, ScreenConfig
from appliance.core.events import Button
from appliance.panel.pins import (
    Factory,
    PinSource,
    gpiozero_pull,
    is_active_high,
    pin_of,
)

if TYPE_CHECKING:
    from PIL.Image import Image

REVISION: Final = "902120"
"""Revision of a Zero 2 W; with it gpiozero does not read this machine's."""


class SimulatedPins:
    """Mock pins of gpiozero, wired as configured. Thread: any."""

    def __init__(
        self,
        buttons: ButtonsConfig,
        lamps: LampsConfig,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the pins, all released; `clock` gives the time stamps of edges."""
        self.factory: Factory = MockFactory(
            revision=REVISION, pin_class=_stamped_pin(clock)
        )
        self.source = PinSource(lambda: self.factory)
        """For `Buttons` and `Lamps`."""
        self._buttons = buttons
        self._lamps = lamps
        for button in Button:
            # Set the resistor, so that a button can be pressed before it is opened.
            if pin := pin_of(getattr(buttons, button)):
                self.factory.pin(pin.pin).pull = gpiozero_pull(pin.pull)

    def press(self, button: Button) -> None:
        """Close the button's contact, if it is wired."""
        self._drive(button, is_closed=True)

    def release(self, button: Button) -> None:
        """Open the button's contact."""
        self._drive(button, is_closed=False)

    def lit(self) -> frozenset[str]:
        """Return the names of the lamps whose pins have the level for lit."""
        names = (item.name for item in fields(self._lamps))
        return frozenset(x for x in names if self._is_lit(getattr(self._lamps, x)))

    def _drive(self, button: Button, *, is_closed: bool) -> None:
        pin = pin_of(getattr(self._buttons, button))
        if pin is None:
            return
        wire = self.factory.pin(pin.pin)
        is_high = is_closed == is_active_high(pin, is_button=True)
        wire.drive_high() if is_high else wire.drive_low()

    def _is_lit(self, config: PinConfig) -> bool:
        pin = pin_of(config)
        if pin is None:
            return False
        wire = self.factory.pin(pin.pin)
        is_high = is_active_high(pin, is_button=False)
        return wire.function == "output" and bool(wire.state) == is_high


def _stamped_pin(clock: Callable[[], float]) -> type[MockPin]:
    """Return a class of mock pins that stamp edges with this clock."""

    def call_when_changed(self: MockPin) -> None:
        super(MockPin, self)._call_when_changed(clock(), self.state)

    return type("StampedPin", (MockPin,), {"_call_when_changed": call_when_changed})


class SimulatedDisplay:
    """Display that keeps the picture instead of showing it."""

    def __init__(self) -> None:
        """Start dark, without a picture."""
        self.picture: Image | None = None
        self.is_dim = False
        self.is_lit = False

    def open(self, _config: ScreenConfig) -> "SimulatedDisplay":
        """Return itself, without a picture."""
        self.picture = None
        return self

    def show(self, picture: "Image", /) -> None:
        """Keep the picture."""
        self.is_lit = self.is_lit or self.picture is None
        self.picture = picture

    def check(self) -> bool:
        """Return True: the picture is never lost."""
        return True

    def dim(self, *, is_dim: bool) -> None:
        """Set or end dimming."""
        self.is_dim = is_dim

    def light(self, *, is_lit: bool) -> None:
        """Switch it on or off."""
        self.is_lit = is_lit

    def close(self) -> None:
        """Switch off."""
        self.is_lit = False
