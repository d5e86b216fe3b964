"""Load test of the card: `python -m tests.card.soak [seconds] [processes] [latency]`.

Each process copies its microphone to its speaker through one duplex stream in blocks of
10 ms, on a card of its own; its peak of jitter, its CPU time and its xruns are printed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.card.asound import Card, plug_in
from tests.card.measure import lag

RATE_HZ = 48_000
ROOT = Path(__file__).parents[2]


def copy(device: str, seconds: float, latency: str) -> None:
    """Run one process: copy, then print the jitter of the blocks."""
    import sounddevice as sd

    times_s: list[float] = []
    flags: list[str] = []

    def on_block(indata, outdata, frames, when, status):
        times_s.append(time.monotonic())
        outdata[:] = indata
        if status:
            flags.append(str(status))

    stream = sd.RawStream if os.environ.get("RAW") else sd.Stream
    with stream(
        device=device,
        samplerate=RATE_HZ,
        blocksize=480,
        channels=1,
        dtype="int16",
        latency=latency if latency in {"low", "high"} else float(latency),
        callback=on_block,
    ) as running:
        cpu_s = time.process_time()
        # The callbacks do the work for this time.
        time.sleep(seconds)
        cpu_s = time.process_time() - cpu_s
        latency_s = running.latency
    gaps_ms = np.diff(times_s) * 1e3
    low, middle, high = np.percentile(gaps_ms, [0.1, 50, 99.9])
    print(
        json.dumps(
            {
                "blocks": len(times_s),
                "min_ms": round(gaps_ms.min(), 3),
                "p0.1_ms": round(low, 3),
                "median_ms": round(middle, 3),
                "p99.9_ms": round(high, 3),
                "max_ms": round(gaps_ms.max(), 3),
                "mean_ms": round((times_s[-1] - times_s[0]) * 1e3 / len(gaps_ms), 5),
                "cpu_percent": round(100 * cpu_s / seconds, 2),
                "latency_s": latency_s,
                "flags": flags[:5],
            }
        )
    )


def soak(seconds: float, processes: int, latency: str) -> None:
    """Run all processes at once and add the counters of the cards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cards = [Card(folder / str(n), f"Card {n}") for n in range(processes)]
        words = np.random.default_rng(1).normal(0, 3000, RATE_HZ // 2).astype(np.int16)
        running = []
        for card in cards:
            card.speak(words, 2.0)
            env = os.environ | plug_in(card.folder / "asound.conf", card)
            command = [sys.executable, "-m", "tests.card.soak", "copy", card.name]
            command += [str(seconds), latency]
            running.append(subprocess.Popen(command, env=env, cwd=ROOT))
        for process in running:
            process.wait()
        for card in cards:
            frames, likeness = lag(words, card.heard(2.0), RATE_HZ)
            print(f"round trip {frames / 48:.3f} ms, {likeness:.4f}", card.counts())


if __name__ == "__main__":
    if sys.argv[1:2] == ["copy"]:
        copy(sys.argv[2], float(sys.argv[3]), sys.argv[4])
    else:
        given = [*sys.argv[1:], *("60", "2", "0.01")[len(sys.argv) - 1 :]]
        soak(float(given[0]), int(given[1]), given[2])
