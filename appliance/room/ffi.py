"""LiveKit's native library, called without the SDK's detours.

The SDK's `AudioSource.capture_frame` and `AudioStream` send each 10 ms through the
asyncio loop several times, each acknowledgement too. Here a request is encoded once and
made on the caller's thread; sound that comes goes to its sink on the library's.

The only module that uses private parts of the SDK; `tests/room/test_ffi.py` says
which, and for which versions.

Source: livekit-ffi, `cabi.rs`, `server/audio_source.rs`, `server/audio_stream.rs`.
"""

import ctypes
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from threading import Lock, local
from types import TracebackType
from typing import TypeAlias

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
    AudioStreamEvent,
    CaptureAudioFrameCallback,
)
from livekit.rtc._proto.ffi_pb2 import FfiEvent, FfiRequest

from appliance.pcm import SILENCE, Block

BLOCK_BYTES = 960
_ZEROS = bytes(BLOCK_BYTES)

OUR_CAPTURE = 1 << 62
"""Number of all our captures; the library's own numbers count up from 1."""
_TAKEN = FfiEvent(
    capture_audio_frame=CaptureAudioFrameCallback(async_id=OUR_CAPTURE)
).SerializeToString()
"""The event that one of them was taken: all of them are the same bytes."""

Encoded: TypeAlias = "ctypes._Pointer[ctypes.c_uint8]"
"""An event as the library hands it over; the memory is the library's."""

Sink = Callable[[Block], None]
"""Takes one block; may keep it, cannot write into it. Thread: the library's."""

Fail = Callable[[BaseException], None]
"""Ends the process because of an exception on the library's thread."""

_log = logging.getLogger(__name__)

# The library starts a worker for each core, and one that is woken wakes the next to
# share its work; there is never enough of it. Measured with one, on two cores: a
# twentieth less CPU. Read when the library is first used, so it must be there before.
os.environ.setdefault("TOKIO_WORKER_THREADS", "1")


class Call:
    """A request that is made again and again, byte for byte the same."""

    def __init__(self, request: FfiRequest) -> None:
        """Encode the request."""
        encoded = request.SerializeToString()
        self._encoded = (ctypes.c_ubyte * len(encoded)).from_buffer_copy(encoded)
        self._answer = ctypes.POINTER(ctypes.c_ubyte)()
        self._answer_bytes = ctypes.c_size_t()
        library = FfiClient.instance._ffi_lib
        self._request = library.livekit_ffi_request
        self._drop = library.livekit_ffi_drop_handle

    def __call__(self) -> int:
        """Make the request and return how many bytes long its answer was.

        Thread: any, one at a time.
        """
        handle = self._request(
            self._encoded,
            len(self._encoded),
            ctypes.byref(self._answer),
            ctypes.byref(self._answer_bytes),
        )
        assert handle != INVALID_HANDLE, "the library refuses the request"
        self._drop(handle)
        return self._answer_bytes.value


@dataclass(frozen=True, slots=True)
class StreamRoute:
    """Where a stream's blocks go, guarded so that no exception gets lost on the way.

    An exception that left a callback of the library would be printed and forgotten.
    """

    sink: Sink
    fail: Fail

    def __enter__(self) -> Sink:
        """Return the sink."""
        return self.sink

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Hand an exception on to where it ends the process."""
        if error is not None:
            self.fail(error)
        return True


def _ignore(_: object) -> None:
    """Take what nobody wants any more."""


_CLOSED = StreamRoute(_ignore, _ignore)


class FfiEvents:
    """What the library calls with its events: ours stay here, the SDK gets the rest."""

    def __init__(self, rest: Callable[[Encoded, int], None]) -> None:
        """Prepare; `lay` begins.

        Args:
            rest: takes what is not ours.
        """
        self._rest = rest
        self._callback = ffi_cb_fnc(self.take)
        self._drop = FfiClient.instance._ffi_lib.livekit_ffi_drop_handle
        self._routes: dict[int, StreamRoute] = {}
        self._changing = Lock()
        self._has_failed = False
        self._thread = local()

    def install(self) -> None:
        """Be called from now on; this one must never be forgotten."""
        library, version = FfiClient.instance._ffi_lib, rtc.__version__.encode()
        gives_logs = True
        library.livekit_ffi_initialize(self._callback, gives_logs, b"python", version)

    def take(self, address: Encoded, size: int) -> None:
        """Take one event; thread: the library's.

        Most are acknowledgements, which need not even be decoded: a twentieth less CPU.
        """
        encoded = ctypes.string_at(address, size)
        if encoded == _TAKEN or self._is_ours(FfiEvent.FromString(encoded)):
            self._stay()
        else:
            self._rest(address, size)

    def _is_ours(self, event: FfiEvent) -> bool:
        """Return whether the event was ours, and is done with."""
        match event.WhichOneof("message"):
            case "audio_stream_event":
                return self._is_delivered(event.audio_stream_event)
            case "capture_audio_frame":
                return self._is_noted(event.capture_audio_frame)
        return False

    def open(self, request: FfiRequest, route: StreamRoute) -> FfiHandle:
        """Make a request for a new audio stream and return it with its road laid."""
        # The first block may come before the answer: it waits for this lock.
        with self._changing:
            answer = FfiClient.instance.request(request)
            stream = FfiHandle(answer.new_audio_stream.stream.handle.id)
            self._routes[stream.handle] = route
        return stream

    def close(self, stream: FfiHandle) -> None:
        """Drop a stream; what it still sends is thrown away until its last event."""
        with self._changing:
            if stream.handle in self._routes:
                self._routes[stream.handle] = _CLOSED
        stream.dispose()

    @property
    def streams(self) -> int:
        """How many streams have not sent their last event yet."""
        return len(self._routes)

    def _is_delivered(self, event: AudioStreamEvent) -> bool:
        """Deliver the event, unless it belongs to somebody else's stream."""
        route = self._route(event.stream_handle)
        if route is None:
            return False
        if event.HasField("frame_received"):
            frame = event.frame_received.frame
            pcm = ctypes.string_at(frame.info.data_ptr, BLOCK_BYTES)
            self._drop(frame.handle.id)
            with route as sink:
                sink(SILENCE if pcm == _ZEROS else np.frombuffer(pcm, np.int16))
        else:
            with self._changing:
                del self._routes[event.stream_handle]
        return True

    def _stay(self) -> None:
        """Let Python remember this thread, once.

        It would otherwise make and forget a thread state at each call, 200 times a
        second: two system calls and a fresh page each. Measured: a tenth less CPU.

        Source: Python/C API, "Non-Python created threads": `PyGILState_Ensure` nests,
        and only the outermost release forgets the thread; this one has no release.
        """
        if not hasattr(self._thread, "is_known"):
            self._thread.is_known = True
            ctypes.pythonapi.PyGILState_Ensure()

    def _route(self, stream: int) -> StreamRoute | None:
        if (route := self._routes.get(stream)) is not None:
            return route
        with self._changing:
            return self._routes.get(stream)

    def _is_noted(self, answer: CaptureAudioFrameCallback) -> bool:
        """Note what became of a block, unless it is somebody else's."""
        if answer.async_id == OUR_CAPTURE and answer.error:
            level = logging.DEBUG if self._has_failed else logging.WARNING
            self._has_failed = True
            _log.log(level, "encoder did not take a block  error=%r", answer.error)
        return answer.async_id == OUR_CAPTURE


@cache
def ffi_events() -> FfiEvents:
    """Return the bypass, laid at first use: one per process, like the library."""
    made = FfiEvents(ffi_event_callback)
    made.install()
    return made


def handle(
    owner: rtc.AudioSource | rtc.Track | rtc.AudioProcessingModule,
) -> FfiHandle:
    """Return what the library knows this by."""
    return owner._ffi_handle
