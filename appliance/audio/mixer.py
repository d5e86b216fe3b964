"""Mixer of the remote participants' sound and the earcons, for playback."""

import time
from collections.abc import Callable, Sequence
from heapq import nlargest
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.audio.dsp import (
    BLOCK_FRAMES,
    FADE_FRAMES,
    SILENCE_DBFS,
    Limiter,
    Samples,
    faded_in,
    faded_out,
    level_dbfs,
    to_block,
    volume_gain,
)
from appliance.audio.idle import IdleWindow
from appliance.audio.jitter_buffer import JitterBuffer
from appliance.pcm import Block

MOST_TALKERS: Final = 16
"""Largest number of talkers mixed at the same time, the loudest ones; a Raspberry Pi
Zero 2 W has no CPU time for more. Silent ones do not count."""
LOUDNESS_DECAY: Final = 0.98
"""Per block of 10 ms: halved after 0.35 s, longer than a pause between words."""
LIMITER_FREE_GAIN: Final = 0.75
"""Up to this gain a single talker cannot reach the limiter, even where the spline
overshoots by a quarter: half of the work is saved in most calls."""


class Mixer:
    """Lock-free mixer with one jitter buffer per talker.

    Thread: `next` the card's; the function returned by `add` any; `add`, `remove`,
    `mute`, `is_sounding` and `learn` the loop's.
    """

    def __init__(self, *, is_half_duplex: bool = False) -> None:
        """Start without talkers.

        Args:
            is_half_duplex: whether playback is muted while the gate is open.
        """
        self.is_half_duplex = is_half_duplex
        self.idle_window = IdleWindow()
        """Idle window of the card's callback; ended when there is sound to play."""
        self._jitter_buffers: dict[str, JitterBuffer] = {}
        # Replaced as a whole, because the card's thread reads it without a lock.
        self._talkers: tuple[JitterBuffer, ...] = ()
        self._earcon: Samples = np.zeros(0, np.float32)
        self._limiter = Limiter()
        self._gain = np.float32(1.0)
        self._past_underruns = 0
        self._past_overruns = 0
        self.is_muted = False
        """Whether talkers are muted, in half duplex while the gate is open."""
        self.played: NDArray[np.int16] | None = None
        """Samples passed to the card last; None for silence."""
        self.reference: NDArray[np.int16] | None = None
        """Talkers' share of `played`, for the echo canceller.

        Without the earcons: the canceller would take the first syllable after the
        permit tone for its echo and remove up to 66 ms of it (measured).
        """

    def add(self, talker: str) -> Callable[[Block], None]:
        """Add a talker and return the function that takes its blocks."""
        jitter_buffer = JitterBuffer()
        self._keep_counts(self._jitter_buffers.get(talker))
        self._jitter_buffers[talker] = jitter_buffer
        self._talkers = tuple(self._jitter_buffers.values())
        self.idle_window.end()

        def write(block: Block) -> None:
            is_heard = jitter_buffer.write(block, time.monotonic())
            if len(self._talkers) > MOST_TALKERS:
                peak = float(np.abs(block.astype(np.int32)).max()) if is_heard else 0.0
                jitter_buffer.loudness = max(
                    peak, jitter_buffer.loudness * LOUDNESS_DECAY
                )
            if is_heard:
                self.idle_window.end()

        return write

    def remove(self, talker: str) -> None:
        """Remove the talker."""
        self._keep_counts(self._jitter_buffers.pop(talker, None))
        self._talkers = tuple(self._jitter_buffers.values())

    def mute(self, talker: str, *, is_on: bool) -> None:
        """Play the talker or not, from the next block on."""
        if (jitter_buffer := self._jitter_buffers.get(talker)) is not None:
            jitter_buffer.is_muted = is_on

    def is_sounding(self, talker: str) -> bool:
        """Return whether the talker is heard or was heard just now."""
        jitter_buffer = self._jitter_buffers.get(talker)
        if jitter_buffer is None or jitter_buffer.is_muted:
            return False
        return not jitter_buffer.is_idle

    def learn(self, talker: str, held_s: float) -> None:
        """Set how long the talker's sound is buffered before it arrives here."""
        if (jitter_buffer := self._jitter_buffers.get(talker)) is not None:
            jitter_buffer.learn(held_s)

    def set_volume(self, percent: int) -> None:
        """Set the volume of talkers and earcons, 0-100."""
        self._gain = np.float32(volume_gain(percent))

    def play(self, samples: Samples) -> None:
        """Play an earcon; a running one is replaced."""
        self._earcon = samples
        self.idle_window.end()

    def next(self, frames: int = BLOCK_FRAMES) -> NDArray[np.int16] | None:
        """Return the next samples to play, and set `reference`.

        Args:
            frames: 1-480.

        Returns:
            int16, shape (frames,), read-only. None for silence.
        """
        now_s = time.monotonic()
        parts = [
            part
            for jitter_buffer in self._chosen()
            if (part := _audible(jitter_buffer, frames, now_s)) is not None
        ]
        if self.is_muted:
            parts.clear()
        self.played = self.reference = self._mixed(parts) if parts else None
        if len(self._earcon):
            self.played = self._with_earcon(frames)
        return self.played

    def rest(self) -> None:
        """Drop pending audio, so that it is not played after reopening the stream."""
        self.played = self.reference = None
        self._earcon = np.zeros(0, np.float32)

    @property
    def is_still(self) -> bool:
        """Whether there has been nothing to play for a while."""
        return not len(self._earcon) and all(
            jitter_buffer.is_idle for jitter_buffer in self._talkers
        )

    @property
    def talkers(self) -> int:
        """Number of talkers, silent ones included."""
        return len(self._talkers)

    @property
    def level_dbfs(self) -> float:
        """Level of the samples played last."""
        played = self.played
        return float(SILENCE_DBFS) if played is None else level_dbfs(played)

    @property
    def depth_s(self) -> float:
        """Highest fill level of the jitter buffers, in seconds."""
        return max(
            (jitter_buffer.depth_s for jitter_buffer in self._talkers), default=0.0
        )

    @property
    def drift_ppm(self) -> float:
        """Drift of the card's clock against the newest talker's; positive: faster."""
        return self._talkers[-1].drift_ppm if self._talkers else 0.0

    @property
    def underruns(self) -> int:
        """Underruns of all jitter buffers during speech."""
        return self._past_underruns + sum(
            jitter_buffer.underruns for jitter_buffer in self._talkers
        )

    @property
    def overruns(self) -> int:
        """Times a jitter buffer was too full and was cut."""
        return self._past_overruns + sum(
            jitter_buffer.overruns for jitter_buffer in self._talkers
        )

    def _chosen(self) -> Sequence[JitterBuffer]:
        """Return the jitter buffers to mix now."""
        talkers = self._talkers
        if len(talkers) <= MOST_TALKERS:
            return talkers
        awake = [
            jitter_buffer for jitter_buffer in talkers if not jitter_buffer.is_idle
        ]
        return nlargest(
            MOST_TALKERS, awake, key=lambda jitter_buffer: jitter_buffer.loudness
        )

    def _mixed(self, parts: list[Samples]) -> NDArray[np.int16]:
        # Read once, because the loop may change it meanwhile.
        gain, is_one = self._gain, len(parts) == 1
        if is_one and gain <= LIMITER_FREE_GAIN and self._limiter.is_at_rest:
            softer: Samples = np.rint(parts[0] * gain)
            return softer.astype(np.int16)
        mix = parts[0] if is_one else np.add.reduce(parts)
        return to_block(self._limiter.apply(mix * gain))

    def _with_earcon(self, frames: int) -> NDArray[np.int16]:
        now, self._earcon = self._earcon[:frames], self._earcon[frames:]
        tone = np.pad(now, (0, frames - len(now))) * self._gain
        return to_block(tone if self.reference is None else tone + self.reference)

    def _keep_counts(self, jitter_buffer: JitterBuffer | None) -> None:
        if jitter_buffer is not None:
            self._past_underruns += jitter_buffer.underruns
            self._past_overruns += jitter_buffer.overruns


def _audible(jitter_buffer: JitterBuffer, frames: int, now_s: float) -> Samples | None:
    """Return the next samples; a muted talker's are read, but not returned."""
    is_muted, was_muted = jitter_buffer.is_muted, jitter_buffer.was_muted
    jitter_buffer.was_muted = is_muted
    part = jitter_buffer.read(frames, now_s)
    if part is None or (is_muted and was_muted):
        return None
    if is_muted == was_muted or frames < FADE_FRAMES:
        return None if is_muted else part
    return faded_out(part) if is_muted else faded_in(part)
