"""PortAudio by way of sounddevice.

sounddevice wraps what PortAudio hands over into two buffers, a status object and three
calls. Here the callback is PortAudio's own, and in a lull it does not even look:
measured, a third less CPU on the card's thread.

The only module that uses private parts of sounddevice; `tests/sound/test_portaudio.py`
says which, and for which versions.

Source: sounddevice 0.5, `_StreamBase`: "only be used by library authors".
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from appliance.errors import SoundError
from appliance.sound.library import SAMPLE_BYTES, Callback, Raw, Stream, Wanted
from appliance.sound.urgency import be_urgent

ANY_CARD: Final = "sound cards"
_NOTHING: Final = memoryview(b"")


class PortAudio:
    """The real one; implements `library.Library`."""

    def __init__(self) -> None:
        """Import it, which takes a moment and looks for cards.

        Raises:
            OSError: PortAudio is not installed.
        """
        import sounddevice

        self._library: Any = sounddevice

    def devices(self) -> Iterable[Mapping[str, object]]:
        """Return what there was at the last look.

        Raises:
            SoundError: PortAudio cannot say.
        """
        try:
            found: Iterable[Mapping[str, object]] = self._library.query_devices()
        except self._library.PortAudioError as exc:
            raise SoundError(ANY_CARD, _words(exc)) from exc
        return found

    def renew(self) -> None:
        """Look again: PortAudio sees new cards only at its start."""
        self._library._terminate()
        self._library._initialize()

    def can(self, wanted: Wanted) -> bool:
        """Return whether such a stream would open."""
        library, rate_hz = self._library, wanted.rate_hz
        asked = (
            (library.check_input_settings, wanted.microphone, 1),
            (library.check_output_settings, wanted.speaker, wanted.speaker_channels),
        )
        try:
            for check, device, channels in asked:
                if device is not None:
                    check(device.index, channels, "int16", None, rate_hz)
        except library.PortAudioError:
            return False
        return True

    def open(self, wanted: Wanted, callback: Callback) -> Stream:
        """Open a stream.

        Raises:
            SoundError: the card says no.
        """
        run = self._native(wanted, callback)
        try:
            stream = self._library._StreamBase(
                callback=run, wrap_callback=None, **_options(wanted)
            )
        except self._library.PortAudioError as exc:
            raise SoundError(wanted.device_name, _words(exc)) from exc
        return _Opened(stream, run, wanted.device_name, self._library.PortAudioError)

    def _native(self, wanted: Wanted, callback: Callback) -> object:
        """Return what PortAudio calls, as a pointer."""
        ffi, lull, call = self._library._ffi, callback.lull, callback.call
        buffer: Callable[[object, int], Raw] = ffi.buffer
        fill: Callable[[object, bytes, int], None] = ffi.memmove
        heard_bytes = wanted.period_frames * SAMPLE_BYTES * wanted.microphone_channels
        played_bytes = wanted.period_frames * SAMPLE_BYTES * wanted.speaker_channels
        silence = bytes(played_bytes)
        go_on: int = self._library._lib.paContinue
        is_urgent = False

        def run(
            heard: object, played: object, frames: int, _: object, status: int, *__: int
        ) -> int:
            # Nothing is called and nothing made here that is not needed.
            if lull.left and not status and not lull.is_over:
                lull.left -= 1
                if played_bytes:
                    fill(played, silence, played_bytes)
                return go_on
            nonlocal is_urgent
            if not is_urgent:
                is_urgent = True
                be_urgent()
            call(
                buffer(heard, heard_bytes) if heard_bytes else _NOTHING,
                buffer(played, played_bytes) if played_bytes else _NOTHING,
                frames,
                status,
            )
            return go_on

        pointer: object = ffi.callback(
            "PaStreamCallback", run, error=self._library._lib.paAbort
        )
        return pointer


class _Native(Protocol):
    """What is used of sounddevice's streams."""

    latency: float | tuple[float, float]

    def start(self) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


class _Opened:
    """A stream of PortAudio's, and the callback, which nobody else keeps alive."""

    def __init__(
        self, stream: _Native, run: object, name: str, error: type[Exception]
    ) -> None:
        self._stream = stream
        self._run = run
        self._name = name
        self._error = error

    @property
    def latency_s(self) -> float:
        latency = self._stream.latency
        return sum(latency) if isinstance(latency, tuple) else latency

    def start(self) -> None:
        try:
            self._stream.start()
        except self._error as exc:
            raise SoundError(self._name, _words(exc)) from exc

    def close(self) -> None:
        self._stream.abort()
        self._stream.close()


def _options(wanted: Wanted) -> dict[str, object]:
    microphone, speaker = wanted.microphone, wanted.speaker
    shared: dict[str, object] = {
        "samplerate": wanted.rate_hz,
        "blocksize": wanted.period_frames,
        "dtype": "int16",
        "latency": wanted.latency_s,
    }
    channels = wanted.microphone_channels, wanted.speaker_channels
    if microphone is None:
        assert speaker is not None, "a stream has a direction"
        only = {"kind": "output", "device": speaker.index, "channels": channels[1]}
        return shared | only
    if speaker is None:
        only = {"kind": "input", "device": microphone.index, "channels": channels[0]}
        return shared | only
    both = microphone.index, speaker.index
    return shared | {"kind": "duplex", "device": both, "channels": channels}


def _words(exc: Exception) -> str:
    """Return PortAudio's sentence without its numbers."""
    return str(exc.args[0]) if exc.args else "PortAudio gave no reason"
