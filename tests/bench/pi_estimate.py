"""Estimate of the CPU time on Raspberry Pis: `python -m tests.bench.pi_estimate`.

Nothing here was measured on a Pi. Valgrind counts the instructions of the audio path
for a number of blocks: jitter buffer, mixer, processing and gate, in Python and in
LiveKit's library. The same work without Valgrind gives this machine's instructions per
second, and with it CPU times of the whole box, as the section `cpu` measures them,
become instructions. A Pi executes as many per second as clock and core allow:

==========  =====  ==========  ======================  ==================
Pi          cores  clock       instructions per cycle  source of the last
==========  =====  ==========  ======================  ==================
Zero 2 W    4      1.0 GHz     0.6                     in order, Cortex-A53
3B+         4      1.4 GHz     0.6                     in order, Cortex-A53
4           4      1.5 GHz     1.1                     Cortex-A72
5           4      2.4 GHz     1.9                     Cortex-A76
==========  =====  ==========  ======================  ==================

The instructions per cycle are our assumption for interpreted code and signal processing
with small caches; a result may be wrong by half. What waits for the network or the card
executes fewer instructions per second than the counted work, so the whole box is rather
estimated too high. Needs valgrind; takes four minutes. On a virtual PC, 1.3 million
instructions per block, `--call 9.3 --silent 5.7`, in per cent of one core:

=============================  ========  ===  ==  ==
situation                      Zero 2 W  3B+  4   5
=============================  ========  ===  ==  ==
audio path alone, both speak   22        16   8   3
whole box, in a call           88        63   32  12
whole box, silent              54        39   20  7
=============================  ========  ===  ==  ==
"""

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.audio.echo_cancellation import CaptureProcessing
from appliance.audio.gate import Gate
from appliance.audio.mixer import Mixer
from appliance.config import SoundConfig
from appliance.room.apm import echo_canceller, voice_cleaner
from tests.bench import speech_signal
from tests.bench.client import ROOT
from tests.bench.speech_signal import BLOCK

BLOCKS: Final = 200
"""Blocks of the shorter run; the longer one takes three times as many, and start-up
is their difference's remainder."""
LONGER: Final = 3
BLOCKS_PER_S: Final = 100
_COUNT: Final = re.compile(r"I\s+refs:\s+([\d,]+)")


@dataclass(frozen=True, slots=True)
class Model:
    """A Raspberry Pi."""

    name: str
    cores: int
    clock_hz: float
    per_cycle: float
    """Instructions per cycle."""

    def percent(self, per_s: float) -> float:
        """Return the share of one core that so many instructions per second take."""
        return 100.0 * per_s / (self.clock_hz * self.per_cycle)


MODELS: Final = (
    Model("Zero 2 W", 4, 1.0e9, 0.6),
    Model("3B+", 4, 1.4e9, 0.6),
    Model("4", 4, 1.5e9, 1.1),
    Model("5", 4, 2.4e9, 1.9),
)


def work(blocks: int) -> float:
    """Process blocks of a call in which both speak and return the CPU time in seconds.

    Without a card: the blocks come as fast as they are processed.
    """
    voice = speech_signal.talk(np.random.default_rng(1), 2.0).reshape(-1, BLOCK)
    config = SoundConfig()
    processing = CaptureProcessing(echo_canceller(config), voice_cleaner(config))
    gate = Gate(pre_roll_ms=0)
    gate.open()
    now_s = 0.0
    mixer = Mixer(now_s=lambda: now_s)
    write = mixer.add("far end")
    start_s = time.process_time()
    for number in range(blocks):
        now_s = number / BLOCKS_PER_S
        write(voice[number % len(voice)])
        played = mixer.next()
        microphone = voice[(number * 7) % len(voice)].copy()
        reference = mixer.reference if played is not None else None
        if reference is None:
            reference = np.zeros(BLOCK, np.int16)
        processing.clean(microphone, reference, is_wanted=True, is_voice=True)
        gate.apply(microphone)
    return time.process_time() - start_s


def instructions(output: str) -> int:
    """Return the count in Cachegrind's output."""
    found = _COUNT.search(output)
    if found is None:
        sentence = f"no count of instructions in {output[-500:]!r}"
        raise ValueError(sentence)
    return int(found[1].replace(",", ""))


def per_block() -> float:
    """Return the instructions per block, counted by Valgrind."""
    short, long = (_counted(blocks) for blocks in (BLOCKS, LONGER * BLOCKS))
    return (long - short) / ((LONGER - 1) * BLOCKS)


def table(path_per_s: float, per_cpu_s: float, shares: dict[str, float]) -> str:
    """Return the table of the estimate.

    Args:
        path_per_s: instructions per second of the audio path in a call.
        per_cpu_s: instructions per second of CPU time on this machine.
        shares: situations and the CPU of this machine that they take, in per cent.
    """
    rows = {
        "audio path alone, both speak": path_per_s,
        **{name: x / 100 * per_cpu_s for name, x in shares.items()},
    }
    width = max(map(len, rows))
    head = "  ".join(f"{model.name:>9}" for model in MODELS)
    lines = [f"{'per cent of one core':<{width}}  million/s  {head}"]
    for name, per_s in rows.items():
        cells = "  ".join(f"{model.percent(per_s):>9.0f}" for model in MODELS)
        lines.append(f"{name:<{width}}  {per_s / 1e6:>9.0f}  {cells}")
    return "\n".join(lines)


def main() -> None:
    """Count, time and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pi_estimate")
    parser.add_argument("--work", type=int, help="only process so many blocks")
    parser.add_argument(
        "--call", type=float, help="CPU of a box in a call, in per cent"
    )
    parser.add_argument("--silent", type=float, help="the same of a silent box")
    options = parser.parse_args()
    if options.work is not None:
        work(options.work)
        return
    counted = per_block()
    work(BLOCKS)
    blocks = 10 * BLOCKS
    per_cpu_s = counted * blocks / work(blocks)
    given = {"whole box, in a call": options.call, "whole box, silent": options.silent}
    shares = {name: x for name, x in given.items() if x is not None}
    print(f"{counted / 1e3:.0f} thousand instructions per block of 10 ms")
    print(f"this machine: {per_cpu_s / 1e9:.1f} billion instructions per CPU second")
    print(table(counted * BLOCKS_PER_S, per_cpu_s, shares))


def _counted(blocks: int) -> int:
    tool = ["valgrind", "--tool=cachegrind", "--cache-sim=no"]
    module = [sys.executable, "-m", "tests.bench.pi_estimate", "--work", str(blocks)]
    command = [*tool, "--cachegrind-out-file=/dev/null", *module]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return instructions(done.stderr)


if __name__ == "__main__":
    main()
