"""Probes of pins and screen, which open them as the box does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from appliance.config import ButtonsConfig, LampsConfig, Pin, ScreenConfig
from appliance.core import fault_table
from appliance.doctor.probes import Health
from appliance.errors import PanelError
from appliance.panel.gpio_chip import LGPIO
from appliance.panel.i2c import NAME, OpenBus, found_address, open_smbus, opened
from appliance.panel.lamps import OutputPin
from appliance.panel.pins import (
    PINS,
    Factory,
    InputPin,
    PinSource,
    import_errors,
    pin_of,
)

RUNTIME: Final = Path("/run/ptt-appliance")
"""Folder that systemd makes for the running service, and removes when it stops."""

_OTHER: Final = "another program that uses lgpio"

Result = tuple[str, str]
"""What was found, and the remedy; empty: nothing is wrong."""


def probe_screen(config: ScreenConfig, open_bus: OpenBus = open_smbus) -> Result:
    """Write a byte to the OLED, which changes nothing on it.

    The running box may use it at the same time: the kernel keeps transfers apart.
    """
    try:
        with import_errors(NAME):
            bus = opened(config.bus, open_bus)
        try:
            address = found_address(bus, config)
        finally:
            bus.close()
    except PanelError as exc:
        remedy = "If there is no screen, write screen.driver: none."
        return "does not work", f"{exc.reason.removesuffix('.')}. {remedy}"
    return f"responds at 0x{address:02X} on I²C bus {config.bus}", ""


@dataclass(frozen=True, slots=True)
class _Wire:
    """Wired button or lamp."""

    name: str
    pin: Pin
    is_button: bool

    @property
    def label(self) -> str:
        return f"{self.name} GPIO{self.pin.pin}"


def probe_pins(
    buttons: ButtonsConfig,
    lamps: LampsConfig,
    source: PinSource = PINS,
    runtime: Path = RUNTIME,
    ask: Callable[[], Health | None] = lambda: None,
) -> Result:
    """Open each wired pin, of which there are some, and close it; lamps stay dark.

    The kernel does not tell the box from another program that uses lgpio, so the
    running box is asked whether one of its pins is in use.

    Args:
        buttons: wiring of the buttons.
        lamps: wiring of the lamps.
        source: pins of this machine.
        runtime: folder that exists while the service runs.
        ask: asks the running box for its faults; None: it does not answer.
    """
    wires = [*_wires(buttons, is_button=True), *_wires(lamps, is_button=False)]
    try:
        factory = source.open_factory()
    except PanelError as exc:
        names = ", ".join(wire.label for wire in wires)
        return f"no pins for {names}", exc.reason
    usable, held, faults = [], [], {}
    for wire in wires:
        try:
            usable.append(f"{wire.label} {_tried(factory, wire)}".rstrip())
        except PanelError as exc:
            line = source.user(factory, wire.pin.pin)
            if line is None or "busy" not in exc.reason.lower():
                faults[wire.label] = exc.reason
            elif line.consumer == LGPIO and runtime.exists():
                held.append(wire.label)
            else:
                faults[wire.label] = line.user or exc.reason
    return _summary(usable, held, faults, ask() if held else None)


def _summary(
    usable: list[str], held: list[str], faults: dict[str, str], health: Health | None
) -> Result:
    lacks_pin = health is not None and fault_table.PIN_IN_USE.id in health.fault_ids
    is_known = health is not None and not lacks_pin
    holder = "the running box" if is_known else f"the running box or {_OTHER}"
    found = [
        f"{', '.join(usable)} can be used" if usable else "",
        f"{holder} holds {', '.join(held)}" if held else "",
        f"{', '.join(faults)} cannot be used" if faults else "",
    ]
    advice = [f"{label}: {reason}" for label, reason in faults.items()]
    if lacks_pin and not faults:
        reason = fault_table.PIN_IN_USE.text(user=_OTHER)
        advice.append(f"the box reports a pin that is {reason}")
    return "; ".join(filter(None, found)), "; ".join(advice)


def _tried(factory: Factory, wire: _Wire) -> str:
    """Open and close the pin; return whether a button is pressed.

    Raises:
        PanelError: it cannot be opened.
    """
    if not wire.is_button:
        OutputPin(factory, wire.pin, is_lit=False).close()
        return ""
    button = InputPin(factory, wire.pin, _ignore)
    button.close()
    return "(pressed)" if button.was_closed else ""


def _ignore(_edge: object) -> None:
    """Ignore an edge."""


def _wires(section: ButtonsConfig | LampsConfig, *, is_button: bool) -> Iterator[_Wire]:
    for field in fields(section):
        pin = pin_of(getattr(section, field.name))
        if pin is not None:
            yield _Wire(field.name, pin, is_button)
