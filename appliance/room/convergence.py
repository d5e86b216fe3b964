"""Convergence of the echo canceller before its first use.

WebRTC's canceller (AEC3) that has not yet seen its filter converge assumes that all of
the microphone may be echo and suppresses it whenever the speaker plays: near-end speech
in the first seconds after a start is lost, and where the microphone does not hear the
speaker at all (a headset) most of it is lost for six seconds of far-end speech. One
second of noise with a faint echo of it lets the filter converge; what is learned of
this invented room is replaced within seconds by what is learned of the real one.

The price: the far end hears a little more of its own echo in the first half second. An
echo of -20 dB that comes after 20, 40 or 60 ms is reduced by 17, 11 or 6 dB in it,
instead of by 19, but by 36 to 40 dB in the next, instead of by 20. One that comes after
100 ms is hardly reduced in the first two seconds.

Source: measured, because the states of AEC3 cannot be read through LiveKit's library.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.pcm import Block
from appliance.ports import Canceller
from appliance.room.audio_io import BLOCK_SAMPLES, RATE_HZ

BLOCKS: Final = 100
"""Twice of what is needed: AEC3 takes no filter for converged in its first 0.4 s. Takes
7 ms of CPU on a PC."""
NOISE_RMS: Final = 2000
"""-24 dBFS, the level of speech."""
ECHO_GAIN: Final = 0.01
"""-40 dB: present, and too faint to make the canceller expect a loud echo."""
ECHO_DELAY_MS: Final = 20
"""The delay of a USB card with short buffers. It must not be 0: the canceller then
takes no filter for converged."""


def converge(canceller: Canceller) -> None:
    """Give a new canceller one second of noise and of its echo, faster than real time.

    Args:
        canceller: not used before.
    """
    count = BLOCKS * BLOCK_SAMPLES
    noise = np.random.default_rng(1).standard_normal(count) * NOISE_RMS
    delay_frames = RATE_HZ * ECHO_DELAY_MS // 1000
    echo = np.pad(noise[:-delay_frames], (delay_frames, 0)) * ECHO_GAIN
    for played, microphone in zip(_blocks(noise), _blocks(echo), strict=True):
        canceller.cancel(microphone, played, ECHO_DELAY_MS)


def _blocks(samples: NDArray[np.float64]) -> list[Block]:
    return list(samples.astype(np.int16).reshape(BLOCKS, BLOCK_SAMPLES))
