"""Bad links: delay, loss of speech and recovery, beside both other clients.

The server is behind a link with delay, jitter, loss and stalls; see `tests.link`. Both
ends of a call are on its near side, so speech passes the link twice. Both speak all the
time. The share of lost speech is judged from the recording; the clients' own counts of
concealed speech, where they tell them, stand in the note.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from tests.bench.bench_run import BenchRun
from tests.bench.client import ROOT, UnmeasurableError
from tests.bench.link_calls import AFTER_S, KINDS, LATE_MS, Call, Event, Order
from tests.bench.link_plot import Curve, plot
from tests.bench.plan import Plan
from tests.bench.report import Goal, Row, Section
from tests.bench.spread import Spread, extremes, spread
from tests.link.bad_link import namespaced
from tests.link.middle import Quality
from tests.room.livekit_js import livekit_js

PICTURE = Path(__file__).parents[1] / "pictures" / "link.svg"
STALL = Event(5.0, 0.2, is_gap=False)
GAPS = Event(16.0, 2.0, is_gap=True), Event(32.0, 10.0, is_gap=True)
EVENTS = (STALL, *GAPS)
LINKS = {
    "plain": ("no delay, no loss", Quality()),
    "wifi": (
        "15 + 0-20 ms, stalls of 50 ms, 0.5 % loss",
        Quality(base_ms=15, jitter_ms=20, loss=0.005, stall_ms=50),
    ),
    "loss1": ("30 + 0-10 ms, 1 % loss", Quality(base_ms=30, jitter_ms=10, loss=0.01)),
    "loss3": ("30 + 0-10 ms, 3 % loss", Quality(base_ms=30, jitter_ms=10, loss=0.03)),
    "loss5": ("30 + 0-10 ms, 5 % loss", Quality(base_ms=30, jitter_ms=10, loss=0.05)),
    "events": ("15 + 0-10 ms, stall and gaps", Quality(base_ms=15, jitter_ms=10)),
}
"""Names of the links, their words in the table, and their quality per direction."""


MEDIAN_MS = {"plain": 85.0, "wifi": 170.0, "loss3": 185.0}
P95_MS = {"wifi": 200.0}
LOST_PERCENT = {"wifi": 0.3, "loss3": 0.8}
"""Goals of some links. Over the first bad one Chromium must not lose less, either."""
BACK_S = {"stall": 5.0, "gap": 1.0}


async def measure(run: BenchRun) -> Section:
    """Make all calls in a network namespace, and draw the one with events."""
    made = await make_calls([_order(name, run.plan) for name in run.plan.links])
    rows: list[Row] = []
    for name in run.plan.links:
        rows += _rows(name, [call for call in made if call.name == name])
    curves = _curves([call for call in made if call.name == "events"])
    if curves:
        spans = [(event.at_s, event.at_s + event.length_s) for event in EVENTS]
        PICTURE.write_text(plot(curves, spans), encoding="utf-8")
    return Section("Bad links, each passed twice", tuple(rows))


def _order(name: str, plan: Plan) -> Order:
    _, quality = LINKS[name]
    if name != "events":
        return Order(name, quality, plan.link_s, starts=plan.link_starts)
    last = EVENTS[-1]
    seconds = last.at_s + last.length_s + AFTER_S
    return Order(name, quality, seconds, starts=plan.link_starts, events=EVENTS)


async def make_calls(orders: Sequence[Order]) -> list[Call]:
    """Make the calls in a network namespace of their own."""
    # Installed first if it is missing: in the namespace there is no network for it.
    await asyncio.to_thread(livekit_js)
    text = msgspec.json.encode(orders).decode()
    out = await in_namespace("tests.bench.link_calls", text)
    return msgspec.msgpack.decode(out, type=list[Call])


async def in_namespace(module: str, order: str) -> bytes:
    """Run a module in a network namespace of its own and return what it writes.

    Raises:
        UnmeasurableError: it failed.
    """
    command = namespaced(sys.executable, "-m", module, order)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE)
    out, _ = await process.communicate()
    if process.returncode:
        sentence = (
            "bad links need root or user namespaces, /dev/net/tun, iproute2 and"
            " util-linux; see above"
        )
        raise UnmeasurableError(sentence)
    return out


def _rows(name: str, calls: Sequence[Call]) -> list[Row]:
    words, _ = LINKS[name]
    delay = Row(
        name=f"mouth to ear, {words}",
        unit="ms",
        ours=delays(calls, "ours"),
        rival=delays(calls, "MediaDevices"),
        browser=delays(calls, "Chromium"),
        goal=Goal(MEDIAN_MS[name]) if name in MEDIAN_MS else None,
        note=trouble(calls),
    )
    if name == "events":
        return [delay, *(_back(calls, n) for n in range(len(EVENTS)))]
    slowest = [
        replace(delay, name="the same, 95 %", goal=Goal(P95_MS[x], "high"), note="")
        for x in P95_MS
        if x == name
    ]
    lost_row = Row(
        name=f"speech concealed or lost, {words}",
        unit="%",
        ours=lost(calls, "ours"),
        rival=lost(calls, "MediaDevices"),
        browser=lost(calls, "Chromium"),
        note=_own(calls),
    )
    return [delay, *slowest, replace(lost_row, goal=_most_lost(name, lost_row.browser))]


def _most_lost(name: str, browser: Spread | None) -> Goal | None:
    if name not in LOST_PERCENT:
        return None
    most = LOST_PERCENT[name]
    if name == "wifi" and browser is not None and browser.median < most:
        return Goal(browser.median, words="Chromium")
    return Goal(most)


def delays(calls: Sequence[Call], kind: str) -> Spread | None:
    """Return p5, median and p95 over both ends and all starts."""
    ears = [ear for call in calls if call.kind == kind for ear in call.ears]
    return spread([ms for ear in ears for ms in ear.delay_ms])


def lost(calls: Sequence[Call], kind: str) -> Spread | None:
    """Return the extremes of all ends and starts."""
    ears = [ear for call in calls if call.kind == kind for ear in call.ears]
    return extremes([ear.lost_percent for ear in ears])


def _back(calls: Sequence[Call], number: int) -> Row:
    event = EVENTS[number]
    kind = "gap" if event.is_gap else "stall"

    found = {who: _times(calls, who, number) for who in KINDS}
    missing = [
        f"{who}: not back in {sum(x is None for x in times)} of {len(times)} calls"
        for who, times in found.items()
        if None in times
    ]
    spreads = {
        who: extremes([x for x in times if x is not None])
        for who, times in found.items()
    }
    return Row(
        name=f"until the delay is as before, after a {kind} of {event.length_s:g} s",
        unit="s",
        ours=spreads["ours"],
        rival=spreads["MediaDevices"],
        browser=spreads["Chromium"],
        goal=Goal(BACK_S[kind], "high"),
        is_asked=not found["ours"],
        note="; ".join(missing),
    )


def _times(calls: Sequence[Call], kind: str, number: int) -> list[float | None]:
    """Return the times of all calls of this kind; None: the delay did not come back."""
    return [call.back_s[number] for call in calls if call.kind == kind and call.ears]


def trouble(calls: Sequence[Call]) -> str:
    """Return what disturbed the calls."""
    found = [f"{call.kind}: {call.trouble}" for call in calls if call.trouble]
    late = [call for call in calls if call.late_ms > LATE_MS]
    found += [
        f"{call.kind}: the link itself was {call.late_ms:.0f} ms late" for call in late
    ]
    return "; ".join(found)


def _own(calls: Sequence[Call]) -> str:
    counts = {
        kind: [x for call in calls if call.kind == kind for x in call.own_percent]
        for kind in ("MediaDevices", "Chromium")
    }
    told = [
        f"{kind} {', '.join(f'{x:.2f}' for x in found)} %"
        for kind, found in counts.items()
        if found
    ]
    return f"concealed by own count since joining: {'; '.join(told)}" if told else ""


def _curves(calls: Sequence[Call]) -> list[Curve]:
    """Return the delay over time of the first call of each kind."""
    first = {call.kind: call for call in reversed(calls) if call.ears}
    ears = {kind: first[kind].ears[0] for kind in KINDS if kind in first}
    return [
        Curve(kind, tuple(zip(ear.at_s, ear.delay_ms, strict=True)))
        for kind, ear in ears.items()
    ]
