"""Echo reference where the microphone is another card than the speaker.

Two cards have two clocks, and the echo canceller needs as many played samples as
captured ones. So what was played passes a jitter buffer, which the microphone's clock
reads, and which corrects the drift between the two by resampling: the delay of the echo
stays the same, where skipping would make the canceller adapt again each time.
"""

import time
from collections.abc import Callable

from appliance.audio.dsp import BLOCK_FRAMES, to_block
from appliance.audio.jitter_buffer import JitterBuffer
from appliance.pcm import SILENCE, Block


class EchoReference:
    """Played blocks at the microphone's clock.

    Thread: `put` the speaker's, `take` and `is_still` the microphone's.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Start with silence; `now_s` is the monotonic clock."""
        self._buffer = JitterBuffer()
        self._now_s = now_s

    def put(self, played: Block | None) -> None:
        """Add a played block; None is silence."""
        self._buffer.write(SILENCE if played is None else played, self._now_s())

    def take(self) -> Block | None:
        """Return the block played while one was captured; None is silence."""
        samples = self._buffer.read(BLOCK_FRAMES, self._now_s())
        return None if samples is None else to_block(samples)

    @property
    def is_still(self) -> bool:
        """Whether there has been nothing to take for a while."""
        return self._buffer.is_idle
