"""PortAudio driver on top of the package sounddevice.

The callback is a native PortAudio callback, because sounddevice's wrapper creates two
buffers and a status object and makes three calls per period. Within an idle window it
only counts. Measured: a third less CPU time on the card's thread.

The only module that uses private parts of sounddevice; `tests/audio/test_portaudio.py`
lists them and the versions. Streams are opened with `Pa_OpenStream`, because
sounddevice's constructor reads the device's name and raises where it is not UTF-8.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, TypeAlias

from appliance.audio.alsa_errors import reason_in, stderr_of, with_host_text
from appliance.audio.devices import Device
from appliance.audio.driver import (
    SAMPLE_BYTES,
    PeriodCallback,
    Raw,
    Stream,
    StreamRequest,
)
from appliance.audio.realtime import raise_priority
from appliance.core import fault_table
from appliance.errors import SoundError

Sounddevice: TypeAlias = Any
"""The module sounddevice, which has hardly any type annotations."""
ANY_CARD: Final = "sound"
"""Device name in errors that concern no single card."""
Times: TypeAlias = Any
"""Pointer to `PaStreamCallbackTimeInfo`."""
_NOTHING: Final = memoryview(b"")
_WITH_HOST: Final = 3
"""Number of arguments of a `PortAudioError` with the host's error number and text."""


class PortAudio:
    """PortAudio through sounddevice; implements `driver.Driver`."""

    def __init__(self) -> None:
        """Import sounddevice, which initialises PortAudio, or raise `SoundError`."""
        self._driver: Sounddevice = _imported()
        if not self._driver._initialized:
            self.renew()

    def devices(self) -> Iterable[Mapping[str, object]]:
        """Return the devices found at the last initialisation.

        Raises:
            SoundError: PortAudio cannot list its devices.
        """
        # Not `query_devices`, which raises for all if one name is not UTF-8.
        driver = self._driver
        with self._named(ANY_CARD):
            count: int = driver._check(driver._lib.Pa_GetDeviceCount())
            return [self._device(index) for index in range(count)]

    def renew(self) -> None:
        """Initialise PortAudio again, because it finds new cards only then.

        Raises:
            SoundError: it cannot be initialised, as with an error in asound.conf.
        """
        with self._named(ANY_CARD):
            while self._driver._initialized:
                self._driver._terminate()
        try:
            self._driver._initialize()
        except (self._driver.PortAudioError, UnicodeError) as exc:
            raise SoundError(ANY_CARD, self._cause() or _reason(exc)) from exc

    def can(self, wanted: StreamRequest) -> bool:
        """Return whether PortAudio supports such a stream."""
        heard, played = self._parameters(wanted)
        supported = self._driver._lib.Pa_IsFormatSupported
        return bool(supported(heard, played, wanted.rate_hz) >= 0)

    def open(self, wanted: StreamRequest, callback: PeriodCallback) -> Stream:
        """Open a stream.

        Raises:
            SoundError: PortAudio refuses.
        """
        driver, run = self._driver, self._native(wanted, callback)
        stream = driver._ffi.new("PaStream**")
        heard, played = self._parameters(wanted)
        rate_hz, frames = wanted.rate_hz, wanted.period_frames
        null, no_flags = driver._ffi.NULL, driver._lib.paNoFlag
        with self._named(wanted.device_name):
            driver._check(
                driver._lib.Pa_OpenStream(
                    stream, heard, played, rate_hz, frames, no_flags, run, null
                )
            )
        return _Opened(driver, stream[0], run, self._named, wanted.device_name)

    def _device(self, index: int) -> Mapping[str, object]:
        """Return the needed part of the result of `sounddevice.query_devices`."""
        info = self._driver._lib.Pa_GetDeviceInfo(index)
        return {
            "name": self._driver._ffi.string(info.name).decode(errors="replace"),
            "max_input_channels": info.maxInputChannels,
            "max_output_channels": info.maxOutputChannels,
            "default_samplerate": info.defaultSampleRate,
        }

    def _parameters(self, wanted: StreamRequest) -> tuple[object, object]:
        """Return PortAudio's parameters for both directions; NULL for an unused one."""

        def one(device: Device | None, channels: int) -> object:
            ffi, lib = self._driver._ffi, self._driver._lib
            if device is None:
                return ffi.NULL
            facts = device.index, channels, lib.paInt16, wanted.latency_s, ffi.NULL
            return ffi.new("PaStreamParameters*", facts)

        return (
            one(wanted.microphone, wanted.microphone_channels),
            one(wanted.speaker, wanted.speaker_channels),
        )

    def _cause(self) -> str:
        """Return ALSA's reason why PortAudio cannot be initialised."""
        lib = self._driver._lib

        # sounddevice redirects the messages to /dev/null, so repeat it without.
        def initialize() -> None:
            if lib.Pa_Initialize() >= 0:
                lib.Pa_Terminate()

        return reason_in(stderr_of(initialize))

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Convert sounddevice's exceptions into `SoundError`."""
        try:
            yield
        except (self._driver.PortAudioError, UnicodeError) as exc:
            raise SoundError(name, _reason(exc)) from exc

    def _native(self, wanted: StreamRequest, callback: PeriodCallback) -> object:
        """Return the native callback as a pointer."""
        ffi, idle_window, call = self._driver._ffi, callback.idle_window, callback.call
        buffer: Callable[[object, int], Raw] = ffi.buffer
        fill: Callable[[object, bytes, int], None] = ffi.memmove
        heard_bytes = wanted.period_frames * SAMPLE_BYTES * wanted.microphone_channels
        played_bytes = wanted.period_frames * SAMPLE_BYTES * wanted.speaker_channels
        silence = bytes(played_bytes)
        go_on: int = self._driver._lib.paContinue
        is_urgent = False

        def run(
            heard: object, played: object, _: int, times: Times, status: int, *__: int
        ) -> int:
            # Runs 100 times a second: no calls or objects that are not needed.
            if idle_window.left and not status and not idle_window.is_over:
                idle_window.left -= 1
                if played_bytes:
                    fill(played, silence, played_bytes)
                return go_on
            nonlocal is_urgent
            if not is_urgent:
                is_urgent = True
                raise_priority()
            call(
                buffer(heard, heard_bytes) if heard_bytes else _NOTHING,
                buffer(played, played_bytes) if played_bytes else _NOTHING,
                status,
                times.inputBufferAdcTime if heard_bytes else 0.0,
            )
            return go_on

        pointer: object = ffi.callback(
            "PaStreamCallback", run, error=self._driver._lib.paAbort
        )
        return pointer


class _Opened:
    """Open stream, with the reference that keeps the native callback alive."""

    def __init__(
        self,
        driver: Sounddevice,
        stream: object,
        run: object,
        named: Callable[[str], AbstractContextManager[None]],
        name: str,
    ) -> None:
        self._driver = driver
        self._stream = stream
        self._run = run
        self._named = named
        self._name = name

    @property
    def latency_s(self) -> float:
        info = self._driver._lib.Pa_GetStreamInfo(self._stream)
        return float(info.inputLatency + info.outputLatency) if info else 0.0

    def start(self) -> None:
        with self._named(self._name):
            self._driver._check(self._driver._lib.Pa_StartStream(self._stream))

    def close(self) -> None:
        stream, self._stream = self._stream, self._driver._ffi.NULL
        if stream:
            self._driver._lib.Pa_AbortStream(stream)
            self._driver._lib.Pa_CloseStream(stream)


def _imported() -> Sounddevice:
    """Return the module sounddevice, even if PortAudio cannot be initialised.

    sounddevice does that in its last line. If it fails, an ordinary import discards the
    module and executes it again at the next attempt, and each attempt leaks memory.
    """
    name = "sounddevice"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise SoundError(ANY_CARD, fault_table.SOUND_PACKAGE.text())
    module: Sounddevice = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (OSError, ImportError) as exc:
        del sys.modules[name]
        raise SoundError(ANY_CARD, fault_table.SOUND_LIBRARY.text(error=exc)) from exc
    except Exception as exc:
        if isinstance(exc, module.PortAudioError):
            return module
        del sys.modules[name]
        raise
    return module


def _reason(exc: Exception) -> str:
    """Return PortAudio's message, with the host's error text if there is one."""
    sentence = str(exc.args[0]) if exc.args else "PortAudio gave no reason"
    if isinstance(exc, UnicodeError):
        sentence = str(exc)
    host = exc.args[2][2] if len(exc.args) == _WITH_HOST else ""
    return with_host_text(sentence, host)
