"""Demo on the virtual card, with a fault that comes and goes.

`ptt-appliance demo --card NAME` becomes `python -m tests.card.demo NAME demo …`; the
options after the name are those of `ptt-appliance`.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from appliance.cli import EXIT_FAILURE, EXIT_OK, EXIT_USAGE, end_process, main
from appliance.demo.simulated_card import phrase
from tests.card.asound import Card, plug_in
from tests.card.faults import FAULTS, CardFault, table

WORKS_S = 15.0
"""Time without the fault, and time with it; long enough to read."""
AWAY_S = 2.0
"""Time for which a card is unplugged, so that the box notices."""
REMEDY = "install gcc, pkg-config and libasound2-dev, as tests/run.sh does."


def say(words: str) -> None:
    """Print a line for people."""
    print(words, file=sys.stderr, flush=True)


def speak_always(card: Card) -> None:
    """Have the microphone of a card with `is_looped` hear a phrase again and again."""
    samples = phrase()
    count = len(samples) * card.rate_hz // 48_000
    places = np.linspace(0, len(samples) - 1, count).astype(int)
    card.speak(samples[places], 0.0)


def be_quiet(card: Card) -> None:
    """Have the same microphone hear a quiet room."""
    size = (card.folder / "stimulus.raw").stat().st_size
    card.speak(np.ones(size // 2, np.int16), 0.0)


def switch(fault: CardFault, card: Card) -> None:
    """Let the fault come and go for ever."""
    while True:
        time.sleep(WORKS_S)
        if fault.is_at_opening:
            card.unplug()
            time.sleep(AWAY_S)
        say(f"Card: {fault.condition}.")
        fault.begin(card)
        if fault.is_at_opening:
            card.plug()
        time.sleep(WORKS_S)
        say("Card: it works again.")
        fault.end(card)


def run(name: str, options: list[str]) -> int:
    """Run the program on a card with this fault, and return its exit status."""
    fault = FAULTS[name]
    with tempfile.TemporaryDirectory(prefix="ptt-card-") as folder:
        card = fault.card(Path(folder) / "card", is_looped=True)
        speak_always(card)
        try:
            os.environ |= plug_in(Path(folder) / "asound.conf", card)
        except (OSError, subprocess.CalledProcessError) as exc:
            say(f"The card cannot be compiled ({exc}): {REMEDY}")
            return EXIT_FAILURE
        if fault.is_lasting:
            say(f"Card: {fault.condition}.")
        else:
            threading.Thread(target=switch, args=(fault, card), daemon=True).start()
        return main(options)


if __name__ == "__main__":
    wanted = sys.argv[1]
    if wanted == "list":
        print(table())
        sys.exit(EXIT_OK)
    if wanted not in FAULTS:
        say(f"--card: expected auto, real, simulated or one of these, found {wanted!r}")
        say(table())
        sys.exit(EXIT_USAGE)
    end_process(run(wanted, sys.argv[2:]))
