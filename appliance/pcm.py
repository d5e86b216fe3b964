"""PCM audio as it is passed between modules: its format, blocks and silence."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 48_000
BLOCK_FRAMES: Final = 480
"""10 ms at 48 kHz, as LiveKit's `AudioSource` and audio processing require."""
BLOCK_MS: Final = 10

Block = NDArray[np.int16]
"""10 ms of audio: int16, shape (480,), 48 kHz, mono."""

Packet = tuple[Block, Block]
"""20 ms of audio: one Opus packet."""
PACKET_BLOCKS: Final = 2
PACKET_S: Final = PACKET_BLOCKS * BLOCK_MS / 1000

SILENCE: Final[Block] = np.zeros(BLOCK_FRAMES, np.int16)
"""10 ms of silence, read-only. Most audio is silence: a producer that passes this very
object lets consumers detect it by `is`. Other blocks of zeros work too, only slower."""
SILENCE.flags.writeable = False
SILENT_PACKET: Final[Packet] = (SILENCE, SILENCE)
