"""Convergence of the echo canceller before its first use.

WebRTC's canceller (AEC3) that has not yet seen its filter converge assumes that all of
the microphone may be echo and suppresses it whenever the speaker plays: near-end speech
in the first seconds after a start is lost, and where the microphone does not hear the
speaker at all (a headset) most of it is lost for six seconds of far-end speech. A
second of noise with a faint echo of it lets the filter converge; what is learned of
this synthetic echo path is replaced within seconds by the real one.

The cost: the far end hears more of its own echo in the first half second if the echo
path is long. An echo of -20 dB with a delay of 20, 40 or 60 ms is reduced by 20, 12 or
6 dB in that time, instead of by 19, but by 35 to 42 dB in the next half second, instead
of by 20. An echo with a delay of 100 ms is hardly reduced in the first 1 to 2 s.

Source: measured, because the states of AEC3 cannot be read through LiveKit's library.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.pcm import Block
from appliance.ports import EchoCanceller
from appliance.room.audio_io import BLOCK_SAMPLES, RATE_HZ

Samples: TypeAlias = NDArray[np.float64]

BLOCKS: Final = 90
"""0.9 s. With 0.7 s the first 50 ms of an interruption are lost, with 0.8 s nothing;
after more the real echo path is learned more slowly. Takes 8 ms of CPU on a PC."""
NOISE_RMS: Final = 2000
"""-24 dBFS, the level of speech."""
ECHO_GAIN: Final = 0.01
"""-40 dB: present, and too faint to make the canceller expect a loud echo."""
ECHO_DELAYS_MS: Final = (20, 30, 40)
"""The range of USB cards. After a single delay the filter adapts too slowly to a
different one, and speech is lost meanwhile. With 0 ms the filter does not converge."""


def converge(canceller: EchoCanceller) -> None:
    """Process 0.9 s of noise and its echo with a new canceller, without waiting.

    Args:
        canceller: not used before.
    """
    noise = np.random.default_rng(1).standard_normal(BLOCKS * BLOCK_SAMPLES) * NOISE_RMS
    echo = np.zeros_like(noise)
    for delay_ms in ECHO_DELAYS_MS:
        echo += ECHO_GAIN * _delayed(noise, delay_ms)
    for played, microphone in zip(_blocks(noise), _blocks(echo), strict=True):
        canceller.cancel(microphone, played, ECHO_DELAYS_MS[0])


def _delayed(samples: Samples, delay_ms: int) -> Samples:
    frames = RATE_HZ * delay_ms // 1000
    return np.pad(samples[:-frames], (frames, 0))


def _blocks(samples: Samples) -> list[Block]:
    return list(samples.astype(np.int16).reshape(BLOCKS, BLOCK_SAMPLES))
