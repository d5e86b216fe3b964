"""Memory and CPU time of a process and its children, as counted by the kernel.

The appliance has two children: the sound process and the limit of native messages.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
KB_PER_MB = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in MB."""

    pss: float
    """Proportional set size: shared pages are divided among their processes."""
    rss: float
    """Resident set size: shared pages count in full."""
    anonymous: float
    """Pages of no file: heap and stacks. The PSS grows also when another process ends
    that shared files."""


def memory(pid: int) -> Memory:
    """Return the resident memory; what children share with the process counts once.

    Source: proc(5), `/proc/pid/smaps_rollup`.
    """
    own, pss, anonymous = _memory(pid), 0.0, 0.0
    for child in family(pid)[1:]:
        with suppress(FileNotFoundError, ProcessLookupError):
            found = _memory(child)
            pss += found.pss
            anonymous += found.anonymous
    return Memory(own.pss + pss, own.rss + pss, own.anonymous + anonymous)


def family(pid: int) -> list[int]:
    """Return the process and all that it has started.

    Source: proc(5), `/proc/pid/task/tid/children`.
    """
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, task.read_text(encoding="utf-8").split())
    return found


def _memory(pid: int) -> Memory:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    kilobytes = {x.split()[0]: float(x.split()[1]) for x in text.splitlines()[1:]}
    names = ("Pss:", "Rss:", "Anonymous:")
    return Memory(*(kilobytes[name] / KB_PER_MB for name in names))


@dataclass(frozen=True, slots=True)
class Resources:
    """What a process holds of the machine."""

    memory: Memory
    threads: int
    files: int
    """Open file descriptors."""


def resources(pid: int) -> Resources:
    """Return what the process holds now."""
    threads, files = (
        sum(1 for _ in Path(f"/proc/{pid}/{name}").iterdir()) for name in ("task", "fd")
    )
    return Resources(memory(pid), threads, files)


def cpu_s(pid: int) -> float:
    """Return the CPU time since the start of the processes, utime + stime."""
    own, *others = family(pid)
    total = _used_s(Path(f"/proc/{own}/stat"))
    for child in others:
        with suppress(FileNotFoundError, ProcessLookupError):
            total += _used_s(Path(f"/proc/{child}/stat"))
    return total


def wake_ups(pid: int) -> int:
    """Return how often threads of the process have waited and were woken.

    Source: proc(5), `voluntary_ctxt_switches`.
    """
    total = 0
    for task in _tasks(pid):
        try:
            lines = (task / "status").read_text(encoding="utf-8").splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = dict(line.split(":", 1) for line in lines)
        total += int(fields["voluntary_ctxt_switches"])
    return total


def _tasks(pid: int) -> Iterator[Path]:
    for member in family(pid):
        yield from Path(f"/proc/{member}/task").glob("*")


def threads_s(pid: int) -> dict[tuple[str, str], float]:
    """Return the CPU time of each thread, by its number and its name."""
    used = {}
    for task in _tasks(pid):
        try:
            name = (task / "comm").read_text(encoding="utf-8").strip()
            used[task.name, name] = _used_s(task / "stat")
        except (FileNotFoundError, ProcessLookupError):
            # The thread has just ended.
            continue
    return used


def shares(
    before: dict[tuple[str, str], float],
    after: dict[tuple[str, str], float],
    seconds: float,
) -> dict[str, float]:
    """Return the CPU time between two readings, summed by thread name.

    Returns:
        Per cent of one core by name.
    """
    used: dict[str, float] = {}
    for thread, total_s in after.items():
        percent = 100.0 * (total_s - before.get(thread, 0.0)) / seconds
        used[thread[1]] = used.get(thread[1], 0.0) + percent
    return {name: percent for name, percent in used.items() if percent > 0.0}


def _used_s(stat: Path) -> float:
    """Source: proc(5), `/proc/pid/stat`; the name in brackets may hold anything."""
    fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S
