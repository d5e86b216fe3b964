"""Talk button: access delay, delay in a talk, and loss of the speech around a press."""

import asyncio

import numpy as np

from tests.bench import speech_signal
from tests.bench.bench_run import BenchRun
from tests.bench.client import Client, UnmeasurableError
from tests.bench.client_start import Ours, Page, histogram
from tests.bench.delay import GOALS_MS
from tests.bench.presses import Press, Pressed, lost, move
from tests.bench.report import Goal, Row, Section
from tests.bench.speech_signal import RATE_HZ
from tests.bench.spread import Spread, bucket, extremes
from tests.card.asound import Samples
from tests.card.measure import Burst

HELD_S = 0.5
"""Longer than a tap, which would latch."""
EVERY_S = 1.3
"""Time between presses, in which the tail ends and the room is silent."""
BEFORE_S = 0.2
"""Speech that goes on around a press, before and after."""
FAR_S = 4.0
"""Length of the remote speech that is interrupted."""
INTERRUPTED_S = (0.2, 0.6, 1.2, 2.0)
"""Moments of the interruption in it, in turn."""
GOAL_MS = 10.0
ACCESS_MS = 25.0


async def measure(run: BenchRun) -> Section:
    """Press a real button of a box many times while its microphone hears speech."""
    rows: list[Row] = []
    rows += await _rows(run, run.plan.presses // 2, is_on=False)
    rows += await _rows(run, run.plan.presses, is_on=True)
    rows.append(await _interruptions(run, run.plan.interruptions))
    return Section("Talk button", tuple(rows))


async def _rows(run: BenchRun, count: int, *, is_on: bool) -> list[Row]:
    words = f"processing {'on' if is_on else 'off'}"
    pressed = Pressed(is_on=is_on)
    # Hybrid, so that its own microphone is not sent.
    listener = Ours(has_processing=is_on, has_page=False, mode="hybrid")
    async with run.call(pressed, listener) as (box, far):
        speech = speech_signal.talk(np.random.default_rng(7), HELD_S + 2 * BEFORE_S)
        presses = [await _press(box, speech, n) for n in range(count)]
        await asyncio.sleep(speech_signal.MAX_S)
        lost = [_lost(press, speech, far) for press in presses]
        access = pressed.page and await _access(pressed.page)
    heard = [x for x in lost if not np.isnan(x.delay_s)]
    within = sum(x.lost_within_ms for x in heard)
    note = f"{len(heard)} of {count} presses heard, {within:.0f} ms missing within"
    return [
        Row(
            name=f"microphone to speaker in a talk after silence, {words}",
            unit="ms",
            ours=extremes([1000.0 * x.delay_s for x in heard]),
            goal=Goal(GOALS_MS["processing on" if is_on else "processing off"]),
        ),
        Row(
            name=f"lost at the start, {words}",
            unit="ms",
            ours=extremes([x.lost_start_ms for x in lost]),
            goal=Goal(GOAL_MS, "high"),
            note=note,
        ),
        Row(
            name=f"lost at the end, {words}",
            unit="ms",
            ours=extremes([x.lost_end_ms for x in lost]),
            goal=Goal(GOAL_MS, "high"),
        ),
        Row(
            name=f"press to first frame at the encoder, at most, {words}",
            unit="ms",
            ours=access or None,
            goal=Goal(ACCESS_MS, "high"),
        ),
    ]


async def _interruptions(run: BenchRun, count: int) -> Row:
    """Start a box afresh and press its button while its speaker plays, several times.

    The speaker is not coupled to the microphone, the hardest case for the canceller.
    """
    speech = speech_signal.talk(np.random.default_rng(7), HELD_S + 2 * BEFORE_S)
    lost = []
    for number in range(count):
        talker = Ours(has_processing=False, has_page=False)
        async with run.call(Pressed(is_on=True), talker) as (box, far):
            from_s = far.card.now_s() + 0.05
            voice = speech_signal.talk(np.random.default_rng(number), FAR_S)
            far.card.speak(voice, from_s)
            press_s = from_s + INTERRUPTED_S[number % len(INTERRUPTED_S)] - BEFORE_S
            await asyncio.sleep(press_s - far.card.now_s())
            press = await _press(box, speech, number)
            await asyncio.sleep(speech_signal.MAX_S)
            lost.append(_lost(press, speech, far))
    heard = [x for x in lost if not np.isnan(x.delay_s)]
    within = sum(x.lost_within_ms for x in heard)
    return Row(
        name="lost at the start of a fresh box's first talk, speaker playing",
        unit="ms",
        ours=extremes([x.lost_start_ms for x in lost]),
        goal=Goal(GOAL_MS, "high"),
        note=f"{len(heard)} of {count} presses heard, {within:.0f} ms missing within",
    )


async def _press(box: Client, speech: Samples, number: int) -> Press:
    """Press and release while somebody speaks.

    They speak before they press. With every second press they stop at the release, so
    that silence may cut the tail; else they go on.
    """
    card = box.card
    from_s = card.now_s() + 0.05
    down_s = from_s + BEFORE_S
    up_s = down_s + HELD_S
    to_s = up_s if number % 2 else up_s + BEFORE_S
    card.speak(speech[: round((to_s - from_s) * RATE_HZ)], from_s)
    await asyncio.sleep(down_s - card.now_s())
    really_down_s = await move(box, "press")
    await asyncio.sleep(up_s - card.now_s())
    really_up_s = await move(box, "release")
    await asyncio.sleep(from_s + EVERY_S - card.now_s())
    return Press(from_s, to_s, really_down_s, really_up_s)


def _lost(press: Press, speech: Samples, far: Client) -> Burst:
    """Return the loss of the speech between press and release."""
    until_s = press.to_s + speech_signal.MAX_S
    heard = far.card.heard(press.from_s, until_s)
    span_s = press.down_s - press.from_s, min(press.up_s, press.to_s) - press.from_s
    return lost(speech, heard, span_s)


async def _access(page: Page) -> Spread | None:
    counts = histogram(await page.metrics(), "ptt_access_seconds")
    if not counts or not counts[-1][1]:
        sentence = "no press was counted in ptt_access_seconds"
        raise UnmeasurableError(sentence)
    low, middle, high = (1000.0 * bucket(counts, x) for x in (0.05, 0.5, 0.95))
    return Spread(low, middle, high, (low, middle, high))
