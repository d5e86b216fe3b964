"""Audio to and from LiveKit in blocks of 10 ms, without the asyncio loop."""

from dataclasses import dataclass
from itertools import cycle
from typing import Final

import numpy as np
from livekit import rtc
from livekit.rtc._proto.audio_frame_pb2 import AudioStreamType
from livekit.rtc._proto.ffi_pb2 import FfiRequest

from appliance.pcm import BLOCK_FRAMES, BLOCK_MS, RATE_HZ, SILENCE, Block
from appliance.room.ffi import (
    OUR_CAPTURE,
    Call,
    Fail,
    Sink,
    StreamRoute,
    ffi_events,
    handle,
)

_SLOTS: Final = 8
"""Blocks that may be in flight to the encoder. The library copies each before the call
returns, but only promises that the memory is free once it has acknowledged the call."""


class MicrophoneTrack:
    """Local track that is fed block by block."""

    def __init__(self) -> None:
        """Create the track; the caller publishes it.

        Thread: the loop's.
        """
        ffi_events()
        # Without a queue the library accepts exactly 10 ms and adds no timer.
        self._source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=0)
        self.track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        source = handle(self._source).handle
        self._slots = cycle([_slot(source) for _ in range(_SLOTS)])
        self._silent = _slot(source)

    def send(self, block: Block) -> None:
        """Send one block to the encoder; the caller may reuse its memory afterwards.

        Thread: any, one at a time, and never after `close`.
        """
        if block is SILENCE:
            self._silent.call()
            return
        slot = next(self._slots)
        slot.samples[:] = block
        slot.call()

    def close(self) -> None:
        """Release track and source; call it after the room is disconnected."""
        handle(self.track).dispose()
        handle(self._source).dispose()


class RemoteAudio:
    """Remote track whose blocks go to a sink until `close`."""

    def __init__(self, track: rtc.Track, sink: Sink, fail: Fail) -> None:
        """Start at once.

        Args:
            track: a subscribed audio track.
            sink: takes each block.
            fail: called with an exception that the sink raised.
        """
        request = FfiRequest()
        wanted = request.new_audio_stream
        wanted.track_handle = handle(track).handle
        wanted.type = AudioStreamType.AUDIO_STREAM_NATIVE
        wanted.sample_rate = RATE_HZ
        wanted.num_channels = 1
        wanted.frame_size_ms = BLOCK_MS
        self._stream = ffi_events().open(request, StreamRoute(sink, fail))

    def close(self) -> None:
        """Stop; a block in flight may still reach the sink."""
        ffi_events().close(self._stream)


@dataclass(frozen=True, slots=True)
class _Slot:
    """Memory of one block and the call that sends it."""

    samples: Block
    call: Call


def _slot(source: int) -> _Slot:
    samples = np.zeros(BLOCK_FRAMES, np.int16)
    request = FfiRequest()
    capture = request.capture_audio_frame
    capture.source_handle = source
    capture.request_async_id = OUR_CAPTURE
    capture.buffer.data_ptr = samples.ctypes.data
    capture.buffer.num_channels = 1
    capture.buffer.sample_rate = RATE_HZ
    capture.buffer.samples_per_channel = BLOCK_FRAMES
    return _Slot(samples, Call(request))
