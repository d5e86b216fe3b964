"""A new track's first seconds: far ends' buffers are brought to one depth.

How long a far end's jitter buffer, NetEQ, keeps what it gets is chance: it begins with
room for 80 ms of jitter, has too few packets to learn that there is none, because of a
silence Opus sends two packets of 21, and changes nothing then by itself that lies
within 30 ms. Measured, ten starts: 5 to 32 ms, for as long as the call lasted.

So for two seconds silence is sent too, and every buffer comes down to the same edge.
Then sound comes 5 ms later than before, three times: from buffers that all keep enough.
What keeps too little then is stretched when sound begins after a silence, by a period
of it. In speech that is up to 15 ms, so sound begins twice before anybody speaks: of
what is sent in place of silence a period is 2.5 ms.

Source: WebRTC, `decision_logic.cc`: reading faster begins 15 ms above the wanted level,
which is 20 ms where nothing jitters, and slower 5 ms below it;
`packet_arrival_history.cc`: lateness is known in ticks of 10 ms, against the earliest
packet of the last 2 s, and from 20 ms on answered with 20 ms more. Two ticks lie
between packets that are 10 ms apart, if the one is just before a tick and the other
just after: hence 5 ms, and the pause between the steps. Measured: with a step of 10 ms
one far end in seven wanted 20 ms more from then on; with 5 ms none of 24 did. Medians
from mouth to ear of 14 ways, seven starts: within 4.3 ms of each other.
"""

from typing import Final

import numpy as np

from appliance.audio.dsp import BLOCK_FRAMES, RATE_HZ, is_loud
from appliance.pcm import SILENCE, Block, Packet

FAINT_HZ: Final = 400
FAINT_PEAK: Final = 3
"""-81 dBFS, far below any room."""
_PERIOD: Final = RATE_HZ // FAINT_HZ
FAINT: Final[Block] = np.tile(
    np.rint(FAINT_PEAK * np.sin(2 * np.pi / _PERIOD * np.arange(_PERIOD))),
    BLOCK_FRAMES // _PERIOD,
).astype(np.int16)
"""In place of silence, because the encoder sends it. NetEQ leaves out a period, of what
lies between 2.5 and 15 ms the one that fits best. With noise, which fits nowhere, the
depths in the end lay 14 ms apart; with this they all end at the edge."""
FAINT.flags.writeable = False

HUSH_BLOCKS: Final = 40
"""0.4 s: far ends ask for the track meanwhile. Buffers that all begin with the first
packet begin alike; those that began within a stream kept up to 10 ms less or more."""
SOON_BLOCKS: Final = 20
"""0.2 s without a hush: silence that was to leave late has left by then. A track that
is given nothing would be late for ever."""
FAINT_BLOCKS: Final = HUSH_BLOCKS + 180
"""1.8 s, after which all are down."""
FIRST_STEP_BLOCKS: Final = FAINT_BLOCKS
PAUSE_BLOCKS: Final = 205
"""Longer than NetEQ remembers."""
STEPS: Final = 3
SPELLS: Final = ((0, 100), (160, 220), (280, 340))
"""After the last step: when silence is sent once more, from and to. First until NetEQ
knows how little it has, for its mean goes back half a second; then with the pause that
Opus makes after 0.2 s of silence, or it is no beginning."""


class JitterPriming:
    """Says what is sent in place of silence, and when half a block is to be left out.

    Thread: `filled` one at a time, `step` the card's.
    """

    def __init__(self) -> None:
        """Start as if a track had just been published."""
        self._blocks = self._steps = self._due_blocks = self._stepped_blocks = 0
        self._is_new = True
        self.restart()

    def restart(self) -> None:
        """Another track: nobody has heard of it yet."""
        self._begin(0, is_new=True)

    def repeat(self) -> None:
        """The same track, but whoever hears it has just come."""
        self._begin(HUSH_BLOCKS - SOON_BLOCKS, is_new=False)

    def filled(self, packet: Packet) -> tuple[Block, ...]:
        """Return what to send for these, the next in the row; it may be nothing."""
        is_prompt, is_hushed = self.is_prompt, self._blocks < HUSH_BLOCKS
        self._blocks += len(packet)
        if not is_prompt or (is_hushed and not self._is_new):
            return packet
        if is_hushed and all(map(_is_nothing, packet)):
            return ()
        return tuple(FAINT if _is_nothing(block) else block for block in packet)

    @property
    def is_step_due(self) -> bool:
        """Whether half a block of what is heard next should be left out."""
        return self._steps < STEPS and self._blocks >= self._due_blocks

    def step(self) -> None:
        """Take note that it was left out."""
        self._steps += 1
        self._due_blocks = self._blocks + PAUSE_BLOCKS
        self._stepped_blocks = self._blocks

    @property
    def is_prompt(self) -> bool:
        """Whether the next packet must leave in time, even if it is silence."""
        if self._steps < STEPS:
            return self._blocks < FAINT_BLOCKS
        since = self._blocks - self._stepped_blocks
        return any(first <= since < last for first, last in SPELLS)

    def _begin(self, blocks: int, *, is_new: bool) -> None:
        self._blocks, self._is_new = blocks, is_new
        self._steps = 0
        self._due_blocks = FIRST_STEP_BLOCKS


def _is_nothing(block: Block) -> bool:
    return block is SILENCE or not is_loud(block)
