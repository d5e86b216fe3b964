"""Checks of sound cards, screen, pins and Wi-Fi.

Screen and pins are opened as the box does. The power saving of Wi-Fi delays packets by
tenths of a second.
"""

import errno
import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

from appliance.config import ButtonsConfig, Cards, LampsConfig, Pin, ScreenConfig
from appliance.core import fault_table
from appliance.doctor.checks import Finding, finding, finished, ignore
from appliance.errors import PanelError, SoundError
from appliance.panel.gpio_chip import LGPIO, in_use
from appliance.panel.oled import (
    NAME,
    OpenBus,
    found_address,
    open_smbus,
    opened_bus,
)
from appliance.panel.pins import (
    PINS,
    Factory,
    InputPin,
    OutputPin,
    PinSource,
    import_errors,
    label,
    wired,
)
from appliance.sound_cards import alsa_mixer
from appliance.sound_cards.card_volume import OpenMixer, card_volume_found
from appliance.sound_cards.devices import OURS, Device, Direction, obstacle_error
from appliance.sound_cards.selected_devices import chosen, not_the_first

RUNTIME: Final = Path("/run/ptt-appliance")
"""Folder that systemd makes for the running service, and removes when it stops."""
INTERFACES: Final = Path("/sys/class/net")
IW: Final = "/usr/sbin/iw"
"""In Debian it is in a folder that only root has in its PATH."""
_UNSUPPORTED: Final = f"(-{errno.EOPNOTSUPP})"
"""End of iw's message for a driver without this setting."""


def card_name(
    preferred: tuple[str, ...], direction: Direction, devices: tuple[Device, ...]
) -> tuple[str, str]:
    """Return the device to use, with its user, and a notice if it is a second choice.

    Raises `SoundError` if there is none, or another program uses it.
    """
    device = chosen(preferred, devices, direction)
    if device.obstacle and not device.used_by.startswith(OURS):
        raise obstacle_error(device)
    has_usb = any(x.is_usb for x in devices if x.channels(direction))
    notice = not_the_first(preferred, device, direction, has_usb=has_usb)
    found = filter(None, (device.stable_name, device.obstacle))
    return ", ".join(found), notice


def sound(
    direction: Direction,
    preferred: Cards,
    find: Callable[[], tuple[Device, ...]],
    open_mixer: OpenMixer = alsa_mixer.opened,
) -> Iterator[Finding]:
    """Check the card of one direction and, if it can be used, its levels."""
    if preferred == "none":
        yield Finding(direction, "none configured")
        return
    try:
        devices = find()
        name, notice = card_name(preferred, direction, devices)
    except SoundError as exc:
        yield Finding(direction, "does not work", str(exc))
        return
    yield Finding(direction, name, notice)
    device = chosen(preferred, devices, direction)
    volume = card_volume_found(device, direction, open_mixer)
    yield Finding(f"{direction} level", *volume)


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
            bus = opened_bus(config.bus, open_bus)
        try:
            address = found_address(bus, config)
        finally:
            bus.close()
    except PanelError as exc:
        remedy = "If there is no screen, write screen: {driver: none}."
        advice = f"{exc.reason.removesuffix('.')}. {remedy}"
        return Finding("screen", "does not work", advice)
    return Finding("screen", f"responds at 0x{address:02X} on I²C bus {config.bus}")


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
    inputs, outputs = (
        {label(name, pin): pin for name, pin in wired(section).items()}
        for section in (buttons, lamps)
    )
    wires = inputs | outputs
    if not wires:
        return Finding("pins", "none configured")
    try:
        factory = source.open_factory()
    except PanelError as exc:
        return Finding("pins", f"no pins for {', '.join(wires)}", exc.reason)
    usable, held, faults = [], [], {}
    for wire, pin in wires.items():
        try:
            state = _tried(factory, pin, is_button=wire in inputs)
            usable.append(f"{wire} {state}".rstrip())
        except PanelError as exc:
            consumer = source.consumer(factory, pin.pin, exc.reason)
            if consumer == LGPIO and runtime.exists():
                held.append(wire)
            else:
                faults[wire] = exc.reason if consumer is None else in_use(consumer)
    holder = "the running box or another program that uses lgpio"
    found = (
        f"{', '.join(usable)} can be used" if usable else "",
        f"{holder} holds {', '.join(held)}" if held else "",
        f"{', '.join(faults)} cannot be used" if faults else "",
    )
    advice = (f"{wire}: {reason}" for wire, reason in faults.items())
    return Finding("pins", "; ".join(filter(None, found)), "; ".join(advice))


def _tried(factory: Factory, pin: Pin, *, is_button: bool) -> str:
    """Open and close the pin; return whether a button is down. Raises `PanelError`."""
    if not is_button:
        OutputPin(factory, pin, is_lit=False).close()
        return ""
    button = InputPin(factory, pin, ignore)
    button.close()
    return "(pressed)" if button.was_closed else ""


def wifi(
    current_interface: Callable[[], str | None],
    interfaces: Path = INTERFACES,
    iw: str | None = None,
) -> Finding:
    """Check the power saving of the interface in use, if any."""
    try:
        interface = current_interface()
    except OSError:
        # The check of the network reports it.
        interface = None
    if interface is None:
        return Finding("Wi-Fi", "no network is in use")
    if not (interfaces / interface / "wireless").exists():
        return Finding("Wi-Fi", f"not used, the network is on {interface}")
    program = iw or shutil.which("iw") or IW
    question = [program, "dev", interface, "get", "power_save"]
    done = finished(question)
    if done and _UNSUPPORTED in done.stderr:
        return Finding("Wi-Fi", f"the driver of {interface} has no power save")
    state = done.stdout.strip().rpartition(" ")[2] if done else ""
    if state == "on":
        # Source: nm-settings-nmcli(5), `802-11-wireless.powersave`: 2 is "disable".
        commands = (
            f"name=$(nmcli -e no -g GENERAL.CONNECTION device show {interface}); "
            'sudo nmcli connection modify "$name" 802-11-wireless.powersave 2 && '
            'sudo nmcli connection up "$name"'
        )
        facts = {"interface": interface, "commands": commands}
        return finding("Wi-Fi", fault_table.WIFI_SLEEPS, **facts)
    if state == "off":
        return Finding("Wi-Fi", f"{interface} power save off")
    advice = f"Run sudo {' '.join(question)} for the reason."
    if done is None and not Path(program).exists():
        advice = "Install iw (sudo apt install iw) and run doctor again."
    return Finding("Wi-Fi", f"{interface} power save unknown", advice)
