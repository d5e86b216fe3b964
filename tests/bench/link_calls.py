"""Calls over a bad link: `python -m tests.bench.link_calls ORDER`, in a namespace.

`ORDER` is JSON; the result on standard output is MessagePack, which has NaN. See
`links`.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from appliance.demo.livekit_server import find_or_build
from tests.bench import hearing, speech_signal
from tests.bench.bench_run import BenchRun
from tests.bench.client import Client, UnmeasurableError
from tests.bench.client_start import Chromium, Kind, MediaDevices, Ours
from tests.bench.hearing import Hearing, back_s, judge
from tests.bench.plan import QUICK
from tests.bench.process import cpu_s
from tests.link.bad_link import BadLink, bad_link
from tests.link.middle import Quality

PLAIN = Ours(has_processing=False, has_page=False)
KINDS: dict[str, Kind] = {
    "ours": PLAIN,
    "MediaDevices": MediaDevices(),
    "Chromium": Chromium(),
}
PROTECTIONS = {
    f"RED {red}, {kbit_s} kbit/s": replace(PLAIN, protection=(red, kbit_s))
    for red in ("on", "off")
    for kbit_s in (64, 48, 32, 24)
}
"""The same box with other protection of what it sends; the first is its usual one."""
AHEAD_S = 0.5
"""Silence before the first word."""
AFTER_S = 10.0
"""Speech after the last event."""
LATE_MS = 5.0
"""Delay by the link's own process above which a call was disturbed."""


class Event(msgspec.Struct, frozen=True):
    """Event on the link."""

    at_s: float
    """Seconds from the start of the figures."""
    length_s: float
    is_gap: bool
    """True: packets are lost; False: they are held."""


class Order(msgspec.Struct, frozen=True):
    """Call to be made with each kind of client."""

    name: str
    quality: Quality
    seconds: float
    """Duration of the figures."""
    kinds: tuple[str, ...] = tuple(KINDS)
    starts: int = 1
    events: tuple[Event, ...] = ()
    settle_s: float = 12.0
    """Speech before the first figure, in which receivers get to know the link."""


class Call(msgspec.Struct, frozen=True):
    """What both ends of a call heard."""

    name: str
    kind: str
    ears: tuple[Hearing, ...] = ()
    """Times from the start of the figures."""
    back_s: tuple[float | None, ...] = ()
    """For each event, of the worse ear; None: the delay did not come back."""
    own_percent: tuple[float, ...] = ()
    """The clients' own counts of concealed speech, where they tell them."""
    cpu_percent: tuple[float, ...] = ()
    """CPU time of each end, in per cent of one core."""
    late_ms: float = 0.0
    """Delay by the link's own process, at most."""
    dropped_percent: float = 0.0
    trouble: str = ""
    """Reason why there is no result."""


async def run(orders: Sequence[Order]) -> list[Call]:
    """Make all calls, those of one order after each other."""
    calls = []
    with tempfile.TemporaryDirectory(prefix="ptt-links-") as folder:
        async with bad_link(find_or_build(_tell), Path(folder)) as found:
            link, server = found
            run = BenchRun(server, Path(folder), QUICK)
            for order in orders:
                for seed in range(1, order.starts + 1):
                    for kind in order.kinds:
                        call = await _call(run, link, order, kind, seed)
                        _tell(_line(call))
                        calls.append(call)
    return calls


async def _call(
    run: BenchRun, link: BadLink, order: Order, kind: str, seed: int
) -> Call:
    await link.change(order.quality, seed)
    try:
        either = (KINDS | PROTECTIONS)[kind]
        async with run.call(either, either) as pair:
            call = await _talk(pair, link, order, kind, seed)
    except UnmeasurableError as exc:
        return Call(order.name, kind, trouble=str(exc))
    own = [
        float(line.text.split()[1])
        for client in pair
        for line in client.lines
        if line.text.startswith("concealed ")
    ]
    return msgspec.structs.replace(call, own_percent=tuple(own))


async def _talk(
    pair: Sequence[Client], link: BadLink, order: Order, kind: str, seed: int
) -> Call:
    """Let both ends speak all the time, and judge what was heard."""
    rngs = [np.random.default_rng([seed, n]) for n in (0, 1)]
    length_s = order.settle_s + order.seconds
    speeches = [speech_signal.conversation(rng, length_s) for rng in rngs]
    start_s = pair[0].card.now_s() + AHEAD_S
    for client, speech in zip(pair, speeches, strict=True):
        client.card.speak(speech, start_s)
    zero_s = start_s + order.settle_s
    await asyncio.sleep(zero_s - pair[0].card.now_s())
    count = await link.count()
    before = [cpu_s(client.pid) for client in pair]
    happened = [await _happen(pair[0], link, event, zero_s) for event in order.events]
    until_s = zero_s + order.seconds
    await asyncio.sleep(until_s + hearing.MAX_S - pair[0].card.now_s())
    used = [cpu_s(client.pid) - x for client, x in zip(pair, before, strict=True)]
    count = await link.count()
    ears = []
    for client, speech in zip(pair, reversed(speeches), strict=True):
        heard = client.card.heard(start_s, until_s + hearing.MAX_S)
        ear = judge(speech, heard, (order.settle_s, length_s))
        ears.append(_shifted(ear, order.settle_s))
    return Call(
        order.name,
        kind,
        tuple(ears),
        tuple(_back(ears, order, happened)),
        cpu_percent=tuple(100 * x / (order.seconds + hearing.MAX_S) for x in used),
        late_ms=count.late_ms,
        dropped_percent=100 * count.dropped / max(1, count.passed),
    )


async def _happen(client: Client, link: BadLink, event: Event, zero_s: float) -> float:
    """Wait for the event's moment, make it happen, and return when it did."""
    await asyncio.sleep(zero_s + event.at_s - client.card.now_s())
    at_s = client.card.now_s() - zero_s
    act = link.interrupt if event.is_gap else link.stall
    await act(event.length_s)
    return at_s


def _shifted(found: Hearing, zero_s: float) -> Hearing:
    times = tuple(x - zero_s for x in found.at_s)
    return Hearing(times, found.delay_ms, found.lost_percent)


def _back(
    ears: Sequence[Hearing], order: Order, happened: Sequence[float]
) -> list[float | None]:
    """Return for each event the time until the delay is back at both ends."""
    result: list[float | None] = []
    ends = [*happened, order.seconds][1:]
    for event, at_s, next_s in zip(order.events, happened, ends, strict=True):
        found = [back_s(ear, at_s, at_s + event.length_s, next_s) for ear in ears]
        result.append(None if np.isnan(found).any() else max(found))
    return result


def _line(call: Call) -> str:
    """Return a line that shows the progress."""
    delays = [np.asarray(ear.delay_ms) for ear in call.ears]
    medians = [round(float(np.nanmedian(x))) for x in delays if not np.isnan(x).all()]
    lost = [round(ear.lost_percent, 2) for ear in call.ears]
    own = [round(x, 2) for x in call.own_percent]
    back = [None if x is None else round(x, 2) for x in call.back_s]
    return (
        f"{call.name}, {call.kind}: {medians} ms, {lost} % lost, own {own} %,"
        f" back {back} s; link {call.dropped_percent:.2f} %, late {call.late_ms:.1f} ms"
        f" {call.trouble}"
    )


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    ordered = msgspec.json.decode(sys.argv[1], type=list[Order])
    sys.stdout.buffer.write(msgspec.msgpack.encode(asyncio.run(run(ordered))))
