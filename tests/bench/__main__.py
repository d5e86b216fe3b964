"""Benchmark: all figures in one table: `python -m tests.bench`."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from appliance.demo.livekit_server import LocalServer, find_or_build
from appliance.errors import DemoError
from tests.bench import (
    agent,
    busy,
    clock_drift,
    cpu,
    crowd,
    delay,
    dtelecom_relay,
    echo,
    flood,
    gate,
    link_presses,
    links,
    memory,
    outage,
    protection,
    room_change,
    shutdown,
    soak,
    startup,
    token_server,
)
from tests.bench.bench_run import BenchRun
from tests.bench.busy_loop import awake
from tests.bench.client import UnmeasurableError
from tests.bench.machine import line, machine
from tests.bench.machine_stalls import watched
from tests.bench.plan import DEFAULT, LONG, QUICK, Plan
from tests.bench.report import Row, Section, as_json, is_complete, table

FIGURES: dict[str, Callable[[BenchRun], Awaitable[Section]]] = {
    "delay": delay.measure,
    "drift": clock_drift.measure,
    "clocks": clock_drift.measure_long,
    "cpu": cpu.measure,
    "memory": memory.measure,
    "gate": gate.measure,
    "start": startup.measure,
    "outage": outage.measure,
    "rooms": room_change.measure,
    "shutdown": shutdown.measure,
    "flood": flood.measure,
    "tokenserver": token_server.measure,
    "relay": dtelecom_relay.measure,
    "agent": agent.measure,
    "links": links.measure,
    "presses": link_presses.measure,
    "protection": protection.measure,
    "busy": busy.measure,
    "crowd": crowd.measure,
    "soak": soak.measure,
    "echo": echo.measure,
}

ALERT = frozenset(
    {
        "delay",
        "drift",
        "clocks",
        "gate",
        "rooms",
        "flood",
        "agent",
        "links",
        "presses",
        "protection",
        "busy",
        "soak",
    }
)
"""Modules that are measured with processors kept awake."""

LENGTHY = frozenset({"soak", "clocks", "protection"})
"""Modules that are measured only if they are named."""


def main() -> int:
    """Measure, print, and return 1 if something could not be measured."""
    options = _parser().parse_args()
    if options.list:
        for name, measure in FIGURES.items():
            print(f"{name:12}{(measure.__doc__ or '').partition(chr(10))[0]}")
        return 0
    plan = QUICK if options.quick else LONG if options.long else DEFAULT
    if options.minutes is not None:
        minutes = options.minutes
        plan = replace(plan, soak_minutes=minutes, clocks_minutes=minutes)
    found = machine()
    print(line(found), flush=True)
    binary = find_or_build(_tell)
    with tempfile.TemporaryDirectory(prefix="ptt-bench-") as folder:
        sections, extra = asyncio.run(_run(binary, Path(folder), plan, options))
    print(table(sections))
    print(
        "three numbers: 5 %, median, 95 %; of fewer than 20: smallest, median, largest"
    )
    print(extra)
    if options.json:
        text = json.dumps(as_json(found, sections), indent=2)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    return 0 if is_complete(sections) else 1


async def _run(
    binary: Path, folder: Path, plan: Plan, options: argparse.Namespace
) -> tuple[list[Section], str]:
    """Return the sections of the table and the data requested besides."""
    extra = []
    async with LocalServer(binary) as server:
        run = BenchRun(server, folder, plan)
        names = options.only or [name for name in FIGURES if name not in LENGTHY]
        alert: frozenset[str] = frozenset() if options.drowsy else ALERT
        sections = [await _measured(run, name, name in alert) for name in names]
        if options.imports:
            extra.append(await memory.import_times(run))
        if options.threads:
            extra.append(cpu.threads(run))
    return sections, "\n".join(extra)


async def _measured(run: BenchRun, name: str, is_awake: bool) -> Section:
    """Return the section of one module; a failure becomes a row with its reason."""
    start_s = time.monotonic()
    try:
        async with awake() if is_awake else nullcontext():
            section = await _section(run, name)
    except (UnmeasurableError, DemoError) as exc:
        section = Section(name, (Row(name=name, unit="", ours=None, note=str(exc)),))
    _tell(f"{name}: {time.monotonic() - start_s:.0f} s")
    return section


async def _section(run: BenchRun, name: str) -> Section:
    """Return the section of one module; for delays with the machine's stalls."""
    if name not in ALERT:
        return await FIGURES[name](run)
    async with watched() as pauses:
        section = await FIGURES[name](run)
        return replace(section, rows=(*section.rows, pauses.row()))


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measures the appliance and the SDK's MediaDevices side by side.",
    )
    lengths = parser.add_mutually_exclusive_group()
    lengths.add_argument("--quick", action="store_true", help="2 minutes, rough")
    lengths.add_argument("--long", action="store_true", help="an hour and a half")
    parser.add_argument(
        "--list", action="store_true", help="say what each figure is, and measure none"
    )
    parser.add_argument(
        "--only", action="append", choices=FIGURES, help="just this; may be repeated"
    )
    parser.add_argument(
        "--minutes", type=float, help="how long the modules soak and clocks take"
    )
    parser.add_argument(
        "--drowsy",
        action="store_true",
        help="let the processors sleep where delays are measured; see busy_loop.py",
    )
    parser.add_argument("--json", metavar="FILE", help="write all numbers there, too")
    parser.add_argument(
        "--threads", action="store_true", help="which threads use the CPU"
    )
    parser.add_argument(
        "--imports", action="store_true", help="where the time of a start goes"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
