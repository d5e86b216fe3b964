"""Conditions of the panel and the machine, for the table of `conditions`.

The box is the real one, with simulated parts of the panel. Its talk button mutes and
unmutes, as in the mode `open`. What depends on the kernel's own drivers is a check of
`tests.guest` as well: an I²C bus that appears late, a GPIO line that is in use, a chip
with another number, a bouncing contact, and a full or read-only disk.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from appliance.demo.livekit_server import LocalServer
from appliance.process.state_files import RETRY_S
from tests.bench.bench_run import BenchRun
from tests.bench.client import UnmeasurableError
from tests.bench.client_start import Page, Seat
from tests.bench.plan import QUICK
from tests.card.far_end import FarEnd
from tests.card.machine import (
    HDMI,
    SECOND,
    USB,
    USB_MICROPHONE,
    USB_SPEAKER,
    VOLUME,
    Machine,
    OnMachine,
    Plug,
)
from tests.card.running_box import (
    ANSWER_S,
    BOTH,
    LOOK_S,
    RunningBox,
    counted,
    until,
)
from tests.card.simulated_box import SEEN
from tests.card.table import NAMED_S, Row

LASTS_S: Final = 2.0
"""Time for which a fault goes on after it is named."""
PRESSES: Final = 40
"""Each makes two pictures, of 45 transfers each."""
PRESSED_S: Final = 1.0
"""Time in which a press has its effect."""
PAGE: Final = frozenset({"page", "chat"})


@dataclass(frozen=True, slots=True)
class MachineCondition:
    """A fault of panel or machine, its moment, and what is expected."""

    fault: str
    words: str = ""
    """Pattern of what the box says; empty: the box must work as if nothing was."""
    breaks: frozenset[str] = frozenset()
    """Functions that do not work meanwhile."""
    is_at_start: bool = False
    """Whether it begins before the box starts."""
    plugs: tuple[Plug, ...] = (USB,)
    """Sound cards of the machine."""
    is_replaced: bool = False
    """Whether another part takes over, so that all is well without a repair."""
    is_exercised: bool = False
    """Whether the talk button is pressed many times meanwhile."""
    is_stored: bool = False
    """Whether a setting is changed, which has to be stored."""

    @property
    def name(self) -> str:
        """Name of the row."""
        return f"{self.fault}, {'at start' if self.is_at_start else 'running'}"

    @property
    def row(self) -> Row:
        """Row without results."""
        row = Row(self.name, NAMED_S if self.words else None)
        healed_s = row.healed_goal_s + (RETRY_S if self.is_stored else 0)
        return replace(row, healed_goal_s=healed_s)


_OLED: Final = (
    ("oled-silent", "OLED: I²C bus 1 is blocked"),
    ("oled-busy", "OLED: a kernel driver holds"),
    ("oled-unplugged", "OLED: no (device|response)"),
)
_SCREEN: Final = frozenset({"screen"})
_MICROPHONE: Final = frozenset({"microphone"})
MACHINE_CONDITIONS: Final = (
    *(MachineCondition(name, words, _SCREEN) for name, words in _OLED),
    *(
        MachineCondition(name, words, _SCREEN, is_at_start=True)
        for name, words in (*_OLED, ("oled-no-bus", "OLED: there is no I²C bus 1"))
    ),
    MachineCondition("oled-bus-late", is_at_start=True),
    MachineCondition("oled-lossy", is_exercised=True),
    MachineCondition("pin-bounces", is_exercised=True),
    MachineCondition("pin-floats", "next_page GPIO5: its wire floats"),
    MachineCondition(
        "pin-busy", 'next_page GPIO5: in use by "spi0 CS0"', is_at_start=True
    ),
    MachineCondition("chip-renumbered", is_at_start=True),
    MachineCondition(
        "chip-absent",
        "GPIO: this machine has no GPIO chip",
        frozenset({"button", "lamps"}),
        is_at_start=True,
    ),
    MachineCondition("first-usb-unplugged", plugs=(USB, SECOND), is_replaced=True),
    MachineCondition(
        "usb-microphone-unplugged",
        "microphone: ",
        _MICROPHONE,
        plugs=(USB_MICROPHONE, USB_SPEAKER),
    ),
    *(
        MachineCondition(
            "usb-unplugged",
            "speaker: vc4-hdmi: Audio, not a USB card",
            BOTH,
            plugs=(HDMI, USB),
            is_at_start=is_at_start,
        )
        for is_at_start in (False, True)
    ),
    MachineCondition("state-read-only", "store: ", is_stored=True),
    MachineCondition("state-full", "store: ", is_stored=True),
    MachineCondition("page-port-taken", "page: ", PAGE, is_at_start=True),
    MachineCondition("mixer-20-db-down", "its level is too low", is_at_start=True),
    MachineCondition("mixer-capture-off", "its level is too low", is_at_start=True),
)


@dataclass(slots=True)
class MachineBox(RunningBox):
    """A running box with a simulated panel."""

    machine: Machine = field(kw_only=True)
    flips: int = 0
    """Changes of the mute."""
    said: set[str] = field(default_factory=set)
    """Faults that were ever shown."""

    def is_all_well(self) -> bool:
        """Return whether there is no fault, and everything that is seen works."""
        self.card = self.machine.played_on
        is_good = not self.view.get("faults") and self.is_well()
        return is_good and self.is_right() and self.is_lit()

    def is_right(self) -> bool:
        """Return whether the screen shows the newest picture."""
        return bool(self.view.get("screen"))

    def is_lit(self) -> bool:
        """Return whether the lamp says that it is in the room."""
        return "online" in self.view.get("lamps", ())

    async def press(self) -> None:
        """Press the talk button for a moment."""
        flips = self.flips
        await self.client.tell("press")
        await until(lambda: self.flips > flips, PRESSED_S)
        await self.client.tell("release")

    async def is_muted_by(self, presses: int) -> bool:
        """Return whether each of so many presses mutes or unmutes exactly once."""
        flips = self.flips
        for _ in range(presses):
            await self.press()
        await until(lambda: self.flips >= flips + presses, ANSWER_S)
        return self.flips == flips + presses

    def journal(self) -> int:
        """Return the number of lines in its journal."""
        return sum(not x.text.startswith(SEEN) for x in self.client.lines)

    def read(self, text: str) -> None:
        """Take what a person sees."""
        view: dict[str, Any] = json.loads(text.removeprefix(SEEN))
        view["faults"] = counted(view["faults"])
        is_known = "is_muted" in self.view
        self.flips += is_known and view["is_muted"] != self.view["is_muted"]
        self.said |= {*view["faults"]}
        self.view = view


async def measured(
    condition: MachineCondition, server: LocalServer, folder: Path
) -> Row:
    """Run the box through one condition.

    Args:
        condition: what to do and what to expect.
        server: the LiveKit server.
        folder: an empty one for the files of box and machine.
    """
    run = BenchRun(server, folder, QUICK)
    seat = run.seat("room", 0)
    faults = (condition.fault,) if condition.is_at_start else ()
    machine = Machine(seat.folder, condition.plugs, faults)
    began_s = time.monotonic()
    try:
        async with _running(machine, seat, run.token("room", "far")) as box:
            return await _taken(condition, box, began_s)
    except (UnmeasurableError, OSError, httpx.HTTPError) as exc:
        return replace(condition.row, disturbed=(f"the box: {exc}".splitlines()[0],))
    finally:
        machine.close()


async def _taken(condition: MachineCondition, box: MachineBox, began_s: float) -> Row:
    """Return the row of a box that runs."""
    row, first_line = condition.row, 0
    if not condition.is_at_start:
        if not await until(box.is_all_well):
            return replace(row, disturbed=("it did not work before",))
        first_line, began_s = box.journal(), time.monotonic()
        await box.machine.begin(condition.fault)
    if condition.is_stored:
        await box.page.set_volume(VOLUME)
        began_s = time.monotonic()
    ended_s = began_s
    if condition.words:
        is_named = await until(lambda: box.says(condition.words))
        named_s = time.monotonic() - began_s if is_named else None
        row = replace(row, said=box.says(condition.words), named_s=named_s)
        await asyncio.sleep(LASTS_S)
        row = replace(row, disturbed=await _disturbed(box, condition.breaks))
        await box.machine.end(condition.fault)
        ended_s = time.monotonic()
    elif condition.is_at_start:
        # Nothing is to be healed: it counts from the moment the box is in the room.
        await until(box.is_connected)
        ended_s = time.monotonic()
    elif condition.is_exercised:
        is_exact = await box.is_muted_by(PRESSES)
        row = replace(row, disturbed=() if is_exact else ("presses",))
        ended_s = time.monotonic()
    is_healed = await until(box.is_all_well)
    healed_s = time.monotonic() - ended_s if is_healed else None
    lines = box.journal() - first_line
    after = tuple(f"{x} afterwards" for x in await _disturbed(box, frozenset()))
    said = "" if condition.words or condition.is_replaced else "; ".join(box.said)
    disturbed = (*row.disturbed, *after, *(("words",) if said else ()))
    said = row.said or said
    return replace(row, healed_s=healed_s, lines=lines, disturbed=disturbed, said=said)


async def _disturbed(box: MachineBox, breaks: frozenset[str]) -> tuple[str, ...]:
    """Return what does not work besides these functions."""
    box.card = box.machine.played_on
    checks: dict[str, Callable[[], Awaitable[bool]]] = {
        "chat": box.is_answered,
        "page": box.is_served,
        "screen": partial(until, box.is_right, ANSWER_S),
        "lamps": partial(until, box.is_lit, ANSWER_S),
        "button": partial(box.is_muted_by, 2),
    }
    for direction in BOTH:
        is_working = partial(box.works, frozenset({direction}))
        checks[direction] = partial(until, is_working, ANSWER_S)
    # One after the other: the button mutes the microphone.
    failed = [x for x in checks if x not in breaks and not await checks[x]()]
    return (*failed, *(() if box.has_signal() else ("watchdog",)))


@asynccontextmanager
async def _running(
    machine: Machine, seat: Seat, token: str
) -> AsyncIterator[MachineBox]:
    """Run the box with a far end; on entry it shows a view."""
    page = Page(seat.folder)
    seat = replace(seat, card=machine.played_on)
    async with FarEnd() as far_end:
        await far_end.join(seat.url, token)
        client = await machine.start(seat, OnMachine(mode="open").config(seat))
        box = MachineBox(client, seat.card, page, far_end, machine=machine)
        try:
            await client.says(SEEN)
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(_read(box))
                yield box
                reader.cancel()
        finally:
            await client.stop()


async def _read(box: MachineBox) -> None:
    """Read what a person sees, line by line."""
    taken = 0
    while True:
        for line in box.client.lines[taken:]:
            if line.text.startswith(SEEN):
                box.read(line.text)
            taken += 1
        # Nothing announces a line to several readers.
        await asyncio.sleep(LOOK_S / 2)
