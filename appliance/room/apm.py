"""LiveKit's audio processing module: echo cancellation, noise suppression, gain.

Two instances, so that each can be bypassed: one for both delays by 15 ms even when
there is no echo to cancel; these delay by 9 and 7 ms.

Source: livekit-ffi, `server/requests.rs` (in place, done when the call returns);
WebRTC's `audio_processing.h` for the order of the two streams and the delay.
"""

from typing import Final

import numpy as np
from livekit import rtc
from livekit.rtc._proto.ffi_pb2 import FfiRequest

from appliance.config import SoundConfig
from appliance.pcm import Block
from appliance.room.audio_io import BLOCK_SAMPLES, RATE_HZ
from appliance.room.convergence import converge
from appliance.room.ffi import BLOCK_BYTES, Call, handle

_DELAY_STEP_MS: Final = 5
"""A smaller change is jitter of the measurement, which the echo canceller tolerates."""
_DELAY_MOST_MS: Final = 500
"""Longest delay that WebRTC accepts; it clips longer ones."""
_OK_ANSWER_BYTES: Final = 3
"""Length of an answer without an error."""


def echo_canceller(config: SoundConfig) -> "ApmEchoCanceller | None":
    """Return the echo canceller, if the configuration asks for it and it has a use."""
    has_echo = "none" not in {config.microphone, config.speaker}
    return ApmEchoCanceller() if config.echo_cancellation and has_echo else None


def voice_cleaner(config: SoundConfig) -> "ApmNoiseSuppressor | None":
    """Return the other processing the configuration asks for; None: nothing."""
    is_any = (
        config.noise_suppression or config.high_pass_filter or config.automatic_gain
    )
    has_microphone = config.microphone != "none"
    return ApmNoiseSuppressor(config) if is_any and has_microphone else None


class ApmEchoCanceller:
    """Acoustic echo canceller; implements `ports.EchoCanceller`.

    Measured: 9 ms of delay, 55 to 75 us of CPU per block.
    """

    def __init__(self) -> None:
        """Start converged on a synthetic echo: see `convergence`."""
        self._module = rtc.AudioProcessingModule(echo_cancellation=True)
        self._delay_ms = -_DELAY_STEP_MS - 1
        self._near: Block = np.zeros(BLOCK_SAMPLES, np.int16)
        self._far: Block = np.zeros(BLOCK_SAMPLES, np.int16)
        module = handle(self._module).handle
        self._clean = _clean(module, self._near)
        self._analyse = _analyse(module, self._far)
        converge(self)

    def cancel(self, microphone: Block, played: Block, delay_ms: int) -> None:
        """Remove the echo of the speaker from the microphone's block, in place.

        Args:
            microphone: the captured block; overwritten.
            played: the block given to the speaker in the same callback.
            delay_ms: from giving `played` to the card until its echo is captured.

        Thread: any, one at a time.
        """
        self._set_delay(delay_ms)
        self._far[:] = played
        _check(self._analyse())
        self._near[:] = microphone
        _check(self._clean())
        microphone[:] = self._near

    def _set_delay(self, delay_ms: int) -> None:
        wanted_ms = min(max(delay_ms, 0), _DELAY_MOST_MS)
        if abs(wanted_ms - self._delay_ms) > _DELAY_STEP_MS:
            self._delay_ms = wanted_ms
            self._module.set_stream_delay_ms(wanted_ms)


class ApmNoiseSuppressor:
    """Noise suppressor, high-pass filter and gain; implements `ports.NoiseSuppressor`.

    Measured: 7 ms of delay, 1 ms without noise suppression; 45 us of CPU per block.
    """

    def __init__(self, config: SoundConfig) -> None:
        """Switch on what the configuration asks for."""
        self._module = rtc.AudioProcessingModule(
            noise_suppression=config.noise_suppression,
            high_pass_filter=config.high_pass_filter,
            auto_gain_control=config.automatic_gain,
        )
        self._near: Block = np.zeros(BLOCK_SAMPLES, np.int16)
        self._clean = _clean(handle(self._module).handle, self._near)

    def clean(self, microphone: Block) -> None:
        """Clean the microphone's block in place.

        Thread: any, one at a time.
        """
        self._near[:] = microphone
        _check(self._clean())
        microphone[:] = self._near


def _clean(module: int, block: Block) -> Call:
    request = FfiRequest()
    wanted = request.apm_process_stream
    wanted.apm_handle = module
    wanted.data_ptr = block.ctypes.data
    wanted.size = BLOCK_BYTES
    wanted.sample_rate = RATE_HZ
    wanted.num_channels = 1
    return Call(request)


def _analyse(module: int, block: Block) -> Call:
    request = FfiRequest()
    wanted = request.apm_process_reverse_stream
    wanted.apm_handle = module
    wanted.data_ptr = block.ctypes.data
    wanted.size = BLOCK_BYTES
    wanted.sample_rate = RATE_HZ
    wanted.num_channels = 1
    return Call(request)


def _check(answer_bytes: int) -> None:
    assert answer_bytes <= _OK_ANSWER_BYTES, (
        "the audio processing module refused a block"
    )
