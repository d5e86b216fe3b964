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

Several notices of one part are one text (`hardware_fault.joined`).
"""

from typing import Final

from appliance.core.hardware_fault import FaultKind, HardwareFault

_SOUND: Final = "no sound from the speaker"
_SECOND: Final = "`speaker: …, not a USB card`"
_ALSA: Final = "`sound: /etc/asound.conf, line 4: …`"
_SILENCE: Final = "`it delivers only silence`"
_LOSSES: Final = "`it loses sound`"
_VOLUME: Final = "`its level is too low: …`"
_PANEL: Final = "a button, a lamp or the screen does nothing"
_HELD: Final = "`button is held down`"
_STORE: Final = "`store: …`"
_PAGE: Final = "the page does not open"

# sound card

NO_CARD: Final = HardwareFault(
    "card-missing",
    "no sound card has one",
    "Plug in a USB sound card.",
    readme_row=_SOUND,
)
CARD_NOT_FOUND: Final = HardwareFault(
    "card-not-found",
    "not found; available: {there}",
    "Plug it in or change sound.{direction}.",
    readme_row=_SOUND,
)
CARD_IN_USE: Final = HardwareFault(
    "card-in-use", "in use by {user}", "Stop that program.", readme_row=_SOUND
)
CARD_NOT_ALLOWED: Final = HardwareFault(
    "card-not-allowed",
    "this user is not allowed to open it",
    "Run: {command}.",
    readme_row=_SOUND,
)
CARD_NOT_OPEN: Final = HardwareFault(
    "card-not-open", "cannot be opened now", readme_row=_SOUND
)
CARD_RATES: Final = HardwareFault(
    "card-rates",
    "cannot be opened at any of {rates} Hz",
    "Is another program using it?",
    readme_row=_SOUND,
)
CARD_RATE_UNUSABLE: Final = HardwareFault(
    "card-rate-unusable",
    "it runs at {rate} Hz, but at none of {rates} Hz",
    "Use another sound card.",
    readme_row=_SOUND,
)
CARD_NO_SAMPLES: Final = HardwareFault(
    "card-deaf",
    "it delivers nothing",
    "Unplug it and plug it in again.",
    readme_row=_SOUND,
)
USB_BANDWIDTH: Final = HardwareFault(
    "usb-bandwidth",
    "{sentence} ({host}: the USB bandwidth is used up)",
    "Use another USB port, unplug other USB devices such as cameras, or use a simpler "
    "card.",
    readme_row=_SOUND,
)
CARD_STOPPED: Final = HardwareFault(
    "card-stopped", "it stopped; was it unplugged?", readme_row=_SOUND
)
CARD_STUCK: Final = HardwareFault(
    "card-stuck",
    "the sound card does not answer ({call})",
    "Unplug it and plug it in again, if need be into another USB port.",
    readme_row=_SOUND,
)
SOUND_CRASHED: Final = HardwareFault(
    "sound-crashed",
    "the sound library crashed ({end})",
    "Try another sound card.",
    readme_row=_SOUND,
)
SOUND_NOT_STARTED: Final = HardwareFault(
    "sound-not-started",
    "the sound library's process cannot be started: {error}",
    "The box tries again; if it stays so, restart the computer.",
    readme_row=_SOUND,
)
SOUND_PACKAGE: Final = HardwareFault(
    "sound-package",
    "the Python package sounddevice is not installed",
    "Install the program again: sudo bash systemd/install.sh.",
    readme_row=_SOUND,
)
SOUND_LIBRARY: Final = HardwareFault(
    "sound-library",
    "{error}",
    "Install it: sudo apt install libportaudio2.",
    readme_row=_SOUND,
)
ALSA_CONFIGURATION: Final = HardwareFault(
    "alsa-configuration",
    "{file}, line {line}: {words}",
    "Fix or remove it.",
    readme_row=_ALSA,
)
NOT_PREFERRED: Final = HardwareFault(
    "card-other-wish",
    'not "{wanted}"',
    "Plug that one in, or change sound.{direction}.",
    FaultKind.NOTICE,
    _SECOND,
)
FIRST_IN_USE: Final = HardwareFault(
    "card-first-in-use",
    "not {name}, in use by {user}",
    "Stop that program.",
    FaultKind.NOTICE,
    _SECOND,
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

CARD_VOLUME: Final = HardwareFault(
    "card-levels",
    "its level is too low: {levels}",
    "Run: {commands} && sudo alsactl store. Or write "
    "sound: {{mixer: {{{direction}: {percent}}}}}, and the box sets it each time.",
    FaultKind.NOTICE,
    _VOLUME,
)
MIXER_FAILED: Final = HardwareFault(
    "card-mixer-failed",
    "its mixer: {error}",
    "Unplug it and plug it in again, or write sound.mixer: null.",
    FaultKind.NOTICE,
    _VOLUME,
)
NO_CARD_VOLUME: Final = HardwareFault(
    "card-no-level",
    "its mixer has no level for the {direction}",
    "Write null into sound.mixer.{direction}.",
    FaultKind.NOTICE,
    _VOLUME,
)
NO_MIXER: Final = HardwareFault(
    "card-no-mixer",
    "sound.mixer cannot set its level, because it is not a card",
    "Write the name of a card into sound.{direction}, or null into "
    "sound.mixer.{direction}.",
    FaultKind.NOTICE,
    _VOLUME,
)

# screen

NO_BUS: Final = HardwareFault(
    "screen-no-bus",
    "there is no I²C bus {bus}",
    "Switch I²C on (sudo raspi-config nonint do_i2c 0) and restart.",
    readme_row=_PANEL,
)
NO_OTHER_BUS: Final = HardwareFault(
    "screen-no-other-bus",
    "there is no I²C bus {bus}",
    "Set screen.bus to 1 for the pins 3 and 5, or add dtoverlay=i2c{bus} to "
    "/boot/firmware/config.txt and restart.",
    readme_row=_PANEL,
)
BUS_BLOCKED: Final = HardwareFault(
    "screen-bus-blocked",
    "I²C bus {bus} is blocked: a device or a short circuit holds SDA or SCL",
    "Unplug the screen and check its wires.",
    readme_row=_PANEL,
)
BUS_FAILED: Final = HardwareFault(
    "screen-bus-failed", "I²C bus {bus}: {error}", readme_row=_PANEL
)
SCREEN_ABSENT: Final = HardwareFault(
    "screen-absent",
    "no device at {addresses} on I²C bus {bus}",
    "Check its four wires.",
    readme_row=_PANEL,
)
SCREEN_TAKEN: Final = HardwareFault(
    "screen-taken",
    "a kernel driver holds {address} on I²C bus {bus}",
    "It shows UU in `i2cdetect -y {bus}`. Remove the display's dtoverlay from "
    "/boot/firmware/config.txt and restart.",
    readme_row=_PANEL,
)
SCREEN_STOPPED: Final = HardwareFault(
    "screen-stopped",
    "no response any more on I²C bus {bus}",
    "Check its four wires.",
    readme_row=_PANEL,
)

# buttons, lamps, and what they share with the screen

DEVICE_REFUSED: Final = HardwareFault(
    "device-refused",
    "no permission: {device} belongs to {owner}, and the box runs as {user} in the "
    "groups {groups}",
    "{remedy}",
    readme_row=_PANEL,
)
DEVICE_GONE: Final = HardwareFault(
    "device-gone", "no permission for {device}: {error}", readme_row=_PANEL
)
NO_CHIP: Final = HardwareFault(
    "gpio-chip-none",
    "this machine has no GPIO chip: there is no {device}",
    "On a Raspberry Pi this means a kernel without GPIO; elsewhere write null for "
    "every button and lamp.",
    readme_row=_PANEL,
)
PIN_IN_USE: Final = HardwareFault(
    "pin-in-use",
    "in use by {user}",
    "End that, or wire another pin.",
    readme_row=_PANEL,
)
WIRE_FLOATS: Final = HardwareFault(
    "button-floats",
    "its wire floats, with edges all the time",
    "Check the wire and the button's contact.",
    readme_row=_PANEL,
)
WIRE_UNPULLED: Final = HardwareFault(
    "button-unpulled",
    "its wire floats, with edges all the time",
    "Write pull: up (button to GND) or pull: down (button to 3.3 V).",
    readme_row=_PANEL,
)

NO_PINS: Final = HardwareFault(
    "pins-none", "this machine has no pins to use: {error}", readme_row=_PANEL
)
PIN_FAILED: Final = HardwareFault("pin-failed", "{error}", readme_row=_PANEL)
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
    readme_row=_PANEL,
)
LGPIO_MISSING: Final = HardwareFault(
    "panel-lgpio",
    "the Python package {package} {state}",
    "Install it: sudo apt install python3-lgpio (Raspberry Pi OS has it).",
    readme_row=_PANEL,
)

# system

STORE_FAILED: Final = HardwareFault("store-failed", "{error}", readme_row=_STORE)
STORE_FULL: Final = HardwareFault(
    "store-full",
    "{error}",
    "Free some: sudo journalctl --vacuum-size=50M, sudo apt clean.",
    readme_row=_STORE,
)
STORE_READ_ONLY: Final = HardwareFault(
    "store-read-only",
    "{error}",
    "What is set now is forgotten at a restart. Make it writable, or ignore this.",
    readme_row=_STORE,
)
PAIRINGS_FAILED: Final = HardwareFault(
    "pairings-failed",
    "{error}: phones must pair again after a restart",
    readme_row=_STORE,
)
PAGE_FAILED: Final = HardwareFault("page-failed", "{error}", readme_row=_PAGE)
PAGE_IN_USE: Final = HardwareFault(
    "page-in-use",
    "{error}",
    "End the program that serves there, or write another page.listen.",
    readme_row=_PAGE,
)
PAGE_PRIVILEGED: Final = HardwareFault(
    "page-privileged",
    "{error}",
    "Ports below 1024 are for root: write a higher one into page.listen.",
    readme_row=_PAGE,
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
