"""LiveKit's audio processing module (APM): echo canceller, noise suppressor, gain.

Two instances, so that the canceller can be bypassed when there is no echo: they delay
by 9 and 7 ms, one for both by 15 ms.

Source: livekit-ffi, `server/requests.rs` (in place, done when the call returns);
WebRTC's `audio_processing.h` for the order of the two streams and the delay.
"""

from typing import Final

import numpy as np
from livekit import rtc
from livekit.rtc._proto.ffi_pb2 import FfiRequest

from appliance.config import SoundConfig
from appliance.pcm import BLOCK_FRAMES, RATE_HZ, Block
from appliance.ports import EchoCanceller
from appliance.room.ffi import BLOCK_BYTES, Call, handle

_DELAY_STEP_MS: Final = 5
"""A smaller change is jitter of the measurement, which the echo canceller tolerates."""
_MAX_DELAY_MS: Final = 500
"""Longest delay that WebRTC accepts; it clips longer ones."""
_OK_ANSWER_BYTES: Final = 3
"""Length of an answer without an error."""

_NOISE_BLOCKS: Final = 90
"""0.9 s. With 0.7 s the first 50 ms of an interruption are lost, with 0.8 s nothing;
after more the real echo path is learned more slowly."""
_NOISE_RMS: Final = 2000
"""-24 dBFS, the level of speech."""
_ECHO_GAIN: Final = 0.01
"""-40 dB: present, and too faint to make the canceller expect a loud echo."""
_ECHO_DELAYS_MS: Final = (20, 30, 40)
"""The range of USB cards. After a single one, or 0 ms, the filter adapts too slowly."""


def echo_canceller(config: SoundConfig) -> "ApmEchoCanceller | None":
    """Return the echo canceller, if the configuration asks for it and it has a use."""
    has_echo = "none" not in {config.microphone, config.speaker}
    return ApmEchoCanceller() if config.echo_cancellation and has_echo else None


def voice_cleaner(config: SoundConfig) -> "ApmNoiseSuppressor | None":
    """Return the other processing the configuration asks for; None: nothing."""
    has_microphone = config.microphone != "none"
    wanted = config.noise_suppression, config.high_pass_filter, config.automatic_gain
    return ApmNoiseSuppressor(config) if has_microphone and any(wanted) else None


class ApmEchoCanceller:
    """Acoustic echo canceller; implements `ports.EchoCanceller`.

    Measured: 9 ms of delay, 55 to 75 us of CPU per block.
    """

    def __init__(self, module: rtc.AudioProcessingModule | None = None) -> None:
        """Start converged on a synthetic echo; `module` is a fake, for tests."""
        self._module = module or rtc.AudioProcessingModule(echo_cancellation=True)
        self._delay_ms = -_DELAY_STEP_MS - 1
        self._near = _Stream(self._module, "apm_process_stream")
        self._far = _Stream(self._module, "apm_process_reverse_stream")
        _converge(self)

    def cancel(self, microphone: Block, played: Block, delay_ms: int) -> None:
        """Remove the echo in place. Thread: any, one at a time."""
        wanted_ms = min(max(delay_ms, 0), _MAX_DELAY_MS)
        if abs(wanted_ms - self._delay_ms) > _DELAY_STEP_MS:
            self._delay_ms = wanted_ms
            self._module.set_stream_delay_ms(wanted_ms)
        self._far.processed(played)
        microphone[:] = self._near.processed(microphone)


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
        self._near = _Stream(self._module, "apm_process_stream")

    def clean(self, microphone: Block) -> None:
        """Clean the microphone's block in place. Thread: any, one at a time."""
        microphone[:] = self._near.processed(microphone)


class _Stream:
    """One direction of a module: memory of a block, and the call that processes it."""

    def __init__(self, module: rtc.AudioProcessingModule, name: str) -> None:
        """Prepare the call with this name in `FfiRequest`."""
        self._block: Block = np.zeros(BLOCK_FRAMES, np.int16)
        request = FfiRequest()
        wanted = getattr(request, name)
        wanted.apm_handle = handle(module).handle
        wanted.data_ptr = self._block.ctypes.data
        wanted.size = BLOCK_BYTES
        wanted.sample_rate = RATE_HZ
        wanted.num_channels = 1
        self._call = Call(request)

    def processed(self, block: Block) -> Block:
        """Return what the module makes of the block, in memory that is used again."""
        self._block[:] = block
        is_taken = self._call() <= _OK_ANSWER_BYTES
        assert is_taken, "the audio processing module refused a block"
        return self._block


def _converge(canceller: EchoCanceller) -> None:
    """Process 0.9 s of noise and its echo with a new canceller, without waiting.

    Until its filter has converged, WebRTC's canceller (AEC3) suppresses near-end speech
    while the speaker plays. The real echo path replaces this one within seconds; in the
    first half second its echo is reduced by 6 to 12 dB instead of 19. Source: measured.
    """
    size = _NOISE_BLOCKS * BLOCK_FRAMES
    noise = np.random.default_rng(1).normal(scale=_NOISE_RMS, size=size)
    echo = np.zeros_like(noise)
    for delay_ms in _ECHO_DELAYS_MS:
        frames = RATE_HZ * delay_ms // 1000
        echo += _ECHO_GAIN * np.pad(noise[:-frames], (frames, 0))
    shape = _NOISE_BLOCKS, BLOCK_FRAMES
    blocks = (x.astype(np.int16).reshape(shape) for x in (noise, echo))
    for played, microphone in zip(*blocks, strict=True):
        canceller.cancel(microphone, played, _ECHO_DELAYS_MS[0])
