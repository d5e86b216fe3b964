"""What comes out of the speaker: everybody who talks, mixed, and our own earcons."""

import time
from collections.abc import Callable, Sequence
from heapq import nlargest
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.audio.dsp import (
    BLOCK_FRAMES,
    SILENCE_DBFS,
    Limiter,
    Samples,
    level_dbfs,
    to_block,
    volume_gain,
)
from appliance.audio.idle import IdleWindow
from appliance.audio.jitter_buffer import JitterBuffer
from appliance.pcm import Block

MOST_TALKERS: Final = 16
"""Talkers mixed at the same moment, the loudest ones; a Zero 2 W has no time for more.
Silent ones do not count."""
LOUDNESS_DECAY: Final = 0.98
"""Per block of 10 ms: half of it after 0.35 s, longer than a pause between words."""
NEVER_TOO_LOUD: Final = 0.75
"""With no more gain than this one talker alone cannot reach the limiter, even where the
spline swings over by a quarter: half of the work is saved in most calls."""


class Mixer:
    """Mixes the talkers; nobody waits for anybody.

    Thread: `next` the card's, what `add` returns any; `add`, `remove`, `hears` and
    `learn` the loop's.
    """

    def __init__(self, *, is_half_duplex: bool = False) -> None:
        """Start with nobody.

        Args:
            is_half_duplex: whether the speaker falls silent while the gate is open.
        """
        self.is_half_duplex = is_half_duplex
        self.idle_window = IdleWindow()
        """Of the card's callbacks; ended when there is something to play."""
        self._jitter_buffers: dict[str, JitterBuffer] = {}
        # Replaced as a whole, never changed: the card's thread reads it without a lock.
        self._talkers: tuple[JitterBuffer, ...] = ()
        self._earcon: Samples = np.zeros(0, np.float32)
        self._limiter = Limiter()
        self._gain = np.float32(1.0)
        self._past_underruns = 0
        self._past_overruns = 0
        self.is_muted = False
        """Half duplex: nothing is played while we talk."""
        self.played: NDArray[np.int16] | None = None
        """What was given to the card last; None for silence."""
        self.reference: NDArray[np.int16] | None = None
        """The voices in it, for the echo canceller.

        Not the earcons: the canceller would hold the first syllable after the permit
        tone for its echo, and take up to 66 ms of it away (measured).
        """

    def add(self, talker: str) -> Callable[[Block], None]:
        """Return where to put this talker's blocks."""
        jitter_buffer = JitterBuffer()
        self._forget(self._jitter_buffers.get(talker))
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
        """Forget the talker."""
        self._forget(self._jitter_buffers.pop(talker, None))
        self._talkers = tuple(self._jitter_buffers.values())

    def is_sounding(self, talker: str) -> bool:
        """Return whether the talker says anything, or did just now."""
        jitter_buffer = self._jitter_buffers.get(talker)
        return jitter_buffer is not None and not jitter_buffer.is_asleep

    def learn(self, talker: str, held_s: float) -> None:
        """Take note how long the talker's sound was kept before it was put here."""
        if (jitter_buffer := self._jitter_buffers.get(talker)) is not None:
            jitter_buffer.learn(held_s)

    def set_volume(self, percent: int) -> None:
        """Set how loud talkers and earcons are, 0-100."""
        self._gain = np.float32(volume_gain(percent))

    def play(self, samples: Samples) -> None:
        """Play an earcon; a running one is replaced."""
        self._earcon = samples
        self.idle_window.end()

    def next(self, frames: int = BLOCK_FRAMES) -> NDArray[np.int16] | None:
        """Return what the card plays next; `reference` is then what of it are voices.

        Args:
            frames: 1-480.

        Returns:
            int16, shape (frames,), not to be changed. None for silence.
        """
        now_s = time.monotonic()
        parts = [
            part
            for jitter_buffer in self._chosen()
            if (part := jitter_buffer.read(frames, now_s)) is not None
        ]
        if self.is_muted:
            parts.clear()
        self.played = self.reference = self._mixed(parts) if parts else None
        if len(self._earcon):
            self.played = self._with_earcon(frames)
        return self.played

    def rest(self) -> None:
        """The speaker is gone: nothing of this moment may be heard when it is back."""
        self.played = self.reference = None
        self._earcon = np.zeros(0, np.float32)

    @property
    def is_still(self) -> bool:
        """Whether there is nothing to play, and has not been for a while."""
        return not len(self._earcon) and all(
            jitter_buffer.is_asleep for jitter_buffer in self._talkers
        )

    @property
    def talkers(self) -> int:
        """How many there are, silent ones included."""
        return len(self._talkers)

    @property
    def level_dbfs(self) -> float:
        """How loud the speaker is now."""
        played = self.played
        return float(SILENCE_DBFS) if played is None else level_dbfs(played)

    @property
    def depth_s(self) -> float:
        """The deepest talker's stock, in seconds."""
        return max(
            (jitter_buffer.depth_s for jitter_buffer in self._talkers), default=0.0
        )

    @property
    def drift_ppm(self) -> float:
        """How much faster the card is than the newest talker, parts per million."""
        return self._talkers[-1].drift_ppm if self._talkers else 0.0

    @property
    def underruns(self) -> int:
        """Blocks that were missing while somebody spoke."""
        return self._past_underruns + sum(
            jitter_buffer.underruns for jitter_buffer in self._talkers
        )

    @property
    def overruns(self) -> int:
        """Times a stock was too deep and was cut."""
        return self._past_overruns + sum(
            jitter_buffer.overruns for jitter_buffer in self._talkers
        )

    def _chosen(self) -> Sequence[JitterBuffer]:
        """Return the talkers to be mixed now."""
        talkers = self._talkers
        if len(talkers) <= MOST_TALKERS:
            return talkers
        awake = [
            jitter_buffer for jitter_buffer in talkers if not jitter_buffer.is_asleep
        ]
        return nlargest(
            MOST_TALKERS, awake, key=lambda jitter_buffer: jitter_buffer.loudness
        )

    def _mixed(self, parts: list[Samples]) -> NDArray[np.int16]:
        # Read once: the loop may set another volume meanwhile.
        gain, is_one = self._gain, len(parts) == 1
        if is_one and gain <= NEVER_TOO_LOUD and self._limiter.is_at_rest:
            softer: Samples = np.rint(parts[0] * gain)
            return softer.astype(np.int16)
        mix = parts[0] if is_one else np.add.reduce(parts)
        return to_block(self._limiter.apply(mix * gain))

    def _with_earcon(self, frames: int) -> NDArray[np.int16]:
        now, self._earcon = self._earcon[:frames], self._earcon[frames:]
        tone = np.pad(now, (0, frames - len(now))) * self._gain
        return to_block(tone if self.reference is None else tone + self.reference)

    def _forget(self, jitter_buffer: JitterBuffer | None) -> None:
        if jitter_buffer is not None:
            self._past_underruns += jitter_buffer.underruns
            self._past_overruns += jitter_buffer.overruns
