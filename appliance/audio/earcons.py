"""Earcons: tones for the person at the box, and their removal from what is sent."""

from functools import cache
from typing import Final

import numpy as np

from appliance.audio.dsp import Samples, to_block
from appliance.core.commands import Earcon
from appliance.pcm import BLOCK_FRAMES, RATE_HZ, Block

LOUDNESS: Final = 6000.0
"""-15 dBFS: audible over speech, not startling in a quiet room."""
EDGE_S: Final = 0.005

_NOTES: Final[dict[Earcon, tuple[tuple[float, float], ...]]] = {
    # Hz and seconds; 0 Hz is a pause. Rising means success, falling a failure.
    Earcon.PERMIT: ((880.0, 0.06),),
    Earcon.END: ((587.0, 0.06),),
    Earcon.REFUSED: ((196.0, 0.12), (0.0, 0.04), (196.0, 0.12)),
    Earcon.WARNING: ((988.0, 0.07), (0.0, 0.05), (988.0, 0.07)),
    Earcon.JOINED: ((523.0, 0.09), (784.0, 0.12)),
    # Soft, because it is repeated.
    Earcon.THINKING: ((440.0, 0.03),),
    Earcon.LOST: ((784.0, 0.09), (392.0, 0.16)),
}

SENT_TONES: Final = {x: _NOTES[x][0][0] for x in (Earcon.PERMIT, Earcon.WARNING)}
"""Pitch in Hz of the earcons that the microphone hears, because the gate is open."""
SENT_LATEST_S: Final = 0.2
"""Such an earcon begins within this time, or never: its removal has an end."""
ECHO_S: Final = 0.3
"""Time in which an earcon's echo arrives: latency of the card and decay of the room."""
TONE_FRAMES: Final = BLOCK_FRAMES // 2
"""Length in which the tone's amplitude counts as constant."""


@cache
def earcon_samples(earcon: Earcon) -> Samples:
    """Return the tones of the earcon: float32 in int16's range, whole blocks."""
    return np.concatenate([_note(hz, length_s) for hz, length_s in _NOTES[earcon]])


def _note(hz: float, length_s: float) -> Samples:
    count = int(length_s * RATE_HZ)
    at = np.arange(count) / RATE_HZ
    edge = np.minimum(1.0, np.minimum(at, at[::-1]) / EDGE_S)
    return (LOUDNESS * edge * np.sin(2 * np.pi * hz * at)).astype(np.float32)


class ToneRemover:
    """Removes an earcon of one known pitch from the captured sound.

    The echo canceller does not know the earcons (`Mixer.reference`). Of each 5 ms the
    part that such a tone can explain is subtracted.
    """

    def __init__(self, hz: float, until_s: float) -> None:
        """Start with the tone's waveform; `until_s` is when it has faded."""
        self.until_s = until_s
        angle = 2 * np.pi * hz / RATE_HZ * np.arange(TONE_FRAMES)
        waves, _ = np.linalg.qr(np.stack((np.sin(angle), np.cos(angle)), axis=1))
        self._waves: Samples = waves.astype(np.float32)

    def apply(self, block: Block) -> None:
        """Remove the tone from the block, in place."""
        samples = block.astype(np.float32).reshape(-1, TONE_FRAMES)
        samples -= samples @ self._waves @ self._waves.T
        block[:] = to_block(samples.reshape(-1))
