"""Priming of the receivers' jitter buffers in the first seconds of a track.

The delay of a receiver's jitter buffer, NetEQ, is otherwise random: it starts with room
for 80 ms of jitter, gets too few packets to learn that there is none (Opus DTX sends 2
of 21 in silence), and does not correct a level within 30 ms of its target. Measured in
ten starts: 5 to 32 ms, for the rest of the call.

For the first 2 s a tone at -81 dBFS is sent instead of letting DTX drop the packets, so
that every receiver's NetEQ adapts to its minimum delay. The stream is then delayed by
5 ms three times, 2 s apart. A receiver left below its target catches up at the next
onset by time-stretching by one period of the sound. In speech that is up to 15 ms, so
two onsets of the tone, whose period is 2.5 ms, come before any speech.

Source: WebRTC, `decision_logic.cc`: acceleration begins 15 ms above the target level,
which is 20 ms without jitter, and expansion 5 ms below it;
`packet_arrival_history.cc`: lateness is measured in ticks of 10 ms, relative to
the earliest packet of the last 2 s; from 20 ms on the target rises by 20 ms. Packets
10 ms apart can be two ticks apart, one just before a tick and one just after: hence
steps of 5 ms and the pause between them. Measured: with a step of 10 ms one receiver in
seven raised its target by 20 ms; with 5 ms none of 24 did. Medians of the mouth-to-ear
latency of 14 directions in seven starts: within 4.3 ms of each other.
"""

from typing import Final

import numpy as np

from appliance.audio.dsp import BLOCK_FRAMES, RATE_HZ, is_loud
from appliance.pcm import SILENCE, Block, Packet

TONE_HZ: Final = 400
TONE_PEAK: Final = 3
"""-81 dBFS, far below the noise of any room."""
_PERIOD: Final = RATE_HZ // TONE_HZ
TONE: Final[Block] = np.tile(
    np.rint(TONE_PEAK * np.sin(2 * np.pi / _PERIOD * np.arange(_PERIOD))),
    BLOCK_FRAMES // _PERIOD,
).astype(np.int16)
"""Tone sent in place of silence; the encoder does not drop it. NetEQ removes one
period, the best-correlated one between 2.5 and 15 ms. With noise, which has none, the
delays ended 14 ms apart; with the tone they all reach the minimum."""
TONE.flags.writeable = False

NO_PACKET_BLOCKS: Final = 40
"""0.4 s without packets, in which receivers subscribe to the track. Buffers that all
start with the first packet start alike; those started within a stream differed by up to
10 ms."""
SOON_BLOCKS: Final = 20
"""0.2 s before the tone of a repeated priming: silence that was to be sent late has
been sent by then. A running track must not pause, or it stays late."""
TONE_BLOCKS: Final = NO_PACKET_BLOCKS + 180
"""1.8 s of the tone, after which all buffers are at their minimum."""
FIRST_STEP_BLOCKS: Final = TONE_BLOCKS
PAUSE_BLOCKS: Final = 205
"""Interval between steps in blocks, longer than NetEQ's history of 2 s."""
STEPS: Final = 3
SPELLS: Final = ((0, 100), (160, 220), (280, 340))
"""Begin and end of the tone after the last step. The first spell lasts until NetEQ's
level filter, with half a second of history, has adapted; the pauses before the others
are long enough for DTX, which begins after 0.2 s, so that each is a new onset."""


class JitterPriming:
    """Sequence of tone and delay steps at the start of a track.

    Thread: `filled` one at a time, `step` the card's.
    """

    def __init__(self) -> None:
        """Start as if a track had just been published."""
        self._blocks = self._steps = self._due_blocks = self._stepped_blocks = 0
        self._is_new = True
        self.restart()

    def restart(self) -> None:
        """Restart for a new track, which has no subscribers yet."""
        self._begin(0, is_new=True)

    def repeat(self) -> None:
        """Restart for the same track: all its current subscribers have just joined."""
        self._begin(NO_PACKET_BLOCKS - SOON_BLOCKS, is_new=False)

    def filled(self, packet: Packet) -> tuple[Block, ...]:
        """Return the blocks to send for the next packet, which may be none."""
        is_prompt, is_paused = self.is_prompt, self._blocks < NO_PACKET_BLOCKS
        self._blocks += len(packet)
        if not is_prompt or (is_paused and not self._is_new):
            return packet
        if is_paused and all(map(_is_silent, packet)):
            return ()
        return tuple(TONE if _is_silent(block) else block for block in packet)

    @property
    def is_drop_due(self) -> bool:
        """Whether half a block of captured sound should be dropped now."""
        return self._steps < STEPS and self._blocks >= self._due_blocks

    def step(self) -> None:
        """Count a step: half a block was dropped."""
        self._steps += 1
        self._due_blocks = self._blocks + PAUSE_BLOCKS
        self._stepped_blocks = self._blocks

    @property
    def is_prompt(self) -> bool:
        """Whether the next packet must be sent on time, even if it is silence."""
        if self._steps < STEPS:
            return self._blocks < TONE_BLOCKS
        since = self._blocks - self._stepped_blocks
        return any(first <= since < last for first, last in SPELLS)

    def _begin(self, blocks: int, *, is_new: bool) -> None:
        self._blocks, self._is_new = blocks, is_new
        self._steps = 0
        self._due_blocks = FIRST_STEP_BLOCKS


def _is_silent(block: Block) -> bool:
    return block is SILENCE or not is_loud(block)
