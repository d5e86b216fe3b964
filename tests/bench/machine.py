"""Description of the machine used for the measurement."""

import os
import platform
from pathlib import Path

BUSY = 0.7
"""Load average above which other programs use the machine."""


def machine() -> dict[str, object]:
    """Return the properties of this machine and its load."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def line(found: dict[str, object]) -> str:
    """Return it as one line, with a warning below if it was busy."""
    facts = ", ".join(f"{name} {value}" for name, value in found.items())
    if not is_busy(found):
        return facts
    return (
        f"{facts}\nWARNING: the machine was busy before the run (load"
        f" {found['load']}, quiet is < {BUSY}): times and CPU are not to be trusted."
    )


def is_busy(found: dict[str, object]) -> bool:
    """Whether other programs used the machine."""
    load = found["load"]
    return isinstance(load, float) and load > BUSY


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = (x for x in lines if x.startswith(("model name", "Model")))
    return next(named, platform.machine()).partition(":")[2].strip()
