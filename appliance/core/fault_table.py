"""Table of the hardware faults: words, remedy and where a person sees each of them.

The adapters and `doctor` take their sentences from here. A new fault is one entry, and
a row in README's table "When something is wrong" unless an existing row covers it. What
PortAudio itself says when it refuses a card is shown as it is.

What follows from the kind of a fault, and so has no column of its own:

    kind     event               page, OLED          fault lamp  log line, once
    LOST     PartLost.reason     part: name: text    lit *       … lost  reason="text"
    NOTICE   PartFound.notice    part: name, text    lit         … open  notice="text"
    HELD     ButtonPressed       text                lit         only if held at start
    CHECK    none                none                dark        none; `doctor` only

* Not for a screen with `screen.driver: auto`, which is optional.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

_SOUND: Final = "no sound from the speaker"
_SECOND: Final = "`speaker: …, not a USB card`"
_ALSA: Final = "`sound: /etc/asound.conf, line 4: …`"
_SILENCE: Final = "`it delivers only silence`"
_LOSSES: Final = "`it loses sound`"
_PANEL: Final = "a button, a lamp or the screen does nothing"
_HELD: Final = "`button is held down`"
_STORE: Final = "`store: …`"
_PAGE: Final = "the page does not open"


class FaultKind(Enum):
    """Effect of a fault on its part."""

    LOST = "the part does not work"
    NOTICE = "the part works, but not as it should"
    HELD = "a button is down"
    CHECK = "only `doctor` examines it"


@dataclass(frozen=True, slots=True)
class HardwareFault:
    """One thing that can be wrong with the hardware or the system under the box."""

    id: str
    """Identifier, the same in all versions."""
    words: str
    """What is wrong; `{names}` are replaced by what was found."""
    remedy: str = ""
    """What to do, as a sentence; empty: nobody has to do anything, or it depends."""
    kind: FaultKind = FaultKind.LOST
    help: str = ""
    """Part of the first column of README's table that covers it; empty: `doctor`."""

    def found(self, **facts: object) -> str:
        """Return what is wrong, with these facts."""
        return self.words.format(**facts)

    def advice(self, **facts: object) -> str:
        """Return what to do, with these facts."""
        return self.remedy.format(**facts)

    def outline(self) -> str:
        """Return what is wrong, without any facts; empty: the words are all facts."""
        pieces = _pieces(self.words)
        return "…".join(pieces) if any(map(_is_telling, pieces)) else ""

    def likeness(self, text: str) -> int:
        """Return how many letters of the text are this fault's own; 0: it is another.

        Args:
            text: as `text` returns it, of any fault.
        """
        start, *others = pieces = _pieces(self.words)
        if not text.startswith(start):
            return 0
        end = len(start)
        for piece in others:
            found = text.find(piece, end)
            if found < 0:
                return 0
            end = found + len(piece)
        # The first letter of the remedy depends on the kind.
        remedy = _pieces(self.remedy)[0][1:].removesuffix(".")
        own = "".join((*pieces, remedy if remedy in text[end:] else ""))
        return sum(map(str.isalpha, own))

    def text(self, **facts: object) -> str:
        """Return what is wrong and what to do, as page, OLED and log show it."""
        found, advice = self.found(**facts), self.advice(**facts)
        if not advice:
            return found
        if self.kind is FaultKind.NOTICE:
            return f"{found}; {advice[0].lower()}{advice[1:].removesuffix('.')}"
        return f"{found}. {advice}"


def _pieces(words: str) -> list[str]:
    """Return the words between the facts."""
    return re.split(r"\{\w+\}", words)


def _is_telling(piece: str) -> bool:
    return any(map(str.isalpha, piece))


# sound card

NO_CARD: Final = HardwareFault(
    "card-missing",
    "no sound card has one",
    "Plug in a USB sound card.",
    help=_SOUND,
)
CARD_NOT_FOUND: Final = HardwareFault(
    "card-not-found",
    "not found; available: {there}",
    "Plug it in or change sound.{direction}.",
    help=_SOUND,
)
CARD_IN_USE: Final = HardwareFault(
    "card-in-use", "in use by {user}", "Stop that program.", help=_SOUND
)
CARD_NOT_ALLOWED: Final = HardwareFault(
    "card-not-allowed",
    "this user is not allowed to open it",
    "Run: {command}.",
    help=_SOUND,
)
CARD_NOT_OPEN: Final = HardwareFault(
    "card-not-open", "cannot be opened now", help=_SOUND
)
CARD_RATES: Final = HardwareFault(
    "card-rates",
    "cannot be opened at any of {rates} Hz",
    "Is another program using it?",
    help=_SOUND,
)
CARD_RATE_UNUSABLE: Final = HardwareFault(
    "card-rate-unusable",
    "it runs at {rate} Hz, but at none of {rates} Hz",
    "Use another sound card.",
    help=_SOUND,
)
CARD_DEAF: Final = HardwareFault(
    "card-deaf",
    "it delivers nothing",
    "Unplug it and plug it in again.",
    help=_SOUND,
)
USB_BANDWIDTH: Final = HardwareFault(
    "usb-bandwidth",
    "{sentence} ({host}: the USB bandwidth is used up)",
    "Use another USB port, unplug other USB devices such as cameras, or use a simpler "
    "card.",
    help=_SOUND,
)
CARD_STOPPED: Final = HardwareFault(
    "card-stopped", "it stopped; was it unplugged?", help=_SOUND
)
CARD_STUCK: Final = HardwareFault(
    "card-stuck",
    "the sound card does not answer ({call})",
    "Unplug it and plug it in again.",
    help=_SOUND,
)
SOUND_CRASHED: Final = HardwareFault(
    "sound-crashed",
    "the sound library crashed ({end})",
    "Try another sound card.",
    help=_SOUND,
)
SOUND_NOT_STARTED: Final = HardwareFault(
    "sound-not-started",
    "the sound library's process cannot be started: {error}",
    "The box tries again; if it stays so, restart the computer.",
    help=_SOUND,
)
SOUND_PACKAGE: Final = HardwareFault(
    "sound-package",
    "the Python package sounddevice is not installed",
    "Install the program again: sudo bash systemd/install.sh.",
    help=_SOUND,
)
SOUND_LIBRARY: Final = HardwareFault(
    "sound-library",
    "{error}",
    "Install it: sudo apt install libportaudio2.",
    help=_SOUND,
)
ALSA_CONFIGURATION: Final = HardwareFault(
    "alsa-configuration",
    "{file}, line {line}: {words}",
    "Fix or remove it.",
    help=_ALSA,
)
OTHER_WISH: Final = HardwareFault(
    "card-other-wish", 'not "{wish}"', kind=FaultKind.NOTICE, help=_SECOND
)
NOT_USB: Final = HardwareFault(
    "card-not-usb",
    "not a USB card",
    "Plug one in, or write this name into sound.{direction}.",
    FaultKind.NOTICE,
    _SECOND,
)
LOSES_SOUND: Final = HardwareFault(
    "card-loses-sound",
    "it loses sound",
    "Try another USB port, or fewer USB devices.",
    FaultKind.NOTICE,
    _LOSSES,
)
SILENT_MICROPHONE: Final = HardwareFault(
    "microphone-silent",
    "it delivers only silence",
    "Is it switched off or muted?",
    FaultKind.NOTICE,
    _SILENCE,
)

# screen

NO_BUS: Final = HardwareFault(
    "screen-no-bus",
    "there is no I²C bus {bus}",
    "Switch I²C on (sudo raspi-config nonint do_i2c 0) and restart.",
    help=_PANEL,
)
NO_OTHER_BUS: Final = HardwareFault(
    "screen-no-other-bus",
    "there is no I²C bus {bus}",
    "Set screen.bus to 1 for the pins 3 and 5, or add dtoverlay=i2c{bus} to "
    "/boot/firmware/config.txt and restart.",
    help=_PANEL,
)
BUS_BLOCKED: Final = HardwareFault(
    "screen-bus-blocked",
    "I²C bus {bus} is blocked: a device or a short circuit holds SDA or SCL",
    "Unplug the screen and check its wires.",
    help=_PANEL,
)
BUS_FAILED: Final = HardwareFault(
    "screen-bus-failed", "I²C bus {bus}: {error}", help=_PANEL
)
SCREEN_ABSENT: Final = HardwareFault(
    "screen-absent",
    "no device at {addresses} on I²C bus {bus}",
    "Check its four wires.",
    help=_PANEL,
)
SCREEN_TAKEN: Final = HardwareFault(
    "screen-taken",
    "a kernel driver holds {address} on I²C bus {bus}",
    "It shows UU in `i2cdetect -y {bus}`. Remove the display's dtoverlay from "
    "/boot/firmware/config.txt and restart.",
    help=_PANEL,
)
SCREEN_STOPPED: Final = HardwareFault(
    "screen-stopped",
    "no response any more on I²C bus {bus}",
    "Check its four wires.",
    help=_PANEL,
)

# buttons, lamps, and what they share with the screen

DEVICE_REFUSED: Final = HardwareFault(
    "device-refused",
    "no permission: {device} belongs to {owner}, and the box runs as {user} in the "
    "groups {groups}",
    "{remedy}",
    help=_PANEL,
)
DEVICE_GONE: Final = HardwareFault(
    "device-gone", "no permission for {device}: {error}", help=_PANEL
)
NO_CHIP: Final = HardwareFault(
    "gpio-chip-none",
    "this machine has no GPIO chip: there is no {device}",
    "On a Raspberry Pi this means a kernel without GPIO; elsewhere write null for "
    "every button and lamp.",
    help=_PANEL,
)
PIN_IN_USE: Final = HardwareFault(
    "pin-in-use", "in use by {user}", "End that, or wire another pin.", help=_PANEL
)
WIRE_FLOATS: Final = HardwareFault(
    "button-floats",
    "its wire floats, with edges all the time",
    "Check the wire and the button's contact.",
    help=_PANEL,
)
WIRE_UNPULLED: Final = HardwareFault(
    "button-unpulled",
    "its wire floats, with edges all the time",
    "Write pull: up (button to GND) or pull: down (button to 3.3 V).",
    help=_PANEL,
)

PIN_LIBRARY: Final = HardwareFault(
    "gpio-library",
    "GPIOZERO_PIN_FACTORY is set, and does not work: {error}",
    "Remove it from the environment (sudo systemctl edit ptt-appliance): the default, "
    "lgpio, works on every Pi.",
    help=_PANEL,
)
NO_PINS: Final = HardwareFault(
    "pins-none", "this machine has no pins to use: {error}", help=_PANEL
)
PIN_FAILED: Final = HardwareFault("pin-failed", "{error}", help=_PANEL)
BUTTON_HELD: Final = HardwareFault(
    "button-held",
    "{button} button is held down",
    "Release it, or check its wire.",
    FaultKind.HELD,
    _HELD,
)
PACKAGE_MISSING: Final = HardwareFault(
    "panel-package",
    "the Python package {package} {state}",
    "Install the program again: sudo bash systemd/install.sh.",
    help=_PANEL,
)
LGPIO_MISSING: Final = HardwareFault(
    "panel-lgpio",
    "the Python package {package} {state}",
    "Install it: sudo apt install python3-lgpio (Raspberry Pi OS has it).",
    help=_PANEL,
)

# system

STORE_FAILED: Final = HardwareFault("store-failed", "{error}", help=_STORE)
STORE_FULL: Final = HardwareFault(
    "store-full",
    "{error}",
    "Free some: sudo journalctl --vacuum-size=50M, sudo apt clean.",
    help=_STORE,
)
STORE_READ_ONLY: Final = HardwareFault(
    "store-read-only",
    "{error}",
    "What is set now is forgotten at a restart. Make it writable, or ignore this.",
    help=_STORE,
)
PAIRINGS_FAILED: Final = HardwareFault(
    "pairings-failed",
    "{error}: phones must pair again after a restart",
    help=_STORE,
)
PAGE_FAILED: Final = HardwareFault("page-failed", "{error}", help=_PAGE)
PAGE_IN_USE: Final = HardwareFault(
    "page-in-use",
    "{error}",
    "End the program that serves there, or write another page.listen.",
    help=_PAGE,
)

# found by `doctor` only

CARD_LEVELS: Final = HardwareFault(
    "card-levels",
    "{levels}",
    "Run: {commands} && sudo alsactl store. Or write "
    "sound: {{mixer: {{{direction}: {percent}}}}}, and the box sets it each time.",
    FaultKind.CHECK,
)
MIXER_FAILED: Final = HardwareFault(
    "card-mixer-failed", "its mixer: {error}", kind=FaultKind.CHECK
)
NO_LEVEL: Final = HardwareFault(
    "card-no-level", "its mixer has no level for the {direction}", kind=FaultKind.CHECK
)
NO_NETWORK: Final = HardwareFault(
    "network-none",
    "none",
    "Plug in the cable or set the Wi-Fi password (sudo nmtui).",
    FaultKind.CHECK,
)
WIFI_SLEEPS: Final = HardwareFault(
    "wifi-sleeps",
    "{interface} power save on",
    "Switch it off for good: {commands}",
    FaultKind.CHECK,
)
CLOCK_WRONG: Final = HardwareFault(
    "clock-wrong",
    "{now}",
    "Set it from the network, which lasts: sudo timedatectl set-ntp true. After a "
    "minute `timedatectl` says whether it is synchronized; if not, the router blocks "
    "NTP (UDP port 123).",
    FaultKind.CHECK,
)

TABLE: Final = tuple(
    value for value in tuple(globals().values()) if isinstance(value, HardwareFault)
)
"""All faults."""
