"""Audio to and from LiveKit's native library (FFI), in blocks of 10 ms.

The SDK sends each 10 ms through the asyncio loop several times. Here a request is
encoded once and made on the caller's thread; received audio goes to its sink on the
library's. The private parts of the SDK that this takes, and their version, are listed
in `tests/room/test_ffi.py`.

Source: livekit-ffi, `cabi.rs`, `server/audio_source.rs`, `server/audio_stream.rs`.
"""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from itertools import cycle
from threading import Lock, local
from typing import Final, TypeAlias

import numpy as np
from livekit import rtc
from livekit.rtc._ffi_client import (
    INVALID_HANDLE,
    FfiClient,
    FfiHandle,
    ffi_cb_fnc,
    ffi_event_callback,
)
from livekit.rtc._proto.audio_frame_pb2 import (
    AudioStreamType,
    CaptureAudioFrameCallback,
)
from livekit.rtc._proto.ffi_pb2 import FfiEvent, FfiRequest, FfiResponse

from appliance.core.events import Failure
from appliance.pcm import BLOCK_FRAMES, BLOCK_MS, RATE_HZ, SILENCE, Block

BLOCK_BYTES: Final = 960
_ZEROS: Final = bytes(BLOCK_BYTES)

OUR_CAPTURE: Final = 1 << 62
"""Request id of all our captures; the library's own ids count up from 1."""
_TAKEN: Final = FfiEvent(
    capture_audio_frame=CaptureAudioFrameCallback(async_id=OUR_CAPTURE)
).SerializeToString()
"""Acknowledgement of such a capture."""

_SLOTS: Final = 8
"""Blocks that may be in flight to the encoder: the library promises only with its
acknowledgement that the memory is free."""

Encoded: TypeAlias = "ctypes._Pointer[ctypes.c_uint8]"
"""An encoded event; the library owns the memory."""

Sink = Callable[[Block], None]
"""Take one block; those of a remote track are read-only and may be kept."""

# One worker thread instead of one per core, which takes 5 % more CPU (measured on two).
# Read when the library is first used.
os.environ.setdefault("TOKIO_WORKER_THREADS", "1")


class Call:
    """Request that is encoded once and made many times."""

    def __init__(self, request: FfiRequest) -> None:
        """Encode the request."""
        encoded = request.SerializeToString()
        self.encoded = (ctypes.c_ubyte * len(encoded)).from_buffer_copy(encoded)
        self._answer = ctypes.POINTER(ctypes.c_ubyte)()
        self._answer_bytes = ctypes.c_size_t()
        library = FfiClient.instance._ffi_lib
        self._request = library.livekit_ffi_request
        self._drop = library.livekit_ffi_drop_handle

    def __call__(self) -> int:
        """Make the request and return the length of its answer in bytes.

        Thread: any, one at a time.
        """
        handle = self._request(
            self.encoded,
            len(self.encoded),
            ctypes.byref(self._answer),
            ctypes.byref(self._answer_bytes),
        )
        assert handle != INVALID_HANDLE, "the library refused the request"
        self._drop(handle)
        return self._answer_bytes.value


class FfiEvents:
    """Callback for the library's events: handles ours, passes the rest to the SDK."""

    def __init__(self, rest: Callable[[Encoded, int], None]) -> None:
        """Create the callback; `rest` takes the events that are not ours."""
        self._rest = rest
        self._callback = ffi_cb_fnc(self.take)
        self._drop = FfiClient.instance._ffi_lib.livekit_ffi_drop_handle
        self.sinks: dict[int, Sink] = {}
        """Of each stream that has not sent its last event yet."""
        self._changing = Lock()
        self._thread = local()
        self.blocks = 0
        """Blocks that were received, of all streams."""
        self.failures: set[Failure] = set()
        """Failures for which a room was given up, and which have lasted since."""

    def install(self) -> None:
        """Become the library's callback; the object must stay alive from then on."""
        library, version = FfiClient.instance._ffi_lib, rtc.__version__.encode()
        gives_logs = True
        library.livekit_ffi_initialize(self._callback, gives_logs, b"python", version)

    def take(self, address: Encoded, size: int) -> None:
        """Handle one event. Thread: the library's."""
        encoded = ctypes.string_at(address, size)
        # Most are acknowledgements; not to decode them takes 5 % less CPU.
        if encoded == _TAKEN or self._delivered(FfiEvent.FromString(encoded)):
            self._keep_thread_state()
        else:
            self._rest(address, size)

    def open(self, track: rtc.Track, sink: Sink) -> FfiHandle:
        """Return a new stream of a remote track, whose blocks go to `sink` at once.

        It must not raise anything. Thread: the loop's; that of `sink` is the library's.
        """
        request = FfiRequest()
        wanted = request.new_audio_stream
        wanted.track_handle = handle(track).handle
        wanted.type = AudioStreamType.AUDIO_STREAM_NATIVE
        wanted.sample_rate = RATE_HZ
        wanted.num_channels = 1
        wanted.frame_size_ms = BLOCK_MS
        # The first block may arrive before the answer: it waits for this lock.
        with self._changing:
            answer = FfiClient.instance.request(request)
            stream = FfiHandle(answer.new_audio_stream.stream.handle.id)
            self.sinks[stream.handle] = sink
        return stream

    def close(self, stream: FfiHandle) -> None:
        """Close a stream; a block in flight may still reach its sink, no later one."""
        with self._changing:
            if stream.handle in self.sinks:
                self.sinks[stream.handle] = _ignore
        stream.dispose()

    def _delivered(self, event: FfiEvent) -> bool:
        """Give the event to its stream's sink, and return whether it is one of ours."""
        if not event.HasField("audio_stream_event"):
            return False
        sound = event.audio_stream_event
        sink = self._sink(sound.stream_handle)
        if sink is None:
            return False
        if sound.HasField("frame_received"):
            frame = sound.frame_received.frame
            pcm = ctypes.string_at(frame.info.data_ptr, BLOCK_BYTES)
            self._drop(frame.handle.id)
            self.blocks += 1
            sink(SILENCE if pcm == _ZEROS else np.frombuffer(pcm, np.int16))
        else:
            with self._changing:
                del self.sinks[sound.stream_handle]
        return True

    def _sink(self, stream: int) -> Sink | None:
        if (sink := self.sinks.get(stream)) is not None:
            return sink
        with self._changing:
            return self.sinks.get(stream)

    def _keep_thread_state(self) -> None:
        """Keep Python's state of this thread after the callback: 10 % less CPU.

        Source: Python/C API, "Non-Python created threads": `PyGILState_Ensure` nests,
        and only the outermost release deletes the state; this one has no release.
        """
        if not hasattr(self._thread, "has_state"):
            self._thread.has_state = True
            ctypes.pythonapi.PyGILState_Ensure()


def _ignore(_: Block) -> None:
    """Take a block of a closed stream."""


@cache
def ffi_events() -> FfiEvents:
    """Return the installed callback, which is alive as long as the process."""
    made = FfiEvents(ffi_event_callback)
    made.install()
    return made


@cache
def connect_once() -> None:
    """Have the library try once to join, instead of four times.

    In a room that a later attempt has joined no audio passes (livekit 1.2.0).
    """
    client = FfiClient.instance
    request = client.request

    def request_once(wanted: FfiRequest) -> FfiResponse:
        if wanted.HasField("connect"):
            wanted.connect.options.join_retries = 0
        answer: FfiResponse = request(wanted)
        return answer

    vars(client)["request"] = request_once


def handle(owner: rtc.AudioSource | rtc.Track | rtc.AudioProcessingModule) -> FfiHandle:
    """Return the library's handle of this object."""
    return owner._ffi_handle


class MicrophoneTrack:
    """Local track that is fed block by block."""

    def __init__(self) -> None:
        """Create the track; the caller publishes it. Thread: the loop's."""
        ffi_events()
        # Without a queue the library accepts exactly 10 ms and adds no timer.
        self._source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=0)
        self.track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        source = handle(self._source).handle
        self._slots = cycle([_Slot(source) for _ in range(_SLOTS)])
        self._silent = _Slot(source)
        self.blocks = 0
        """Blocks that were sent to the encoder."""

    def send(self, block: Block) -> None:
        """Send one block to the encoder; the caller may reuse its memory afterwards.

        Thread: any, one at a time, and never after `close`.
        """
        self.blocks += 1
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


class _Slot:
    """Memory of one block and the call that sends it."""

    def __init__(self, source: int) -> None:
        self.samples: Block = np.zeros(BLOCK_FRAMES, np.int16)
        request = FfiRequest()
        capture = request.capture_audio_frame
        capture.source_handle = source
        capture.request_async_id = OUR_CAPTURE
        capture.buffer.data_ptr = self.samples.ctypes.data
        capture.buffer.num_channels = 1
        capture.buffer.sample_rate = RATE_HZ
        capture.buffer.samples_per_channel = BLOCK_FRAMES
        self.call = Call(request)
