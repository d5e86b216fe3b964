"""USB headset: mono microphone and stereo speaker at 48 kHz, with volume controls.

Source: USB Device Class Definition for Audio Devices 1.0, chapters 4 and 5.
"""

import struct
import threading
import time
from collections.abc import Sequence

import numpy as np

from tests.card.asound import Samples
from tests.guest.usb import Identity, Setup
from tests.guest.usbip import Device

IDS = 0x1209, 0x0001
"""Vendor and product; pid.codes' numbers for tests."""
RATE_HZ = 48_000
PER_MS = RATE_HZ // 1000
SPEAKER_IN, SPEAKER_VOLUME, SPEAKER = 1, 2, 3
MICROPHONE, MICROPHONE_VOLUME, MICROPHONE_OUT = 4, 5, 6
"""Numbers of terminals and units."""
STREAMING, USB_STREAM, IS_SPEAKER, IS_MICROPHONE = 0x0101, 0x0101, 0x0301, 0x0201
LOWEST, HIGHEST, STEP = -0x2000, 0, 0x100
"""Volume in 1/256 dB: -32 to 0 dB in steps of 1 dB."""
GET_CURRENT, GET_LOWEST, GET_HIGHEST, GET_STEP = 0x81, 0x82, 0x83, 0x84
MAX_S = 400.0
"""Length of the two timelines."""


class Headset(Device):
    """What its microphone hears and its speaker plays lies on one timeline.

    The timeline begins at `epoch_ns` of the monotonic clock, as that of `Card` does.
    """

    def __init__(
        self, address: tuple[str, int], epoch_ns: int, name: str = "USB Headset"
    ) -> None:
        """Listen."""
        self._epoch_s = epoch_ns / 1e9
        self._said = np.zeros(round(MAX_S * RATE_HZ), np.int16)
        self._heard = np.zeros(round(MAX_S * RATE_HZ), np.int16)
        self._lock = threading.Lock()
        self._next: dict[str, int] = {}
        self._volumes: dict[tuple[int, int], int] = {}
        super().__init__(address, Identity(*IDS, name, configuration()))

    def now_s(self) -> float:
        """Return seconds since the epoch."""
        return time.monotonic() - self._epoch_s

    def speak(self, samples: Samples, at_s: float) -> None:
        """Add samples to what the microphone hears, at seconds since the epoch."""
        first = round(at_s * RATE_HZ)
        with self._lock:
            self._said[first : first + len(samples)] = samples

    def heard(self, since_s: float, until_s: float) -> Samples:
        """Return what the speaker played; silence where nothing was sent to it."""
        first, last = round(since_s * RATE_HZ), round(until_s * RATE_HZ)
        with self._lock:
            return self._heard[first:last].copy()

    def speaker_db(self) -> float:
        """Return the volume that the guest has set for the speaker."""
        return self._volumes.get((SPEAKER_VOLUME, 2), 0) / 256

    def take(self, at_s: float, packets: Sequence[bytes], *, is_first: bool) -> None:
        """Record the left channel."""
        samples = np.frombuffer(b"".join(packets), "<i2")[::2]
        first = self._place("speaker", at_s, len(samples), is_first=is_first)
        with self._lock:
            self._heard[first : first + len(samples)] = samples

    def give(self, at_s: float, count: int) -> Sequence[bytes]:
        """Return what is said at that moment."""
        first = self._place("microphone", at_s, count * PER_MS, is_first=False)
        with self._lock:
            samples = self._said[first : first + count * PER_MS]
        data = samples.astype("<i2").tobytes().ljust(2 * count * PER_MS, b"\0")
        return [data[n : n + 2 * PER_MS] for n in range(0, len(data), 2 * PER_MS)]

    def _place(self, stream: str, at_s: float, count: int, *, is_first: bool) -> int:
        """Return the place on the timeline; a stream has no gaps from rounding."""
        wanted = round((at_s - self._epoch_s) * RATE_HZ)
        first = self._next.get(stream, wanted)
        if is_first or abs(first - wanted) > PER_MS:
            first = wanted
        self._next[stream] = first + count
        return first

    def class_request(self, setup: Setup, data: bytes) -> bytes | None:
        """Answer requests for sample rate, mute and volume."""
        target, control = setup.kind & 0x7F, (setup.index >> 8, setup.value >> 8)
        if target == 0x22:
            return RATE_HZ.to_bytes(3, "little")
        if target != 0x21:
            return None
        if not setup.is_input:
            self._volumes[control] = int.from_bytes(data, "little", signed=True)
            return b""
        if control[1] == 1:
            return bytes([self._volumes.get(control, 0) & 1])
        current = self._volumes.get(control, HIGHEST)
        values = {GET_CURRENT: current, GET_LOWEST: LOWEST, GET_STEP: STEP}
        return struct.pack("<h", values.get(setup.request, HIGHEST))


def configuration() -> bytes:
    """Return the configuration descriptor with its interfaces."""
    body = _interface(0, 0, 0, subclass=1) + _control()
    body += _streaming(1, SPEAKER_IN, channels=2, endpoint=0x01)
    body += _streaming(2, MICROPHONE_OUT, channels=1, endpoint=0x82)
    interfaces, value, powered_by_bus, in_2_ma = 3, 1, 0x80, 50
    return (
        struct.pack("<BBHBB", 9, 2, 9 + len(body), interfaces, value)
        + bytes([0, powered_by_bus, in_2_ma])
        + body
    )


def _interface(number: int, setting: int, endpoints: int, subclass: int) -> bytes:
    audio = 1
    return bytes([9, 4, number, setting, endpoints, audio, subclass, 0, 0])


def _control() -> bytes:
    """Return terminals and volume units, from USB to speaker and back."""
    units = (
        _input(SPEAKER_IN, USB_STREAM, channels=2, places=3),
        bytes([10, 0x24, 6, SPEAKER_VOLUME, SPEAKER_IN, 1, 3, 0, 0, 0]),
        _output(SPEAKER, IS_SPEAKER, SPEAKER_VOLUME),
        _input(MICROPHONE, IS_MICROPHONE, channels=1, places=0),
        bytes([9, 0x24, 6, MICROPHONE_VOLUME, MICROPHONE, 1, 3, 0, 0]),
        _output(MICROPHONE_OUT, STREAMING, MICROPHONE_VOLUME),
    )
    total = 10 + sum(map(len, units))
    head = struct.pack("<BBBHHBBB", 10, 0x24, 1, 0x0100, total, 2, 1, 2)
    return head + b"".join(units)


def _input(number: int, kind: int, channels: int, places: int) -> bytes:
    return struct.pack(
        "<BBBBHBBHBB", 12, 0x24, 2, number, kind, 0, channels, places, 0, 0
    )


def _output(number: int, kind: int, source: int) -> bytes:
    return struct.pack("<BBBBHBBB", 9, 0x24, 3, number, kind, 0, source, 0)


def _streaming(number: int, terminal: int, channels: int, endpoint: int) -> bytes:
    """Return an interface whose setting 1 streams 16-bit samples at one rate."""
    pcm, sample_bytes, bits, rates = 1, 2, 16, 1
    is_input = endpoint >= 0x80
    synchronisation = 0x05 if is_input else 0x09  # asynchronous, adaptive
    most = (PER_MS + 1) * channels * sample_bytes
    form = bytes([11, 0x24, 2, 1, channels, sample_bytes, bits, rates])
    return (
        _interface(number, 0, 0, subclass=2)
        + _interface(number, 1, 1, subclass=2)
        + struct.pack("<BBBBBH", 7, 0x24, 1, terminal, 1, pcm)
        + form
        + RATE_HZ.to_bytes(3, "little")
        + struct.pack("<BBBBHBBB", 9, 5, endpoint, synchronisation, most, 1, 0, 0)
        + struct.pack("<BBBBBH", 7, 0x25, 1, 0, 0, 0)
    )
