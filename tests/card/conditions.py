"""Table of how the box takes each fault of its sound card.

`python -m tests.card.conditions [NAME …]` runs the real box on the virtual card through
the conditions, with a real LiveKit server and a far end that speaks and answers chat.
Each row has what the box says, the seconds until it says it and until all is well again
after the cause is gone, the lines in its journal, and what else was disturbed. It exits
1 if a row misses a goal.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
from websockets.exceptions import WebSocketException

from appliance.demo.build_server import find_or_build
from appliance.demo.livekit_server import LocalServer
from tests.bench.bench_run import BenchRun
from tests.bench.client import Client, UnmeasurableError
from tests.bench.client_start import Ours, Page, Seat
from tests.bench.plan import QUICK
from tests.card.asound import Card
from tests.card.demo import be_quiet, speak_always
from tests.card.far_end import ANSWER, FarEnd
from tests.card.faults import FAULTS, CardFault

NAMED_S: Final = 5.0
HANG_NAMED_S: Final = 8.0
ZEROS_NAMED_S: Final = 6.0
"""A microphone with a noise gate delivers zeros in a pause."""
HEALED_S: Final = 3.0
LINES: Final = 20
ANSWER_S: Final = 3.0
"""Time in which chat is answered and the page answers."""
PATIENCE_S: Final = 15.0
"""Time after which something counts as never happening."""
LASTS_S: Final = 2.0
"""Time for which a fault goes on after it is named."""
HANG_LASTS_S: Final = 12.0
"""The same for a call that does not return: longer than `audio.adapter.DEAD_S`, after
which the box would stop its watchdog signals and be restarted by systemd."""
NO_SIGNAL: Final = "audio does not run"
"""Log line with which the watchdog signals end."""
LOOK_S: Final = 0.05
BOTH: Final = frozenset({"microphone", "speaker"})
LOST: Final = "(microphone|speaker|sound): "
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
    def is_hang(self) -> bool:
        """Whether a call into PortAudio does not return."""
        return self.fault in HANGING


@dataclass(frozen=True, slots=True)
class Row:
    """Result of one condition; times are None where it never happened."""

    condition: Condition
    said: str = ""
    named_s: float | None = None
    healed_s: float | None = None
    lines: int = 0
    disturbed: tuple[str, ...] = ()
    """What else did not work meanwhile."""

    @property
    def misses(self) -> tuple[str, ...]:
        """Goals that are missed."""
        is_named = not self.condition.words or within(
            self.named_s, self.condition.named_goal_s
        )
        is_for_ever = FAULTS[self.condition.fault].is_lasting and self.condition.words
        goals = {
            "named": is_named,
            "healed": is_for_ever or within(self.healed_s, HEALED_S),
            "lines": self.lines <= LINES,
            "others": not self.disturbed,
        }
        return tuple(name for name, is_met in goals.items() if not is_met)


def within(value_s: float | None, goal_s: float) -> bool:
    """Return whether it happened within this time."""
    return value_s is not None and value_s <= goal_s


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


@dataclass(slots=True)
class RunningBox:
    """A running box, its newest view and its far end."""

    client: Client
    card: Card
    page: Page
    far_end: FarEnd
    view: dict[str, Any] = field(default_factory=dict)

    def says(self, words: str) -> str:
        """Return the first fault of the view that matches; empty if there is none."""
        faults: Sequence[str] = self.view.get("faults", ())
        return next((x for x in faults if re.search(words, x)), "")

    def is_connected(self) -> bool:
        """Return whether the far end is in the room with it."""
        return self.view.get("connection") == "connected" and bool(self.view["people"])

    def is_well(self) -> bool:
        """Return whether it has no fault of its card and both directions work."""
        return self.is_connected() and not self.says(LOST) and self.works(BOTH)

    def works(self, directions: frozenset[str]) -> bool:
        """Return whether sound passes in these directions."""
        can_hear = "speaker" not in directions or is_playing(self.card)
        return can_hear and ("microphone" not in directions or self.far_end.hears())


def is_playing(card: Card) -> bool:
    """Return whether the speaker has played something within the last second."""
    now_s = card.now_s()
    return bool(card.heard(max(0.0, now_s - 1.0), now_s).any())


async def until(check: Callable[[], object], within_s: float = PATIENCE_S) -> bool:
    """Wait until it is true, and return whether it became true in time."""
    ends_s = time.monotonic() + within_s
    while not check():
        if time.monotonic() > ends_s:
            return False
        # Nothing announces what has been played.
        await asyncio.sleep(LOOK_S)
    return True


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
        return Row(condition, disturbed=(f"the box: {exc}".splitlines()[0],))


async def _taken(
    condition: Condition, fault: CardFault, box: RunningBox, began_s: float
) -> Row:
    """Return the row of a box that runs."""
    first_line = 0
    if condition.begin is not Begin.START:
        if not await until(box.is_well):
            return Row(condition, disturbed=("it did not work before",))
        began_s = await _begun(condition, fault, box)
        first_line = len(box.client.lines)
    row = Row(condition)
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
        "chat": _is_answered(box),
        "page": _is_served(box.page),
    }
    for direction in condition.works:
        is_working = partial(box.works, frozenset({direction}))
        checks[direction] = until(is_working, ANSWER_S)
    results = await asyncio.gather(*checks.values())
    failed = (x for x, is_good in zip(checks, results, strict=True) if not is_good)
    has_signal = not any(NO_SIGNAL in x.text for x in box.client.lines)
    return (*failed, *(() if has_signal else ("watchdog",)))


async def _is_answered(box: RunningBox) -> bool:
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(ANSWER_S):
            await box.page.chat("hello")
            return await until(
                lambda: any(x["text"] == f"{ANSWER}hello" for x in box.view["chat"]),
                ANSWER_S,
            )
    return False


async def _is_served(page: Page) -> bool:
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(ANSWER_S):
            await page.metrics()
            return True
    return False


@asynccontextmanager
async def running(seat: Seat, token: str) -> AsyncIterator[RunningBox]:
    """Run the box with a far end; on entry its page is served."""
    page = Page(seat.folder)
    async with FarEnd() as far_end:
        await far_end.join(seat.url, token)
        client = await Ours(has_processing=False).start(seat)
        try:
            await client.says("page served")
            async with page.live() as socket:
                box = RunningBox(client, seat.card, page, far_end)
                async with asyncio.TaskGroup() as group:
                    reader = group.create_task(_read(socket, box))
                    yield box
                    reader.cancel()
        finally:
            await client.stop()


async def _read(socket: Any, box: RunningBox) -> None:
    """Keep the newest view."""
    with suppress(WebSocketException):
        async for message in socket:
            content = json.loads(message)
            if "faults" in content:
                box.view = content


def line(row: Row) -> str:
    """Return the row as text."""
    named, healed = (
        "–" if seconds is None else f"{seconds:.1f}"
        for seconds in (row.named_s, row.healed_s)
    )
    verdict = f"MISSED: {', '.join(row.misses)}" if row.misses else "ok"
    cells = (f"{row.condition.name:27}", f"{named:>5}", f"{healed:>6}")
    others = ", ".join(row.disturbed) or "work"
    return " | ".join((*cells, f"{row.lines:>5}", others, verdict, row.said))


HEADER: Final = (
    f"{'condition':27} | named | healed | lines | others | goals | what the box says"
)


async def run(conditions: Sequence[Condition]) -> int:
    """Run through the conditions, print the rows, and return the exit status."""
    # Without systemd's socket the box sends no signals, but it logs their end.
    os.environ["WATCHDOG_USEC"] = "1000000"
    binary = find_or_build(lambda words: print(words, file=sys.stderr))
    print(HEADER, flush=True)
    rows: list[Row] = []
    async with LocalServer(binary) as server:
        for condition in conditions:
            with tempfile.TemporaryDirectory(prefix="ptt-conditions-") as folder:
                rows.append(await measured(condition, server, Path(folder)))
            print(line(rows[-1]), flush=True)
    missed = [row for row in rows if row.misses]
    print(f"{len(rows) - len(missed)} of {len(rows)} conditions meet all goals")
    return 1 if missed else 0


def main() -> int:
    """Run the conditions with these faults, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.card.conditions")
    parser.add_argument("faults", nargs="*", metavar="NAME", help="just these faults")
    names = set(parser.parse_args().faults)
    if unknown := names - FAULTS.keys():
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    return asyncio.run(run([x for x in CONDITIONS if not names or x.fault in names]))


if __name__ == "__main__":
    sys.exit(main())
