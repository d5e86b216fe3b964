"""Presses over a bad link: `--only presses`, speech lost at the start and the end.

Somebody presses the button, says a word that begins and ends with a plosive, and
releases the button at the end of its voice, before the last plosive. The box has its
default settings: processing and earcons are on. The same presses over a link without
delay and loss show what is the gate's part.

The presses are made in a network namespace: `python -m tests.bench.link_presses ORDER`,
where `ORDER` is JSON and the result on standard output is MessagePack.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from appliance.demo.livekit_server import find_or_build
from tests.bench import speech_signal
from tests.bench.bench_run import BenchRun
from tests.bench.client import Client
from tests.bench.client_start import Ours
from tests.bench.link_calls import LATE_MS
from tests.bench.links import LINKS, in_namespace
from tests.bench.plan import QUICK
from tests.bench.presses import Pressed, lost_word, move
from tests.bench.report import Goal, Row, Section
from tests.bench.speech_signal import RATE_HZ
from tests.bench.spread import extremes
from tests.link.bad_link import bad_link
from tests.link.middle import Quality

LINK_NAMES = ("plain", "wifi")
AFTER_S = 0.02
"""From the press to the word: somebody who presses and speaks at once."""
VOICE_S = (0.45, 0.8)
"""A press is longer than a tap, which would latch."""
EVERY_S = 1.6
"""Time between presses, in which the tail ends and the room is silent."""
NEAR_S = 0.15
"""Change of the delay within a word, after a stall of the link."""
SETTLE_S = 6.0
"""Time before the first press, in which the receiver's buffer is primed."""
WORST_MS = 20.0
"""One packet."""


class Order(msgspec.Struct, frozen=True):
    """Presses to be made over one link."""

    name: str
    quality: Quality
    presses: int
    settle_s: float = SETTLE_S


class Presses(msgspec.Struct, frozen=True):
    """Loss of each press over one link, in milliseconds."""

    name: str
    start_ms: tuple[float, ...]
    end_ms: tuple[float, ...]
    within_ms: tuple[float, ...]
    unheard: int
    late_ms: float
    """Delay by the link's own process, at most."""
    dropped_percent: float


async def measure(run: BenchRun) -> Section:
    """Press the button of a box over a perfect and over a bad link."""
    orders = [Order(name, LINKS[name][1], run.plan.link_presses) for name in LINK_NAMES]
    text = msgspec.json.encode(orders).decode()
    out = await in_namespace("tests.bench.link_presses", text)
    found = msgspec.msgpack.decode(out, type=list[Presses])
    rows = [row for each in found for row in _rows(each)]
    return Section("Presses over links that are passed twice", tuple(rows))


async def run(orders: Sequence[Order]) -> list[Presses]:
    """Make the presses of all orders."""
    with tempfile.TemporaryDirectory(prefix="ptt-presses-") as folder:
        async with bad_link(find_or_build(_tell), Path(folder)) as (link, server):
            run = BenchRun(server, Path(folder), QUICK)
            found = []
            for order in orders:
                await link.change(order.quality)
                # Hybrid, so that its own microphone is not sent.
                far = Ours(has_page=False, mode="hybrid")
                async with run.call(Pressed(is_on=True), far) as pair:
                    await asyncio.sleep(order.settle_s)
                    await link.count()
                    losses = [await _press(pair, n) for n in range(order.presses)]
                count = await link.count()
                dropped = 100 * count.dropped / max(1, count.passed)
                found.append(_presses(order.name, losses, count.late_ms, dropped))
            return found


Loss = tuple[float, float, float, bool]
"""Milliseconds at the start, at the end and within, and whether it was heard at all."""


async def _press(pair: Sequence[Client], number: int) -> Loss:
    """Press, speak, release, and return the loss."""
    box, far = pair
    rng = np.random.default_rng(number)
    voice_s, closure_s = rng.uniform(*VOICE_S), rng.uniform(*speech_signal.CLOSURE_S)
    word = speech_signal.word(rng, voice_s, closure_s)
    from_s = box.card.now_s() + 0.1
    box.card.speak(word, from_s)
    await asyncio.sleep(from_s - AFTER_S - box.card.now_s())
    down_s = await move(box, "press")
    # The word is planned before the press is made; a late one would cut it.
    cut_s = max(0.0, down_s + AFTER_S - from_s)
    await asyncio.sleep(from_s + voice_s - box.card.now_s())
    await move(box, "release")
    await asyncio.sleep(from_s + len(word) / RATE_HZ + EVERY_S - box.card.now_s())
    heard = far.card.heard(from_s, from_s + EVERY_S + voice_s)
    burst = lost_word(word, heard, (cut_s, voice_s), NEAR_S)
    is_heard = not np.isnan(burst.delay_s)
    return burst.lost_start_ms, burst.lost_end_ms, burst.lost_within_ms, is_heard


def _presses(
    name: str, losses: Sequence[Loss], late_ms: float, dropped: float
) -> Presses:
    starts, ends, withins, heard = zip(*losses, strict=True)
    unheard = len(losses) - sum(heard)
    return Presses(name, starts, ends, withins, unheard, late_ms, dropped)


def _rows(found: Presses) -> list[Row]:
    words, _ = LINKS[found.name]
    late = f", late {found.late_ms:.0f} ms itself" if found.late_ms > LATE_MS else ""
    sums = np.add(found.start_ms, found.end_ms)
    note = (
        f"{len(sums)} presses, {found.unheard} not heard, {np.count_nonzero(sums)} with"
        f" a loss, {sum(found.within_ms):.0f} ms missing within;"
        f" link lost {found.dropped_percent:.1f} % of its packets{late}"
    )
    return [
        Row(
            name=f"lost at the {edge}, {words}",
            unit="ms",
            ours=extremes(ms),
            goal=Goal(WORST_MS, "high"),
            note=note if edge == "start" else "",
        )
        for edge, ms in (("start", found.start_ms), ("end", found.end_ms))
    ]


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    ordered = msgspec.json.decode(sys.argv[1], type=list[Order])
    sys.stdout.buffer.write(msgspec.msgpack.encode(asyncio.run(run(ordered))))
