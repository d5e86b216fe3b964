"""Machine under a condition: its sound cards, their mixer, page port and state folder.

The faults of its panel are those of `simulated_box`.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.client import Client
from tests.bench.client_start import Ours, Seat
from tests.card.alsa_mixer import Control, Mixer
from tests.card.asound import Card, plug_in
from tests.card.build import MIXER, plugin
from tests.card.demo import speak_always
from tests.card.simulated_box import FAULTS as PANEL_FAULTS
from tests.sound_cards.proc_asound import Kernel, kernel

CARD_ID: Final = "Device"
LOUD: Final = (
    Control("PCM Playback Volume", 28, 0, 32, -32, 1),
    Control("PCM Playback Switch", 1),
    Control("Mic Capture Volume", 12, 0, 16, 0, 1.5),
    Control("Mic Capture Switch", 1),
)
QUIET: Final = (Control("PCM Playback Volume", 12, 0, 32, -32, 1), *LOUD[1:])
"""The speaker is at -20 dB, as Debian's alsa-utils leaves it on a new system."""
SWITCHED_OFF: Final = (*LOUD[:3], Control("Mic Capture Switch", 0))
VOLUME: Final = 70
"""Volume that is set, and so has to be stored."""
STATE_BYTES: Final = 65_536
IN_STATE: Final = """\
cp -a "$0" "$0.kept" && mount -t tmpfs -o size=$1,mode=700 ptt "$0" &&
cp -a "$0.kept/." "$0" && shift && exec "$@"
"""
"""Starts a command with a state folder of limited size in a mount namespace."""


@dataclass(frozen=True, slots=True)
class Plug:
    """A card and its place in the kernel's list."""

    number: int
    short: str
    card_id: str
    usb_id: str = ""
    has_microphone: bool = True
    has_speaker: bool = True

    @property
    def pcms(self) -> list[str]:
        """The kernel's names of its PCMs."""
        both = (("pcm0p", self.has_speaker), ("pcm0c", self.has_microphone))
        return [name for name, is_there in both if is_there]

    def card(self, folder: Path) -> Card:
        """Return the virtual card."""
        made = Card(
            folder / self.card_id,
            name=f"{self.short}: Audio (hw:{self.number},0)",
            microphone_channels=int(self.has_microphone),
            speaker_channels=2 * self.has_speaker,
            is_looped=True,
        )
        if self.has_microphone:
            speak_always(made)
        return made


HDMI: Final = Plug(0, "vc4-hdmi", "vc4hdmi", has_microphone=False)
USB: Final = Plug(1, "USB PnP Sound Device", CARD_ID, "0d8c:0014")
SECOND: Final = Plug(2, "USB Headset", "Headset", "046d:0a44")
USB_MICROPHONE: Final = Plug(1, "USB Microphone", "Mic", "0d8c:0135", has_speaker=False)
USB_SPEAKER: Final = Plug(2, "USB Speaker", "Sp", "08bb:2902", has_microphone=False)


@dataclass(slots=True)
class Machine:
    """Machine with these cards, in the order of the kernel's numbers."""

    folder: Path
    plugs: Sequence[Plug]
    faults: tuple[str, ...] = ()
    """Faults with which the box starts."""
    played_on: Card = field(init=False)
    """Card whose speaker is to play."""
    listen: str = field(init=False)
    """Address of the page."""
    client: Client = field(init=False)
    _kernel: Kernel = field(init=False)
    _cards: dict[Plug, Card] = field(init=False)
    _occupant: socket.socket | None = None

    def __post_init__(self) -> None:
        """Plug the cards in."""
        self._kernel = kernel(self.folder)
        self._cards = {x: x.card(self.folder) for x in self.plugs}
        for plug in self.plugs:
            self._list(plug)
        speakers = [x for x in self.plugs if x.has_speaker and x.usb_id]
        self.played_on = self._cards[speakers[0]]
        self.set_mixer(LOUD)

    async def start(self, seat: Seat, config: dict[str, object]) -> Client:
        """Start the box with this configuration; its faults begin before."""
        file = self.folder / "config.yaml"
        file.write_text(json.dumps(config), encoding="utf-8")
        page = config["page"]
        assert isinstance(page, dict)
        self.listen = str(page["listen"])
        panel = [x for x in self.faults if x in PANEL_FAULTS]
        for fault in set(self.faults) - set(panel):
            await FAULTS[fault][0](self)
        conf = self.folder / "asound.conf"
        state = self.folder / "state"
        env = plug_in(conf, *self._cards.values()) | {"STATE_DIRECTORY": str(state)}
        with conf.open("a", encoding="utf-8") as mixers:
            mixers.write(_mixers(self.folder))
        box = [sys.executable, "-m", "tests.card.simulated_box", str(file), *panel]
        if os.geteuid() == 0:
            size = str(STATE_BYTES)
            box = ["unshare", "--mount", "sh", "-c", IN_STATE, str(state), size, *box]
        self.client = await Client.start(seat.name, seat.card, box, env)
        return self.client

    async def begin(self, fault: str) -> None:
        """Let a fault begin while the box runs."""
        if fault in PANEL_FAULTS:
            await self.client.tell(f"begin {fault}")
        else:
            await FAULTS[fault][0](self)

    async def end(self, fault: str) -> None:
        """Remove its cause."""
        if fault in PANEL_FAULTS:
            await self.client.tell(f"end {fault}")
        else:
            await FAULTS[fault][1](self)

    def close(self) -> None:
        """Free the page's port."""
        if self._occupant is not None:
            self._occupant.close()

    def unplug(self, plug: Plug) -> None:
        """Unplug a card."""
        self._cards[plug].unplug()
        self._kernel.remove(plug.number)

    def plug(self, plug: Plug) -> None:
        """Plug it in again."""
        self._cards[plug].plug()
        self._list(plug)

    def play_on(self, plug: Plug) -> None:
        """Expect the sound from this card."""
        self.played_on = self._cards[plug]

    def set_mixer(self, controls: tuple[Control, ...]) -> None:
        """Replace all levels and switches of the USB card."""
        Mixer(self.folder, CARD_ID).write(*controls)

    def take_port(self) -> None:
        """Listen where the page is to be served."""
        host, _, port = self.listen.rpartition(":")
        self._occupant = socket.create_server((host, int(port)))

    async def in_state(self, command: str) -> None:
        """Run a command in the box's mount namespace; `$0` is the state folder."""
        enter = ["nsenter", "--mount", "--target", str(self.client.pid)]
        state = str(self.folder / "state")
        process = await asyncio.create_subprocess_exec(
            *enter, "sh", "-c", command, state
        )
        await process.wait()

    def _list(self, plug: Plug) -> None:
        self._kernel.add(
            plug.number, plug.short, plug.card_id, *plug.pcms, usb_id=plug.usb_id
        )


def _mixers(folder: Path) -> str:
    """Return the part of ALSA's configuration by which a mixer is found."""
    return (
        f'ctl_type.ptt {{ lib "{plugin(MIXER)}" }}\n'
        "ctl.hw { @args [ CARD ] @args.CARD { type string }\n"
        f'type ptt dir "{folder}" card $CARD }}\n'
    )


Change = Callable[[Machine], Awaitable[None]]


async def _unplug_usb(machine: Machine) -> None:
    machine.unplug(USB)


async def _plug_usb(machine: Machine) -> None:
    machine.plug(USB)


async def _unplug_first(machine: Machine) -> None:
    machine.unplug(USB)
    machine.play_on(SECOND)


async def _unplug_microphone(machine: Machine) -> None:
    machine.unplug(USB_MICROPHONE)


async def _plug_microphone(machine: Machine) -> None:
    machine.plug(USB_MICROPHONE)


async def _take_port(machine: Machine) -> None:
    machine.take_port()


async def _free_port(machine: Machine) -> None:
    machine.close()


async def _make_read_only(machine: Machine) -> None:
    await machine.in_state('mount -o remount,ro "$0"')


async def _make_writable(machine: Machine) -> None:
    await machine.in_state('mount -o remount,rw "$0"')


async def _fill(machine: Machine) -> None:
    await machine.in_state('cat /dev/zero > "$0/fill" 2> /dev/null')


async def _free(machine: Machine) -> None:
    await machine.in_state('rm "$0/fill"')


async def _be_quiet(machine: Machine) -> None:
    machine.set_mixer(QUIET)


async def _switch_off(machine: Machine) -> None:
    machine.set_mixer(SWITCHED_OFF)


async def _be_loud(machine: Machine) -> None:
    machine.set_mixer(LOUD)


FAULTS: Final[dict[str, tuple[Change, Change]]] = {
    "usb-unplugged": (_unplug_usb, _plug_usb),
    "first-usb-unplugged": (_unplug_first, _plug_usb),
    "usb-microphone-unplugged": (_unplug_microphone, _plug_microphone),
    "page-port-taken": (_take_port, _free_port),
    "state-read-only": (_make_read_only, _make_writable),
    "state-full": (_fill, _free),
    "mixer-20-db-down": (_be_quiet, _be_loud),
    "mixer-capture-off": (_switch_off, _be_loud),
}
"""What begins and what ends each fault of the machine."""


@dataclass(frozen=True, slots=True)
class OnMachine(Ours):
    """The appliance on a machine, with every part of its panel."""

    has_processing: bool = False

    def config(self, seat: Seat) -> dict[str, object]:
        """Return its configuration."""
        return self._config(seat) | {
            "screen": {"driver": "ssd1306"},
            "buttons": {"talk": 17, "leave": 27, "next_page": 5},
        }
