"""Simulated buttons and lamps for the demo and for tests."""

from typing import Final

from gpiozero.pins.mock import MockFactory, MockPin

from appliance.config import ButtonsConfig, LampsConfig
from appliance.core.events import Button
from appliance.panel import pins

REVISION: Final = "902120"
"""Revision of a Zero 2 W; with it gpiozero does not read this machine's."""


class SimulatedPins:
    """Mock pins of gpiozero, wired as configured. Thread: any."""

    def __init__(
        self,
        buttons: ButtonsConfig,
        lamps: LampsConfig,
        pin_class: type[MockPin] = MockPin,
    ) -> None:
        self.factory: pins.Factory = MockFactory(revision=REVISION, pin_class=pin_class)
        self.source = pins.PinSource(lambda: self.factory)
        """For `Buttons` and `Lamps`."""
        self._buttons = pins.wired(buttons)
        self._lamps = pins.wired(lamps)
        for pin in self._buttons.values():
            # Set the resistor, so that a button can be pressed before it is opened.
            self.factory.pin(pin.pin).pull = pins.gpiozero_pull(pin.pull)

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
        is_high = is_closed == pins.is_active_high(pin, is_button=True)
        wire.drive_high() if is_high else wire.drive_low()

    def _is_lit(self, lamp: str) -> bool:
        pin = self._lamps[lamp]
        wire = self.factory.pin(pin.pin)
        is_high = pins.is_active_high(pin, is_button=False)
        return wire.function == "output" and bool(wire.state) == is_high
