"""Checks of pins and screen, which open them as the box does."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from appliance.config import ButtonsConfig, LampsConfig, Pin, ScreenConfig
from appliance.doctor.checks import Finding, ignore
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
    label,
    wired,
)

RUNTIME: Final = Path("/run/ptt-appliance")
"""Folder that systemd makes for the running service, and removes when it stops."""


def screen(config: ScreenConfig, open_bus: OpenBus = open_smbus) -> Finding:
    """Check the OLED's packages, and write a byte to it that changes nothing.

    The running box may use it at the same time: the kernel keeps transfers apart.
    """
    if config.driver == "none":
        return Finding("screen", "none configured")
    try:
        with import_errors(NAME):
            import_module("luma.oled")
            import_module("PIL")
            bus = opened(config.bus, open_bus)
        try:
            address = found_address(bus, config)
        finally:
            bus.close()
    except PanelError as exc:
        remedy = "If there is no screen, write screen: {driver: none}."
        advice = f"{exc.reason.removesuffix('.')}. {remedy}"
        return Finding("screen", "does not work", advice)
    found = f"responds at 0x{address:02X} on I²C bus {config.bus}"
    return Finding("screen", found)


@dataclass(frozen=True, slots=True)
class _Wire:
    """Wired button or lamp."""

    label: str
    pin: Pin
    is_button: bool


def pins(
    buttons: ButtonsConfig,
    lamps: LampsConfig,
    source: PinSource = PINS,
    runtime: Path = RUNTIME,
) -> Finding:
    """Open each wired pin and close it; lamps stay dark.

    The kernel does not say which program uses lgpio, so a busy pin is no fault while
    the service runs: the box itself reports pins that it cannot open.
    """
    wires = [
        _Wire(label(name, pin), pin, is_button=section is buttons)
        for section in (buttons, lamps)
        for name, pin in wired(section).items()
    ]
    if not wires:
        return Finding("pins", "none configured")
    try:
        factory = source.open_factory()
    except PanelError as exc:
        names = ", ".join(wire.label for wire in wires)
        return Finding("pins", f"no pins for {names}", exc.reason)
    usable, held, faults = [], [], {}
    for wire in wires:
        try:
            usable.append(f"{wire.label} {_tried(factory, wire)}".rstrip())
        except PanelError as exc:
            line = source.line(factory, wire.pin.pin, exc.reason)
            if line.consumer == LGPIO and runtime.exists():
                held.append(wire.label)
            else:
                faults[wire.label] = line.user or exc.reason
    holder = "the running box or another program that uses lgpio"
    found = (
        f"{', '.join(usable)} can be used" if usable else "",
        f"{holder} holds {', '.join(held)}" if held else "",
        f"{', '.join(faults)} cannot be used" if faults else "",
    )
    advice = (f"{wire}: {reason}" for wire, reason in faults.items())
    return Finding("pins", "; ".join(filter(None, found)), "; ".join(advice))


def _tried(factory: Factory, wire: _Wire) -> str:
    """Open and close the pin; return whether a button is pressed.

    Raises:
        PanelError: it cannot be opened.
    """
    if not wire.is_button:
        OutputPin(factory, wire.pin, is_lit=False).close()
        return ""
    button = InputPin(factory, wire.pin, ignore)
    button.close()
    return "(pressed)" if button.was_closed else ""
