"""Table of the hardware faults: words, remedy and where a person sees each of them.

The adapters and `doctor` take their sentences from here. A new fault is one entry, and
a row in README's table "When something is wrong" unless an existing row covers it (the
test of this module has the rows). What PortAudio itself says when it refuses a card is
shown as it is.

What follows from the kind of a fault, and so has no column of its own:

    kind     event               page, OLED          fault lamp  log line, once
    LOST     PartLost.reason     part: name: text    lit *       … lost  reason="text"
    NOTICE   PartFound.notice    part: name, text    lit         … open  notice="text"
    HELD     ButtonPressed       text                lit         only if held at start
    CHECK    none                none                dark        none; `doctor` only

* Not for a screen with `screen.driver: auto`, which is optional.

Several notices of one part are one text (`joined`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

ALSO: Final = "; also "
"""Between two notices of one part."""


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

    def described(self, **facts: object) -> str:
        """Return what is wrong, with these facts."""
        return self.words.format(**facts)

    def advice(self, **facts: object) -> str:
        """Return what to do, with these facts."""
        return self.remedy.format(**facts)

    def text(self, **facts: object) -> str:
        """Return what is wrong and what to do, as page, OLED and log show it."""
        words, advice = self.described(**facts), self.advice(**facts)
        if not advice:
            return words
        if self.kind is FaultKind.NOTICE:
            return f"{words}; {advice[0].lower()}{advice[1:].removesuffix('.')}"
        return f"{words}. {advice}"

    def outline(self) -> str:
        """Return what is wrong, without any facts; empty: the words are all facts."""
        pieces = _pieces(self.words)
        return "…".join(pieces) if _letters("".join(pieces)) else ""

    def likeness(self, text: str) -> int:
        """Return the number of letters that match this fault; 0: it does not match.

        Args:
            text: as `text` returns it, of any fault.
        """
        pieces = _pieces(self.words)
        if not re.match(".*".join(map(re.escape, pieces)), text, re.DOTALL):
            return 0
        # The first letter of the remedy depends on the kind.
        remedy = _pieces(self.remedy)[0][1:].removesuffix(".")
        return _letters("".join(pieces)) + (remedy in text) * _letters(remedy)


def joined(notices: Iterable[str]) -> str:
    """Return the notices of one part as one text; empty ones are left out."""
    return ALSO.join(filter(None, notices))


def _pieces(words: str) -> list[str]:
    """Return the words between the facts."""
    return re.split(r"\{\w+\}", words)


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


# sound card

NO_CARD: Final = HardwareFault(
    "card-missing", "no sound card has one", "Plug in a USB sound card."
)
CARD_NOT_FOUND: Final = HardwareFault(
    "card-not-found",
    "not found; available: {there}",
    "Plug it in or change sound.{direction}.",
)
CARD_IN_USE: Final = HardwareFault(
    "card-in-use", "in use by {user}", "Stop that program."
)
CARD_NOT_ALLOWED: Final = HardwareFault(
    "card-not-allowed", "this user is not allowed to open it", "Run: {command}."
)
CARD_NOT_OPEN: Final = HardwareFault("card-not-open", "cannot be opened now")
CARD_RATES: Final = HardwareFault(
    "card-rates",
    "cannot be opened at any of {rates} Hz",
    "Use another sound card.",
)
CARD_NO_SAMPLES: Final = HardwareFault(
    "card-deaf", "it delivers nothing", "Unplug it and plug it in again."
)
USB_BANDWIDTH: Final = HardwareFault(
    "usb-bandwidth",
    "{sentence} ({host}: the USB bandwidth is used up)",
    "Use another USB port, unplug other USB devices such as cameras, or use a simpler "
    "card.",
)
CARD_STOPPED: Final = HardwareFault("card-stopped", "it stopped; was it unplugged?")
CARD_STUCK: Final = HardwareFault(
    "card-stuck",
    "the sound card does not answer ({call})",
    "Unplug it and plug it in again, if need be into another USB port.",
)
SOUND_CRASHED: Final = HardwareFault(
    "sound-crashed", "the sound library crashed ({end})", "Try another sound card."
)
SOUND_NOT_STARTED: Final = HardwareFault(
    "sound-not-started",
    "the sound library's process cannot be started: {error}",
    "The box tries again; if it stays so, restart the computer.",
)
SOUND_PACKAGE: Final = HardwareFault(
    "sound-package",
    "the Python package sounddevice is not installed",
    "Install the program again: sudo bash systemd/install.sh.",
)
SOUND_LIBRARY: Final = HardwareFault(
    "sound-library", "{error}", "Install it: sudo apt install libportaudio2."
)
ALSA_CONFIGURATION: Final = HardwareFault(
    "alsa-configuration", "{file}, line {line}: {words}", "Fix or remove it."
)
NOT_PREFERRED: Final = HardwareFault(
    "card-other-wish",
    'not "{wanted}"',
    "Plug that one in, or change sound.{direction}.",
    FaultKind.NOTICE,
)
FIRST_IN_USE: Final = HardwareFault(
    "card-first-in-use",
    "not {name}, in use by {user}",
    "Stop that program.",
    FaultKind.NOTICE,
)
NOT_USB: Final = HardwareFault(
    "card-not-usb",
    "not a USB card",
    "Plug one in, or write this name into sound.{direction}.",
    FaultKind.NOTICE,
)
LOSES_SOUND: Final = HardwareFault(
    "card-loses-sound",
    "it loses sound",
    "Try another USB port, or fewer USB devices.",
    FaultKind.NOTICE,
)
SILENT_MICROPHONE: Final = HardwareFault(
    "microphone-silent",
    "it delivers only silence",
    "Is it switched off or muted?",
    FaultKind.NOTICE,
)

CARD_VOLUME: Final = HardwareFault(
    "card-levels",
    "its level is too low: {levels}",
    "Run: {commands} && sudo alsactl store. Or write "
    "sound: {{mixer: {{{direction}: {percent}}}}}, and the box sets it each time.",
    FaultKind.NOTICE,
)
MIXER_FAILED: Final = HardwareFault(
    "card-mixer-failed",
    "its mixer: {error}",
    "Unplug it and plug it in again, or write sound: {{mixer: null}}.",
    FaultKind.NOTICE,
)
NO_CARD_VOLUME: Final = HardwareFault(
    "card-no-level",
    "its mixer has no level for the {direction}",
    "Write null into sound.mixer.{direction}.",
    FaultKind.NOTICE,
)
NO_MIXER: Final = HardwareFault(
    "card-no-mixer",
    "sound.mixer cannot set its level, because it is not a card",
    "Write the name of a card into sound.{direction}, or null into "
    "sound.mixer.{direction}.",
    FaultKind.NOTICE,
)

# screen

NO_BUS: Final = HardwareFault(
    "screen-no-bus",
    "there is no I²C bus {bus}",
    "Switch I²C on (sudo raspi-config nonint do_i2c 0) and restart.",
)
NO_OTHER_BUS: Final = HardwareFault(
    "screen-no-other-bus",
    "there is no I²C bus {bus}",
    "Set screen.bus to 1 for the pins 3 and 5, or add dtoverlay=i2c{bus} to "
    "/boot/firmware/config.txt and restart.",
)
BUS_BLOCKED: Final = HardwareFault(
    "screen-bus-blocked",
    "I²C bus {bus} is blocked: a device or a short circuit holds SDA or SCL",
    "Unplug the screen and check its wires.",
)
BUS_FAILED: Final = HardwareFault("screen-bus-failed", "I²C bus {bus}: {error}")
SCREEN_ABSENT: Final = HardwareFault(
    "screen-absent",
    "no device at {addresses} on I²C bus {bus}",
    "Check its four wires.",
)
SCREEN_TAKEN: Final = HardwareFault(
    "screen-taken",
    "a kernel driver holds {address} on I²C bus {bus}",
    "It shows UU in `i2cdetect -y {bus}`. Remove the display's dtoverlay from "
    "/boot/firmware/config.txt and restart.",
)
SCREEN_STOPPED: Final = HardwareFault(
    "screen-stopped", "no response any more on I²C bus {bus}", "Check its four wires."
)

# buttons, lamps, and what they share with the screen

DEVICE_REFUSED: Final = HardwareFault(
    "device-refused",
    "no permission: {device} belongs to {owner}, and the box runs as {user} in the "
    "groups {groups}",
    "{remedy}",
)
DEVICE_GONE: Final = HardwareFault("device-gone", "no permission for {device}: {error}")
NO_CHIP: Final = HardwareFault(
    "gpio-chip-none",
    "this machine has no GPIO chip: there is no {device}",
    "On a Raspberry Pi this means a kernel without GPIO; elsewhere write null for "
    "every button and lamp.",
)
PIN_IN_USE: Final = HardwareFault(
    "pin-in-use", "in use by {user}", "Free the pin, or use another one."
)
WIRE_FLOATS: Final = HardwareFault(
    "button-floats",
    "its wire floats, with edges all the time",
    "Check the wire and the button's contact, and with pull: none its resistor.",
)

NO_PINS: Final = HardwareFault("pins-none", "this machine has no pins to use: {error}")
PIN_FAILED: Final = HardwareFault("pin-failed", "{error}")
BUTTON_HELD: Final = HardwareFault(
    "button-held",
    "{button} button is held down",
    "Release it, or check its wire.",
    FaultKind.HELD,
)
PACKAGE_MISSING: Final = HardwareFault(
    "panel-package",
    "the Python package {package} {state}",
    "Install the program again: sudo bash systemd/install.sh.",
)

# system

STORE_FAILED: Final = HardwareFault("store-failed", "{error}")
STORE_FULL: Final = HardwareFault(
    "store-full",
    "{error}",
    "Free disk space: sudo journalctl --vacuum-size=50M, sudo apt clean.",
)
STORE_READ_ONLY: Final = HardwareFault(
    "store-read-only",
    "{error}",
    "What is set now is forgotten at a restart. Make it writable, or ignore this.",
)
PAIRINGS_FAILED: Final = HardwareFault(
    "pairings-failed", "{error}: phones must pair again after a restart"
)
PAGE_FAILED: Final = HardwareFault("page-failed", "{error}")
PAGE_IN_USE: Final = HardwareFault(
    "page-in-use",
    "{error}",
    "End the program that serves there, or write another page.listen.",
)
PAGE_PRIVILEGED: Final = HardwareFault(
    "page-privileged",
    "{error}",
    "Ports below 1024 are for root: write a higher one into page.listen.",
)
PAGE_ADDRESS: Final = HardwareFault(
    "page-address",
    "{error}",
    "The box has no such address: write one that it has into page.listen, or 0.0.0.0.",
)

# found by `doctor` only

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
