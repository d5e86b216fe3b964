"""Direct calls of LiveKit's native library."""

import asyncio
import ctypes
import inspect
import subprocess
import sys
import threading

import livekit.rtc
import numpy as np
from livekit.rtc import _ffi_client
from livekit.rtc._proto import ffi_pb2

from appliance.pcm import Block
from appliance.room.ffi import (
    OUR_CAPTURE,
    Call,
    FfiEvents,
    MicrophoneTrack,
    ffi_events,
)
from tests.room import sdk_parts

VERSIONS = "1.2."
MOVED = (
    "appliance/room/ffi.py uses private parts of livekit that were read in "
    "1.2.0; this version has other ones: read them again before raising the bound "
    "in pyproject.toml"
)
DEADLINE_S = 20.0
COUNT_WORKERS = """
import time
from contextlib import suppress
from pathlib import Path
from appliance.room.ffi import ffi_events
ffi_events()
names = []
looks_to_come = 20
# Each thread names itself when it first runs, in any order on a busy machine.
while looks_to_come > 0:
    if {"livekit-audio", "tokio-rt-worker"} <= set(names):
        looks_to_come -= 1
    time.sleep(0.01)
    # Other threads end meanwhile.
    with suppress(FileNotFoundError, ProcessLookupError):
        names = [x.read_text().strip() for x in Path("/proc/self/task").glob("*/comm")]
print(names.count("tokio-rt-worker"))
"""


class Fake(FfiEvents):
    """Callback whose library is the test and whose SDK is a list."""

    def __init__(self):
        self.rest: list[ffi_pb2.FfiEvent] = []
        super().__init__(lambda *event: self.rest.append(decoded(*event)))
        self.dropped: list[int] = []
        self._drop = self.dropped.append

    def put(self, event):
        encoded = event.SerializeToString()
        memory = (ctypes.c_uint8 * len(encoded)).from_buffer_copy(encoded)
        self.take(ctypes.cast(memory, ctypes.POINTER(ctypes.c_uint8)), len(encoded))


def decoded(address, size):
    return ffi_pb2.FfiEvent.FromString(ctypes.string_at(address, size))


def frame_event(stream, block, number=1):
    event = ffi_pb2.FfiEvent()
    event.audio_stream_event.stream_handle = stream
    frame = event.audio_stream_event.frame_received.frame
    frame.handle.id = number
    frame.info.data_ptr = block.ctypes.data
    frame.info.num_channels = 1
    frame.info.sample_rate = 48_000
    frame.info.samples_per_channel = len(block)
    return event


def end_event(stream):
    event = ffi_pb2.FfiEvent()
    event.audio_stream_event.stream_handle = stream
    event.audio_stream_event.eos.SetInParent()
    return event


def test_the_private_parts_of_the_sdk_are_unchanged():
    assert livekit.rtc.__version__.startswith(VERSIONS), MOVED
    library = sdk_parts.native_library()
    for name in ("initialize", "request", "drop_handle"):
        assert hasattr(library, f"livekit_ffi_{name}"), f"{MOVED} ({name})"
    for name in ("INVALID_HANDLE", "ffi_cb_fnc", "ffi_event_callback"):
        assert hasattr(_ffi_client, name), f"{MOVED} ({name})"
    source = inspect.getsource(_ffi_client)
    laid = 'ffi_event_callback, True, b"python", __version__.encode("ascii")'
    assert laid in source, MOVED
    fields = ffi_pb2.FfiRequest().capture_audio_frame.DESCRIPTOR.fields_by_name
    assert "request_async_id" in fields, MOVED


async def test_the_callback_is_installed_once():
    assert ffi_events() is ffi_events()


async def test_a_block_goes_to_its_sink_and_its_memory_is_released():
    queue = Fake()
    heard: list[Block] = []
    queue.sinks[7] = heard.append
    block = np.arange(480, dtype=np.int16)
    queue.put(frame_event(7, block, number=42))
    expected = block.copy()
    block[:] = 0
    assert (heard[0] == expected).all()
    assert queue.dropped == [42]


async def test_other_events_go_to_the_sdk():
    queue = Fake()
    sound, left = frame_event(8, np.zeros(480, np.int16)), ffi_pb2.FfiEvent()
    left.room_event.room_handle = 5
    queue.put(sound)
    queue.put(left)
    assert queue.rest == [sound, left]
    assert queue.dropped == []


async def test_blocks_of_a_closed_stream_are_dropped_until_its_last_event():
    queue = Fake()
    heard: list[Block] = []
    queue.sinks[7] = heard.append

    class Handle(_ffi_client.FfiHandle):
        def dispose(self):
            if not self.disposed:
                self.mark_consumed()
                queue.put(frame_event(7, np.zeros(480, np.int16), number=42))

    queue.close(Handle(7))
    assert heard == []
    assert queue.dropped == [42]
    queue.put(end_event(7))
    assert queue.sinks == {}


async def test_our_acknowledgements_do_not_reach_the_sdk():
    queue = Fake()
    ours, other = ffi_pb2.FfiEvent(), ffi_pb2.FfiEvent()
    ours.capture_audio_frame.async_id = OUR_CAPTURE
    other.capture_audio_frame.async_id = 5
    queue.put(ours)
    queue.put(other)
    assert queue.rest == [other]


async def test_the_encoder_takes_blocks_from_the_callers_thread(caplog):
    microphone = MicrophoneTrack()
    for _ in range(20):
        microphone.send(np.zeros(480, np.int16))
    microphone.close()
    assert caplog.records == []


class Watched(FfiEvents):
    """Callback that counts its calls per thread state of Python."""

    def __init__(self, most):
        super().__init__(_ffi_client.ffi_event_callback)
        self.mine = threading.local()
        self.counts: list[int] = []
        self.is_enough = threading.Event()
        self._most = most

    def _keep_thread_state(self):
        super()._keep_thread_state()
        self.mine.count = getattr(self.mine, "count", 0) + 1
        self.counts.append(self.mine.count)
        if len(self.counts) == self._most:
            self.is_enough.set()

    def _delivered(self, event):
        kind = event.WhichOneof("message")
        assert kind != "capture_audio_frame", MOVED
        return False


async def test_python_keeps_the_state_of_the_librarys_threads():
    """Also: their acknowledgements are recognised without decoding."""
    before = ffi_events()
    microphone = MicrophoneTrack()
    watched = Watched(20)
    watched.install()
    try:
        for _ in range(20):
            microphone.send(np.zeros(480, np.int16))
        assert await asyncio.to_thread(watched.is_enough.wait, DEADLINE_S)
    finally:
        before.install()
    microphone.close()
    # A busy machine may deliver acknowledgements of an earlier test's blocks, too.
    counts = tuple(watched.counts)
    assert counts == tuple(range(1, len(counts) + 1))


def test_the_library_has_one_worker_thread():
    command = [sys.executable, "-c", COUNT_WORKERS]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    assert answer.stdout.split() == ["1"]


async def test_a_call_holds_the_encoded_request():
    request = ffi_pb2.FfiRequest()
    request.new_apm.echo_canceller_enabled = False
    request.new_apm.gain_controller_enabled = False
    request.new_apm.high_pass_filter_enabled = True
    request.new_apm.noise_suppression_enabled = False
    call = Call(request)
    assert bytes(call.encoded) == request.SerializeToString()
    assert ctypes.sizeof(call.encoded) == request.ByteSize()
