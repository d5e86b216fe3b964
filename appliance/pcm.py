"""The piece that sound is passed on in."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.int16]
"""10 ms of sound inside the box: int16, shape (480,), 48 kHz, mono."""

Packet = tuple[Block, Block]
"""20 ms, what Opus puts together."""

SILENCE: Final[Block] = np.zeros(480, np.int16)
"""10 ms of nothing. Whoever has nothing to give may give this one, so that `is` tells
it: most of what passes through a box is silence, and need not be looked at. Other zeros
are treated the same, only slower."""
SILENCE.flags.writeable = False
