"""Table of how the box takes each fault of its hardware.

`python -m tests.card.conditions [NAME …]` runs the real box on the virtual card through
the conditions, with a real LiveKit server and a far end that speaks and answers chat.
Those of the panel and the machine are in `machine_conditions`.
Each row has what the box says, the seconds until it says it and until all is well again
after the cause is gone, the lines in its journal, and what else was disturbed. It exits
1 if a row misses a goal.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Final

import httpx
from websockets.exceptions import WebSocketException

from appliance.demo.livekit_server import LocalServer, find_or_build
from tests.bench.bench_run import BenchRun
from tests.bench.client import UnmeasurableError
from tests.bench.plan import QUICK
from tests.card import machine_conditions
from tests.card.demo import be_quiet, speak_always
from tests.card.faults import FAULTS, CardFault
from tests.card.machine_conditions import MACHINE_CONDITIONS
from tests.card.running_box import ANSWER_S, LOST, RunningBox, running, until
from tests.card.table import (
    HANG_NAMED_S,
    HEADER,
    NAMED_S,
    ZEROS_NAMED_S,
    Row,
    line,
)

LASTS_S: Final = 2.0
"""Time for which a fault goes on after it is named."""
HANG_LASTS_S: Final = 12.0
"""The same for a call that does not return: longer than `audio.adapter.DEAD_S`, after
which the box would stop its watchdog signals and be restarted by systemd."""
IN_GUEST: Final = (
    "the same with the kernel's own drivers for USB sound, GPIO and I²C, as unplug, "
    "screen, bus, bounce, held, taken, renumbered, bare, readonly, full and mixer"
)
"""Conditions that need real drivers."""
HANGS: Final = "does not answer"
HANGING: Final = frozenset(
    {
        *("start-refused", "start-hangs", "open-hangs", "open-slow", "error-loop"),
        *("microphone-hangs", "speaker-hangs"),
    }
)
"""Faults in which a call into PortAudio does not return."""


class Begin(Enum):
    """Moment at which a fault begins."""

    START = "at start"
    """Before the box starts."""
    RUNNING = "running"
    REPLUG = "replugged"
    """Before the card is plugged in again."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A fault, its moment, and what is expected."""

    fault: str
    begin: Begin
    words: str = ""
    """Pattern of what the box says; empty: the box must work as if nothing was."""
    works: frozenset[str] = frozenset()
    """Directions that work meanwhile."""
    lasts_s: float | None = None
    """Time for which the fault goes on after it is named; None: the usual."""

    @property
    def name(self) -> str:
        """Name of the row."""
        return f"{self.fault}, {self.begin.value}"

    @property
    def named_goal_s(self) -> float:
        """Longest time until the fault is named."""
        zeros_s = ZEROS_NAMED_S if self.fault == "zeros" else NAMED_S
        return HANG_NAMED_S if self.is_hang else zeros_s

    @property
    def goes_on_s(self) -> float:
        """Time for which the fault goes on after it is named."""
        usual_s = HANG_LASTS_S if self.is_hang else LASTS_S
        return usual_s if self.lasts_s is None else self.lasts_s

    @property
    def row(self) -> Row:
        """Row without results."""
        is_for_ever = FAULTS[self.fault].is_lasting and bool(self.words)
        return Row(self.name, self.named_goal_s if self.words else None, is_for_ever)

    @property
    def is_hang(self) -> bool:
        """Whether a call into PortAudio does not return."""
        return self.fault in HANGING


_MADE: Final = tuple(name for name, fault in FAULTS.items() if fault.is_lasting)
_NO_RATE: Final = ("22050-hz",)
"""Made with a rate of which 10 ms are no whole number of frames."""
CONDITIONS: Final = (
    Condition("unplugged", Begin.RUNNING, LOST),
    Condition("error-loop", Begin.RUNNING, LOST),
    Condition("crash", Begin.RUNNING, LOST),
    Condition("stalled", Begin.RUNNING, LOST),
    Condition("microphone-dead", Begin.RUNNING, "microphone: ", frozenset({"speaker"})),
    Condition("microphone-dead", Begin.START, "microphone: ", frozenset({"speaker"})),
    Condition("speaker-dead", Begin.RUNNING, "speaker: ", frozenset({"microphone"})),
    Condition("zeros", Begin.RUNNING, "only silence", frozenset({"speaker"})),
    Condition("zeros", Begin.START, "only silence", frozenset({"speaker"})),
    *(
        Condition(name, begin, HANGS)
        for name in ("start-refused", "start-hangs", "open-hangs", "open-slow")
        for begin in (Begin.START, Begin.REPLUG)
    ),
    Condition("microphone-hangs", Begin.START, HANGS, frozenset({"speaker"})),
    Condition("speaker-hangs", Begin.START, HANGS, frozenset({"microphone"})),
    Condition("microphone-busy", Begin.START, "microphone: ", frozenset({"speaker"})),
    Condition("speaker-busy", Begin.START, "speaker: ", frozenset({"microphone"})),
    Condition("speaker-busy", Begin.REPLUG, "speaker: ", frozenset({"microphone"})),
    Condition("not-permitted", Begin.START, LOST),
    Condition("permission-late", Begin.REPLUG),
    Condition("one-channel", Begin.START),
    *(Condition(name, Begin.START, LOST if name in _NO_RATE else "") for name in _MADE),
)


async def measured(condition: Condition, server: LocalServer, folder: Path) -> Row:
    """Run the box through one condition.

    Args:
        condition: what to do and what to expect.
        server: the LiveKit server.
        folder: an empty one for the files of box and card.
    """
    fault, run = FAULTS[condition.fault], BenchRun(server, folder, QUICK)
    seat = run.seat("room", 0)
    card = fault.card(seat.card.folder, is_looped=True)
    speak_always(card)
    seat = replace(seat, card=card)
    if condition.begin is Begin.START:
        fault.begin(card)
    began_s = time.monotonic()
    try:
        async with running(seat, run.token("room", "far")) as box:
            return await _taken(condition, fault, box, began_s)
    except (UnmeasurableError, OSError, httpx.HTTPError, WebSocketException) as exc:
        return replace(condition.row, disturbed=(f"the box: {exc}".splitlines()[0],))


async def _taken(
    condition: Condition, fault: CardFault, box: RunningBox, began_s: float
) -> Row:
    """Return the row of a box that runs."""
    first_line = 0
    if condition.begin is not Begin.START:
        if not await until(box.is_well):
            return replace(condition.row, disturbed=("it did not work before",))
        began_s = await _begun(condition, fault, box)
        first_line = len(box.client.lines)
    row = condition.row
    ended_s = began_s + fault.openable_after_ms / 1000
    if condition.words:
        is_named = await until(lambda: box.says(condition.words))
        named_s = time.monotonic() - began_s if is_named else None
        said = box.says(condition.words) or box.says(LOST)
        # A box that is disturbed later, too, is disturbed.
        await asyncio.sleep(condition.goes_on_s)
        disturbed = await _disturbed(box, condition)
        row = replace(row, said=said, named_s=named_s, disturbed=disturbed)
        fault.end(box.card)
        ended_s = time.monotonic()
        if fault.is_lasting:
            return replace(row, lines=len(box.client.lines))
    elif condition.begin is Begin.START:
        # Nothing is to be healed: it counts from the moment the box is in the room.
        await until(box.is_connected)
        ended_s = time.monotonic()
    if condition.works:
        # The box interrupts nothing that is being said, neither here nor there.
        box.far_end.is_speaking = False
        be_quiet(box.card)
        await until(lambda: not box.says(LOST))
        box.far_end.is_speaking = True
        speak_always(box.card)
    is_healed = await until(box.is_well)
    healed_s = time.monotonic() - ended_s if is_healed else None
    said = row.said or box.says(LOST)
    lines = len(box.client.lines) - first_line
    return replace(row, said=said, healed_s=healed_s, lines=lines)


async def _begun(condition: Condition, fault: CardFault, box: RunningBox) -> float:
    """Let the fault begin while the box runs; return its moment."""
    if condition.begin is Begin.REPLUG:
        box.card.unplug()
        await until(lambda: box.says(LOST))
    fault.begin(box.card)
    if condition.begin is Begin.REPLUG:
        box.card.plug()
    return time.monotonic()


async def _disturbed(box: RunningBox, condition: Condition) -> tuple[str, ...]:
    """Return what does not work besides the faulty part."""
    checks: dict[str, Awaitable[bool]] = {
        "chat": box.is_answered(),
        "page": box.is_served(),
    }
    for direction in condition.works:
        is_working = partial(box.works, frozenset({direction}))
        checks[direction] = until(is_working, ANSWER_S)
    results = await asyncio.gather(*checks.values())
    failed = (x for x, is_good in zip(checks, results, strict=True) if not is_good)
    return (*failed, *(() if box.has_signal() else ("watchdog",)))


Measure = Callable[[LocalServer, Path], Awaitable[Row]]
"""Runs the box through one condition, with files in an empty folder."""


def chosen(names: frozenset[str]) -> list[Measure]:
    """Return the measurements of the conditions with these names; none: of all."""
    return [
        *(partial(measured, x) for x in CONDITIONS if not names or x.fault in names),
        *(
            partial(machine_conditions.measured, x)
            for x in MACHINE_CONDITIONS
            if not names or x.fault in names
        ),
    ]


async def run(measurements: Sequence[Measure]) -> int:
    """Run through the conditions, print the rows, and return the exit status."""
    # Without systemd's socket the box sends no signals, but it logs their end.
    os.environ["WATCHDOG_USEC"] = "1000000"
    binary = find_or_build(lambda words: print(words, file=sys.stderr))
    print(HEADER, flush=True)
    rows: list[Row] = []
    async with LocalServer(binary) as server:
        for measure in measurements:
            with tempfile.TemporaryDirectory(prefix="ptt-conditions-") as folder:
                rows.append(await measure(server, Path(folder)))
            print(line(rows[-1]), flush=True)
    missed = [row for row in rows if row.misses]
    print(f"{len(rows) - len(missed)} of {len(rows)} conditions meet all goals")
    print(f"In the boot guest (python -m tests.guest): {IN_GUEST}.")
    return 1 if missed else 0


def main() -> int:
    """Run the conditions with these faults, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.card.conditions")
    parser.add_argument("faults", nargs="*", metavar="NAME", help="just these faults")
    names = frozenset(parser.parse_args().faults)
    known = FAULTS.keys() | {x.fault for x in MACHINE_CONDITIONS}
    if unknown := names - known:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    return asyncio.run(run(chosen(names)))


if __name__ == "__main__":
    sys.exit(main())
