"""Outage: the server is killed in the middle of a call and restarted."""

import asyncio
from collections.abc import Sequence

import numpy as np

from tests.bench import speech_signal
from tests.bench.bench_run import BenchRun
from tests.bench.client import Client
from tests.bench.client_start import MediaDevices, Ours
from tests.bench.report import Row, Section
from tests.bench.spread import Spread, one
from tests.card.asound import Samples

CALL_S = 1.0
"""Duration of the call before the outage."""
MAX_S = 45.0
"""Longer than the longest wait between two attempts."""
RIVAL_MORE_S = 3.0
"""Extra time for the SDK's client after ours has recovered."""
LOOK_S = 0.5
WINDOW_S = 0.2


async def measure(run: BenchRun) -> Section:
    """Kill the server, wait, start it, and wait for speech to return."""
    rows = [await _row(run, away_s) for away_s in run.plan.outages_s]
    return Section("Server killed and started again", tuple(rows))


async def _row(run: BenchRun, away_s: float) -> Row:
    ours = Ours(has_processing=False), Ours(has_processing=False, has_page=False)
    rivals = MediaDevices(), MediaDevices()
    async with run.call(*ours) as pair, run.call(*rivals) as others:
        await asyncio.sleep(CALL_S)
        await run.server.kill()
        await asyncio.sleep(away_s)
        await run.server.start()
        back_s, rival_back_s = await _both_back(pair, others)
    return Row(
        name=f"back after {away_s:.0f} s: until speech passes both ways",
        unit="s",
        ours=_spread(back_s),
        rival=_spread(rival_back_s),
        note=_note(back_s, "ours") + _note(rival_back_s, "MediaDevices"),
    )


async def _both_back(
    pair: Sequence[Client], others: Sequence[Client]
) -> tuple[float, float]:
    """Return the seconds until each pair has recovered; NaN: it has not."""
    ours = _Return(pair)
    rival = _Return(others)
    while np.isnan(ours.back_s) and ours.passed_s < MAX_S:
        await asyncio.sleep(LOOK_S)
        ours.look()
        rival.look()
    until_s = rival.passed_s + RIVAL_MORE_S
    while np.isnan(rival.back_s) and rival.passed_s < until_s:
        await asyncio.sleep(LOOK_S)
        rival.look()
    return ours.back_s, rival.back_s


class _Return:
    """Two clients that speak without a pause and wait for each other's sound."""

    def __init__(self, pair: Sequence[Client]) -> None:
        self._pair = pair
        self._start_s = [client.card.now_s() for client in pair]
        self._speeches = [_speech(seed) for seed in (3, 4)]
        for client, speech, at_s in zip(
            pair, self._speeches, self._start_s, strict=True
        ):
            client.card.speak(speech, at_s)
        self._looked_s = [0.0, 0.0]
        self._back_s = [float("nan"), float("nan")]

    @property
    def passed_s(self) -> float:
        """Seconds since the server is back."""
        return self._pair[0].card.now_s() - self._start_s[0]

    @property
    def back_s(self) -> float:
        """Time when both received each other again; NaN: not yet."""
        return max(self._back_s) if not np.isnan(self._back_s).any() else float("nan")

    def look(self) -> None:
        """Search the sound received since the last call."""
        for side in (0, 1):
            if np.isnan(self._back_s[side]):
                self._look(side)

    def _look(self, side: int) -> None:
        client = self._pair[side]
        speech = self._speeches[1 - side]
        until_s = self.passed_s - speech_signal.MAX_S - WINDOW_S
        while self._looked_s[side] < until_s:
            at_s = self._looked_s[side]
            first = round(at_s * speech_signal.RATE_HZ)
            said = speech[first : first + round(WINDOW_S * speech_signal.RATE_HZ)]
            from_s = self._start_s[side] + at_s
            heard = client.card.heard(from_s, from_s + WINDOW_S + speech_signal.MAX_S)
            delay_ms = speech_signal.delay_ms(said, heard)
            if not np.isnan(delay_ms):
                self._back_s[side] = at_s + delay_ms / 1000
                return
            self._looked_s[side] = at_s + WINDOW_S / 2


def _speech(seed: int) -> Samples:
    return speech_signal.noise(np.random.default_rng(seed), MAX_S + RIVAL_MORE_S + 5.0)


def _spread(seconds: float) -> Spread | None:
    return None if np.isnan(seconds) else one(seconds)


def _note(seconds: float, who: str) -> str:
    return f"{who}: no speech while it was waited for. " if np.isnan(seconds) else ""
