"""Input pin of a button, with its edges."""

from collections.abc import Callable
from dataclasses import dataclass

from appliance.config import Pin
from appliance.errors import PanelError
from appliance.panel.floating import float_reason
from appliance.panel.pins import Factory, gpiozero_pull, is_active_high, pin_errors


@dataclass(frozen=True, slots=True)
class Edge:
    """Edge seen by a thread of gpiozero's."""

    is_closed: bool
    """Level of the contact after the edge."""
    at_s: float
    """Time stamp; with lgpio the kernel's, on the monotonic clock."""


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
        self.float_reason = float_reason(pin.pull)
        """Fault of a wire that floats."""
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
            wire = self._device.pin
            try:
                if wire is not None:
                    # gpiozero would keep the callback for the next user of the pin.
                    wire.when_changed = None
            finally:
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
