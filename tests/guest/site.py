"""Surroundings of one check: server, far end, USB devices, and the guest among them.

The far end is this project, too, on a virtual sound card of `tests.card`. Guest and far
end share the epoch of their sound, so what one says can be found in what the other
heard.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from appliance.demo.livekit_server import LocalServer
from appliance.token_server.signing import Signer
from tests.bench import speech_signal
from tests.bench.client import Client
from tests.bench.client_start import Ours, Seat
from tests.bench.hearing import MAX_S, judge
from tests.card.asound import Card, Samples
from tests.guest import taps
from tests.guest.box import TALKING, InstalledBox, until
from tests.guest.headset import Headset
from tests.guest.i2c_adapter import I2cAdapter
from tests.guest.machine import Built, boot
from tests.guest.verdict import CheckError, Findings

ROOM = "r1"
TOKEN_S = 86_400
FAR = Ours(has_processing=False, has_page=False, mode="open")
LOUD_PEAK = 600
"""Far above comfort noise, far below the speech."""
HEARD_S, QUIET_S = 5.0, 1.5
LOOP_S = 10.0
"""Period of the speech, longer than any delay that is searched."""
SOON_S = 0.2
FAR_LOOP = speech_signal.talk(np.random.default_rng(1), LOOP_S)
HERE_LOOP = speech_signal.talk(np.random.default_rng(2), LOOP_S)
"""What is said at the far end and at the box: a voice that never pauses."""


@dataclass(frozen=True, slots=True)
class Reception:
    """Speech of one end as the other heard it."""

    delay_ms: float
    """Median; NaN if the speech was not found."""
    silent_percent: float
    """Share of 10 ms blocks in which nothing was to be heard."""


@dataclass(slots=True)
class Site:
    """What a check works with."""

    built: Built
    folder: Path
    server: LocalServer
    far: Client
    headset: Headset
    adapter: I2cAdapter
    findings: Findings = field(default_factory=Findings)

    @asynccontextmanager
    async def box(self, *words: str, **sections: Any) -> AsyncIterator[InstalledBox]:
        """Boot the guest with a configuration; the service then starts by itself.

        Args:
            words: further words for the kernel's command line.
            sections: sections of the configuration that differ.
        """
        config = json.dumps(self._config() | sections)
        try:
            async with boot(self.built, self.folder, *words, config=config) as machine:
                box = InstalledBox(machine, f"in {ROOM}")
                try:
                    yield box
                finally:
                    journal = await box.journal()
                    (self.folder / "journal.log").write_text(journal, encoding="utf-8")
        finally:
            # A guest that is killed does not close its connections.
            self.headset.release()
            self.adapter.release()

    def _config(self) -> dict[str, Any]:
        room = {"url": self.server.url, "allow_insecure": [taps.SERVER]}
        return {
            "name": "kitchen",
            "room": {**room, "token": _token(self.server, "kitchen")},
            # Otherwise the sound of joining would be taken for the far end's speech.
            "sound": {"earcons": False},
        }

    def far_speaks(self, seconds: float) -> float:
        """Have the far end speak without a pause; return the start."""
        return _speak(self.far.card, FAR_LOOP, seconds)

    def speaks(self, seconds: float) -> float:
        """Have somebody at the box speak without a pause; return the start."""
        return _speak(self.headset, HERE_LOOP, seconds)

    def heard_here(self, since_s: float) -> float | None:
        """Return when the speaker played something loud, after `since_s`."""
        return _first_loud(self.headset, since_s, self.headset.now_s())

    def heard_far(self, since_s: float) -> float | None:
        """Return when the far end played something loud, after `since_s`."""
        return _first_loud(self.far.card, since_s, self.headset.now_s())

    async def until_heard(
        self, heard: Callable[[float], float | None], since_s: float, within_s: float
    ) -> float:
        """Wait until there is sound; return the seconds since `since_s`.

        Raises:
            CheckError: there is none in time.
        """
        await until("sound", lambda: heard(since_s) is not None, within_s)
        return (heard(since_s) or since_s) - since_s

    async def talks(self, box: InstalledBox, words: str) -> None:
        """Press, expect speech at the far end and the lamp, release, expect neither.

        Somebody must be speaking at the box.
        """
        # What was said before is played by then.
        await asyncio.sleep(QUIET_S)
        at_s = self.headset.now_s()
        await box.press()
        try:
            await box.lit(TALKING, True)
            heard_s = await self.until_heard(self.heard_far, at_s, HEARD_S)
            self.findings.note(f"{words} is heard after {heard_s:.2f} s")
        except CheckError as exc:
            self.findings.expect(False, f"{words}: {exc}")
        await asyncio.sleep(1.0)
        await box.release()
        await box.lit(TALKING, False)

    def received_here(self, since_s: float, seconds: float) -> Reception:
        """Compare what the speaker played with what was said at the far end."""
        return _received(FAR_LOOP, self.headset, since_s, seconds)

    def received_far(self, since_s: float, seconds: float) -> Reception:
        """Compare what the far end played with what was said at the box."""
        return _received(HERE_LOOP, self.far.card, since_s, seconds)


@asynccontextmanager
async def site(built: Built, binary: Path, folder: Path) -> AsyncIterator[Site]:
    """Start everything but the guest; `folder` is for files of this check."""
    # The check before may have ended in silence.
    taps.restore()
    epoch_ns = time.monotonic_ns()
    headset = Headset((taps.USB_HOST, 3240), epoch_ns)
    adapter = I2cAdapter((taps.USB_HOST, 3241))
    try:
        async with LocalServer(binary, taps.SERVER) as server:
            far = await FAR.start(_seat(server, folder / "far", epoch_ns))
            try:
                await far.says("joined  ticket")
                yield Site(built, folder, server, far, headset, adapter)
            finally:
                await far.stop()
                lines = "".join(x.text for x in far.lines)
                (folder / "far.log").write_text(lines, encoding="utf-8")
    finally:
        headset.close()
        adapter.close()


def _seat(server: LocalServer, folder: Path, epoch_ns: int) -> Seat:
    folder.mkdir(parents=True)
    card = Card(folder / "card", epoch_ns=epoch_ns)
    return Seat("far", folder, card, server.url, _token(server, "far"))


def _token(server: LocalServer, name: str) -> str:
    signer, now_s = Signer(server.api_key, server.api_secret), int(time.time())
    return signer.token(name, name, ROOM, ttl_s=TOKEN_S, now_s=now_s)


def _speak(where: Headset | Card, loop: Samples, seconds: float) -> float:
    """Have a microphone hear the loop for a while from now on; return the start.

    The place in the loop belongs to the moment, so that a comparison needs to know
    neither start nor end.
    """
    at_s = where.now_s() + SOON_S
    where.speak(_said(loop, at_s, seconds), at_s)
    return at_s


def _said(loop: Samples, since_s: float, seconds: float) -> Samples:
    first = round(since_s * speech_signal.RATE_HZ) % len(loop)
    said: Samples = np.resize(
        np.roll(loop, -first), round(seconds * speech_signal.RATE_HZ)
    )
    return said


def _first_loud(where: Headset | Card, since_s: float, until_s: float) -> float | None:
    samples = where.heard(since_s, until_s)
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD_PEAK)
    return since_s + float(loud[0]) / speech_signal.RATE_HZ if len(loud) else None


def _received(
    loop: Samples, where: Headset | Card, since_s: float, seconds: float
) -> Reception:
    said = _said(loop, since_s, seconds)
    heard = where.heard(since_s, since_s + seconds + MAX_S)
    found = judge(said, heard, (0.0, seconds)).delay_ms
    known = [ms for ms in found if not np.isnan(ms)]
    ms = float(np.median(known)) if known else float("nan")
    return Reception(ms, speech_signal.silent_percent(heard[: len(said)]))
