"""Command channel of the guest: does what the host asks for on the first serial line.

Requests and responses are lines of JSON. A request has `id`, `do` (the name of a
function below) and its arguments; the response has `id` and `result`.
"""

import json
import os
import subprocess
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

PINS = Path("/run/gpio")
LINE = "/dev/ttyS0"
LAMP_EVERY_S = 0.003
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def shell(command: str, most_s: float) -> tuple[int, str]:
    """Run a command; return its exit status and its output."""
    try:
        done = subprocess.run(
            ["bash", "-c", command],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=most_s,
        )
    except subprocess.TimeoutExpired as exc:
        return 124, (exc.stdout or b"").decode(errors="replace")
    return done.returncode, done.stdout.decode(errors="replace")


def pull(pin: int, direction: str) -> None:
    """Pull a pin `up` or `down`, as a button does."""
    (PINS / f"sim_gpio{pin}" / "pull").write_text(f"pull-{direction}")


def levels(pins: list[int]) -> list[int]:
    """Return the levels of pins."""
    return [int((PINS / f"sim_gpio{pin}" / "value").read_text()) for pin in pins]


def usage(pid: int) -> dict[str, float]:
    """Return what a process uses."""
    process = Path(f"/proc/{pid}")
    stat = (process / "stat").read_text().rpartition(")")[2].split()
    rss = (process / "status").read_text().partition("VmRSS:")[2].split()[0]
    return {
        "cpu_s": (int(stat[11]) + int(stat[12])) / TICKS_PER_S,
        "threads": int(stat[17]),
        "files": len(list((process / "fd").iterdir())),
        "rss_mb": int(rss) / 1024,
        "at_s": time.monotonic(),
    }


def play(
    edges: list[tuple[float, str]], pin: int, lamp: int
) -> list[tuple[float, int]]:
    """Pull a pin at given times and watch a lamp meanwhile, with real-time priority.

    Returns:
        Seconds since the first edge and level of the lamp, whenever it changed.
    """
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    stop = threading.Event()
    seen: list[tuple[float, int]] = []
    start_s = time.monotonic() + 0.05

    def watch() -> None:
        while not stop.wait(LAMP_EVERY_S):
            level = levels([lamp])[0]
            if not seen or seen[-1][1] != level:
                seen.append((time.monotonic() - start_s, level))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for at_s, direction in edges:
        time.sleep(max(0.0, start_s + at_s - time.monotonic()))
        if direction:
            pull(pin, direction)
    stop.set()
    watcher.join()
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return seen


ALL: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (shell, pull, levels, usage, play)
}


class Channel:
    """The serial line."""

    def __init__(self) -> None:
        self._line = os.open(LINE, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._line)
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Answer requests for ever, each in a thread of its own."""
        self.send({"id": 0, "result": "ready"})
        pending = b""
        while True:
            pending += os.read(self._line, 4096)
            *lines, pending = pending.split(b"\n")
            for line in filter(None, lines):
                threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: bytes) -> None:
        request = json.loads(line)
        number, function = request.pop("id"), ALL[request.pop("do")]
        try:
            self.send({"id": number, "result": function(**request)})
        except (OSError, ValueError, IndexError) as exc:
            self.send({"id": number, "error": repr(exc)})

    def send(self, message: dict[str, Any]) -> None:
        """Write a whole line."""
        data = json.dumps(message).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._line, data) :]


if __name__ == "__main__":
    Channel().serve()
