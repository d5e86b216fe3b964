"""Programs that have the PCM of a sound card open, and permission to open it.

Source: Linux, Documentation/sound/designs/procfile.rst: `cardN/pcmM{p,c}/subS/status`.
"""

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Final

from appliance.audio.devices import ALSA_CARDS, kernel_text

PROCESSES: Final = Path("/proc")
NODES: Final = Path("/dev/snd")
OURS: Final = "ptt-appliance"
"""Name under which this program is reported as the user of a card."""


def closed_pcms(cards: Path = ALSA_CARDS, processes: Path = PROCESSES) -> str:
    """Return a text that differs if other PCMs can be opened now than before.

    It does not depend on those that this program has open itself.
    """
    closed = (
        f"\n{pcm.parent.name}/{pcm.name}"
        for pcm in sorted(cards.glob("card[0-9]*/pcm*[cp]"))
        if not _is_free(pcm, processes)
    )
    return "".join(closed)


def user_of(pcm: Path, processes: Path) -> str:
    """Return program and process id that hold the PCM open; empty if it is free."""
    owner = _owner(pcm)
    return _program(owner, processes) if owner else ""


def is_allowed(nodes: str) -> bool:
    """Return whether all PCMs whose node has such a name may be opened."""
    return all(os.access(x, os.R_OK | os.W_OK) for x in NODES.glob(nodes))


def _is_free(pcm: Path, processes: Path) -> bool:
    """Return whether this program has the PCM open, or could open it."""
    owner = _owner(pcm)
    if owner:
        status = kernel_text(processes / owner / "status")
        groups = re.findall(r"^(?:Tgid|PPid):\s*(\d+)", status, re.MULTILINE)
        return str(os.getpid()) in groups
    return is_allowed(f"pcmC{pcm.parent.name[4:]}D{pcm.name[3:]}")


def _owner(pcm: Path) -> str:
    """Return the id of the thread that has the PCM open; empty if it is free."""
    for status in sorted(pcm.glob("sub*/status")):
        owner = re.search(r"^owner_pid *: *(\d+)", kernel_text(status), re.MULTILINE)
        if owner:
            return owner[1]
    return ""


def _program(thread_id: str, processes: Path) -> str:
    """Return the name and process id of a thread's program."""
    status = kernel_text(processes / thread_id / "status")
    group = re.search(r"^Tgid:\s*(\d+)", status, re.MULTILINE)
    process_id = group[1] if group else thread_id
    words = kernel_text(processes / process_id / "cmdline").split("\0")
    is_ours = OURS in {Path(word).name for word in words} or _is_module(words)
    name = OURS if is_ours else kernel_text(processes / process_id / "comm")
    return f"{name or 'another program'} (pid {process_id})"


def _is_module(words: list[str]) -> bool:
    pairs = pairwise(words)
    return any(x == "-m" and f"{y}.".startswith("appliance.") for x, y in pairs)
