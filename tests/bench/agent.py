"""Voice agent: time until a caption is shown, and until a press silences the agent."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import jwt
import msgspec
import numpy as np
from livekit import rtc

from tests.bench import speech_signal
from tests.bench.bench_run import TTL_S, BenchRun
from tests.bench.client import PATIENCE_S, Client
from tests.bench.client_start import Ours, Page, Seat
from tests.bench.presses import move
from tests.bench.report import Goal, Row, Section
from tests.bench.speech_signal import RATE_HZ
from tests.bench.spread import spread
from tests.card.asound import Samples

CAPTION_MS = 200.0
SILENT_MS = 60.0
EVERY_S = 0.35
"""Time between two words, as people speak, not in step with the page's ten a second."""
TONE_HZ = 1000.0
PEAK = 8000
QUIET = 0.05
"""Share of the usual level at which the agent counts as silent: -26 dB."""
WINDOW_S = 0.002
HELD_S = 0.6
PAUSE_S = 1.0


async def measure(run: BenchRun) -> Section:
    """Speak and write as an agent in a room with one box."""
    kind = _Box()
    room = run.fresh_room()
    box = await kind.start(run.seat(room, 0))
    try:
        async with _agent(run, room) as agent:
            await box.says("track subscribed")
            await asyncio.sleep(1.0)
            page_ms, screen_ms = await _captions(box, kind, agent, run.plan.captions)
            silent_ms = [await _silence(box) for _ in range(run.plan.silences)]
    finally:
        await box.stop()
    return Section(
        "Voice agent",
        (
            Row(
                name="word sent by the agent to the page's WebSocket",
                unit="ms",
                ours=spread(page_ms),
                goal=Goal(CAPTION_MS, "high"),
            ),
            Row(
                name="word sent by the agent to the picture for the screen",
                unit="ms",
                ours=spread(screen_ms),
                goal=Goal(CAPTION_MS, "high"),
            ),
            Row(
                name="press to silence of the agent at the speaker",
                unit="ms",
                ours=spread(silent_ms),
                goal=Goal(SILENT_MS, "high"),
            ),
        ),
    )


class _Box:
    """Box with a button, a simulated screen and a page."""

    def __init__(self) -> None:
        self.page: Page | None = None

    async def start(self, seat: Seat) -> Client:
        self.page = Page(seat.folder)
        kind = Ours(
            has_processing=False,
            mode="hold",
            is_pressed=True,
            has_screen=True,
            has_earcons=False,
        )
        client = await kind.start(seat)
        await client.says("page served")
        await client.says("joined")
        return client


@asynccontextmanager
async def _agent(run: BenchRun, room: str) -> AsyncIterator[rtc.Room]:
    """Join as an agent that never stops humming."""
    now_s = int(time.time())
    claims = {
        "iss": run.server.api_key,
        "sub": "agent-AJ_bench",
        "kind": "agent",
        "nbf": now_s - 10,
        "exp": now_s + TTL_S,
        "video": {"room": room, "roomJoin": True, "canUpdateOwnMetadata": True},
    }
    token = jwt.encode(claims, run.server.api_secret, "HS256")
    agent = rtc.Room()
    await agent.connect(run.server.url, token)
    source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=100)
    track = rtc.LocalAudioTrack.create_audio_track("voice", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    me = agent.local_participant
    await me.publish_track(track, options)
    await me.set_attributes({"lk.agent.state": "speaking"})
    humming = asyncio.create_task(_hum(source))
    try:
        yield agent
    finally:
        humming.cancel()
        await asyncio.gather(humming, return_exceptions=True)
        await agent.disconnect()


async def _hum(source: rtc.AudioSource) -> None:
    at_s = np.arange(speech_signal.BLOCK) / RATE_HZ
    # A block has a whole number of periods.
    block = (PEAK * np.sin(2 * np.pi * TONE_HZ * at_s)).astype(np.int16).tobytes()
    while True:
        await source.capture_frame(
            rtc.AudioFrame(block, RATE_HZ, 1, speech_signal.BLOCK)
        )


async def _captions(
    box: Client, kind: _Box, agent: rtc.Room, count: int
) -> tuple[list[float], list[float]]:
    """Return the delays to page and screen of each word, in ms."""
    assert kind.page is not None
    attributes = {"lk.segment_id": "s", "lk.transcription_final": "false"}
    writer = await agent.local_participant.stream_text(
        topic="lk.transcription", attributes=attributes
    )
    page_ms, screen_ms = [], []
    async with kind.page.live() as socket:
        for number in range(count):
            word = f"w{number}"
            sent_s = time.monotonic()
            await writer.write(f"{word} ")
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    view = msgspec.json.decode(await socket.recv())
                    if any(word in x["text"].split() for x in view["captions"]):
                        break
            page_ms.append(1000 * (time.monotonic() - sent_s))
            await box.says("picture at_ns=", since_s=sent_s)
            screen_ms.append(1000 * (_picture_s(box, sent_s) - sent_s))
            await asyncio.sleep(EVERY_S)
    await writer.aclose(attributes={"lk.transcription_final": "true"})
    return page_ms, screen_ms


def _picture_s(box: Client, since_s: float) -> float:
    """Return when the first picture after this moment was drawn."""
    drawn_s = (
        int(line.text.partition("=")[2]) / 1e9
        for line in box.lines
        if line.text.startswith("picture at_ns=") and line.at_s > since_s
    )
    return min(x for x in drawn_s if x > since_s)


async def _silence(box: Client) -> float:
    """Press, and return when the agent was not heard any more, in ms after the press.

    NaN if it never was silent, or not heard before.
    """
    down_s = await move(box, "press")
    await asyncio.sleep(HELD_S)
    await move(box, "release")
    await asyncio.sleep(PAUSE_S)
    heard = box.card.heard(down_s - 0.1, down_s + HELD_S)
    return silent_after_ms(heard, 0.1)


def silent_after_ms(heard: Samples, press_s: float) -> float:
    """Return the time from the press to the last loud sample before silence."""
    size = round(WINDOW_S * RATE_HZ)
    whole = heard[: len(heard) // size * size].astype(np.float64)
    level = np.abs(whole.reshape(-1, size)).max(axis=1)
    press = round(press_s / WINDOW_S)
    usual = float(np.median(level[:press])) if press else 0.0
    quiet = np.flatnonzero(level[press:] < QUIET * usual)
    if not usual or not len(quiet):
        return float("nan")
    return 1000 * WINDOW_S * float(quiet[0])
