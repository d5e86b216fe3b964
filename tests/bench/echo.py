"""Echo: how much of it a simulated room's microphone still sends, and how soon.

The far end speaks alone, then both speak at once, then the far end alone. Our own
processing and the SDK's audio processing module with everything switched on, as
`MediaDevices` uses it, get the same signals, block by block and without a card.
`MediaDevices` itself gives ten blocks of each direction at a time; here it has the
easier case of single blocks.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from livekit import rtc
from numpy.typing import NDArray

from appliance.audio.echo_cancellation import CaptureProcessing, EchoReference
from appliance.config import SoundConfig
from appliance.pcm import SILENCE, Block
from appliance.room.apm import echo_canceller, voice_cleaner
from tests.bench import speech_signal
from tests.bench.acoustics import AIR_S, CARD_S, Acoustics, captured
from tests.bench.bench_run import BenchRun
from tests.bench.report import Goal, Row, Section
from tests.bench.speech_signal import BLOCK, RATE_HZ
from tests.bench.spread import Spread, one, spread
from tests.card.asound import Samples
from tests.card.measure import lag

SCENES = {
    "small room, quiet": Acoustics(reverberation_s=0.15, echo_db=-20.0),
    "large room, loud, distorted": Acoustics(0.3, echo_db=-6.0, drive=1.0),
    "two cards, 200 ppm apart": Acoustics(0.2, echo_db=-12.0, ppm=100.0),
}
QUIET_S = 1.0
"""Silence in the room before the far end's first word."""
ENOUGH_DB = 20.0
WINDOW_S = 0.5
STEADY = 4
"""Windows with speech for which the reduction must last to count as converged."""
ACTIVE_RMS = 300.0
"""Of the far end's speech in a window that counts, -41 dBFS."""
LATEST_S = 0.06
"""Longest delay of the processing itself."""
CUT_DB = 10.0
"""A packet of speech that is softer by this is lost."""
CONVERGED_S = 3.0
SOFTER_DB = 6.0


class Processing(Protocol):
    """Echo canceller and other processing of the captured sound."""

    def play(self, block: Block, at_s: float) -> None:
        """Take a block that the loudspeaker plays next."""

    def capture(self, block: Block, at_s: float) -> Block:
        """Return the processed block."""


class Appliance:
    """Our processing with its default settings."""

    def __init__(self, *, has_two_cards: bool) -> None:
        """Start as a new process does."""
        config = SoundConfig()
        self._processing = CaptureProcessing(
            echo_canceller(config), voice_cleaner(config)
        )
        self._processing.restart(round(1000 * CARD_S))
        self._now_s = 0.0
        self._reference = (
            EchoReference(CARD_S / 2, lambda: self._now_s) if has_two_cards else None
        )
        self._played: Block = SILENCE

    def play(self, block: Block, at_s: float) -> None:
        """Take a block that the loudspeaker plays next."""
        self._now_s = at_s
        self._played = block if block.any() else SILENCE
        if self._reference is not None:
            self._reference.put(self._played)

    def capture(self, block: Block, at_s: float) -> Block:
        """Return the processed block."""
        self._now_s = at_s
        played = self._played
        if self._reference is not None:
            taken = self._reference.take()
            played = SILENCE if taken is None else taken
        block = block.copy()
        self._processing.clean(block, played, is_wanted=True, is_voice=True)
        return block


class Module:
    """The SDK's module with everything on."""

    def __init__(self) -> None:
        """Start as a new process does."""
        self._module = rtc.AudioProcessingModule(
            echo_cancellation=True,
            noise_suppression=True,
            high_pass_filter=True,
            auto_gain_control=True,
        )

    def play(self, block: Block, _at_s: float) -> None:
        """Take a block that the loudspeaker plays next."""
        frame = rtc.AudioFrame(block.tobytes(), RATE_HZ, 1, BLOCK)
        self._module.process_reverse_stream(frame)

    def capture(self, block: Block, _at_s: float) -> Block:
        """Return the processed block."""
        self._module.set_stream_delay_ms(round(1000 * CARD_S))
        frame = rtc.AudioFrame(bytearray(block.tobytes()), RATE_HZ, 1, BLOCK)
        self._module.process_stream(frame)
        return np.frombuffer(frame.data, np.int16).copy()


@dataclass(frozen=True, slots=True)
class Talks:
    """Speech of both ends."""

    far: Samples
    near: Samples
    both_s: tuple[float, float]
    """Span in which both speak."""


@dataclass(frozen=True, slots=True)
class Found:
    """Figures of one kind of processing in one room."""

    reduced_db: tuple[float, ...]
    """Over time, per window in which only the far end speaks; NaN: it pauses."""
    converged_s: float
    """NaN: never."""
    cut_percent: float
    """Share of the near end's speech that was suppressed while both spoke."""
    softer_db: float
    """By how much that speech was softer than with nothing played."""


async def measure(run: BenchRun) -> Section:
    """Compare both kinds of processing in each room."""
    made = talks(run.plan.echo_s)
    rows: list[Row] = []
    for name, room in SCENES.items():
        ours = await asyncio.to_thread(
            judged, lambda two: Appliance(has_two_cards=two), room, made
        )
        rival = await asyncio.to_thread(judged, lambda _: Module(), room, made)
        rows += _rows(name, ours, rival)
    return Section("Echo in a simulated room", tuple(rows))


def talks(part_s: float, seed: int = 1) -> Talks:
    """Return three parts: the far end alone, both, the far end alone."""
    rng = np.random.default_rng(seed)
    far = speech_signal.conversation(rng, 3 * part_s)
    far[: round(QUIET_S * RATE_HZ)] = 0
    near = speech_signal.conversation(rng, 3 * part_s) // 2
    near[: round(part_s * RATE_HZ)] = near[round(2 * part_s * RATE_HZ) :] = 0
    return Talks(far, near, (part_s, 2 * part_s))


def judged(make: Callable[[bool], Processing], room: Acoustics, made: Talks) -> Found:
    """Return the figures of one kind of processing."""
    has_two_cards = bool(room.ppm)
    microphone = captured(room, made.far, made.near, np.random.default_rng(2))
    sent = _processed(make(has_two_cards), room, made.far, microphone)
    quiet = np.zeros_like(made.far)
    without = captured(room, quiet, made.near, np.random.default_rng(2))
    alone = _processed(make(has_two_cards), room, quiet, without)
    reduced = _reduced_db(made, microphone, sent)
    changes_db = _changes_db(made, alone, sent)
    cut = 100.0 * float(np.mean(changes_db < -CUT_DB))
    softer_db = -float(np.median(changes_db))
    return Found(reduced, _converged_s(reduced), cut, softer_db)


def _processed(
    processing: Processing, room: Acoustics, far: Samples, microphone: Samples
) -> Samples:
    """Return the processed sound; each card calls at its own clock."""
    played = _calls(far, 1 + room.ppm / 1e6)
    heard = _calls(microphone, 1 - room.ppm / 1e6)
    sent = []
    next_play = next(played, None)
    for at_s, block in heard:
        while next_play is not None and next_play[0] <= at_s:
            processing.play(next_play[1], next_play[0])
            next_play = next(played, None)
        sent.append(processing.capture(block, at_s))
    return np.concatenate(sent)


def _calls(samples: Samples, speed: float) -> Iterator[tuple[float, Block]]:
    blocks = samples[: len(samples) // BLOCK * BLOCK].reshape(-1, BLOCK)
    for number, block in enumerate(blocks):
        yield number * BLOCK / RATE_HZ / speed, block


def _reduced_db(made: Talks, microphone: Samples, sent: Samples) -> tuple[float, ...]:
    window = round(WINDOW_S * RATE_HZ)
    reduced = []
    both = [round(x / WINDOW_S) for x in made.both_s]
    for number in range(len(sent) // window):
        part = slice(number * window, (number + 1) * window)
        late = round((CARD_S + AIR_S) * RATE_HZ)
        speaks = _rms(made.far[max(0, part.start - late) : part.stop - late])
        is_counted = speaks >= ACTIVE_RMS and not both[0] <= number <= both[1]
        ratio = _rms(microphone[part]) / max(1.0, _rms(sent[part]))
        reduced.append(20 * float(np.log10(ratio)) if is_counted else float("nan"))
    return tuple(reduced)


def _converged_s(reduced: Sequence[float]) -> float:
    """Return the start of the first windows that are all reduced enough."""
    known = [(n, db) for n, db in enumerate(reduced) if not np.isnan(db)]
    for place in range(len(known) - STEADY + 1):
        steady = known[place : place + STEADY]
        if all(db >= ENOUGH_DB for _, db in steady):
            return steady[0][0] * WINDOW_S - QUIET_S
    return float("nan")


def _changes_db(made: Talks, alone: Samples, sent: Samples) -> NDArray[np.float64]:
    """Return how the near end's speech was changed by the far end's, per packet.

    By levels, because the processing changes the phases.
    """
    part = slice(*(round(x * RATE_HZ) for x in made.both_s))
    most = round(LATEST_S * RATE_HZ)
    late, _ = lag(alone[part], sent[part.start : part.stop + most], most)
    levels = [
        _packets(x) for x in (made.near[part], alone[part], sent[part.start + late :])
    ]
    said, before, after = (level[: len(levels[0])] for level in levels)
    change_db: NDArray[np.float64] = 20 * np.log10(after / before)
    return change_db[said > ACTIVE_RMS]


def _packets(samples: Samples) -> NDArray[np.float64]:
    """Return the level of each packet; never 0."""
    packet = 2 * BLOCK
    parts = samples[: len(samples) // packet * packet].reshape(-1, packet)
    level: NDArray[np.float64] = np.sqrt((parts.astype(np.float64) ** 2).mean(axis=1))
    return np.maximum(level, 1.0)


def _rms(samples: Samples) -> float:
    if not len(samples):
        return 0.0
    return float(np.sqrt((samples.astype(np.float64) ** 2).mean()))


def _rows(name: str, ours: Found, rival: Found) -> list[Row]:
    return [
        Row(
            name=f"echo reduced by, {name}",
            unit="dB",
            ours=spread(ours.reduced_db),
            rival=spread(rival.reduced_db),
            note=f"ours over time: {_course(ours)}",
        ),
        Row(
            name=f"until reduced by {ENOUGH_DB:.0f} dB for two seconds, {name}",
            unit="s",
            ours=_one(ours.converged_s),
            rival=_one(rival.converged_s),
            goal=Goal(CONVERGED_S),
        ),
        Row(
            name=f"near speech cut while both speak, {name}",
            unit="%",
            ours=one(ours.cut_percent),
            rival=one(rival.cut_percent),
        ),
        Row(
            name=f"near speech softer while both speak, {name}",
            unit="dB",
            ours=one(ours.softer_db),
            rival=one(rival.softer_db),
            goal=Goal(SOFTER_DB),
        ),
    ]


def _one(value: float) -> Spread | None:
    return None if np.isnan(value) else one(value)


def _course(found: Found) -> str:
    """Return the reduction every few seconds."""
    known = [(n, db) for n, db in enumerate(found.reduced_db) if not np.isnan(db)]
    every = max(1, len(known) // 8)
    return ", ".join(f"{n * WINDOW_S:.0f} s {db:.0f}" for n, db in known[::every])
