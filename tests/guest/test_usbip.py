"""The protocol as the guest's kernel speaks it, against the real devices."""

import socket
import struct
import time

import numpy as np
import pytest

from tests.guest.headset import RATE_HZ, Headset, configuration
from tests.guest.i2c_adapter import I2cAdapter
from tests.guest.usbip import FULL_SPEED, MAGIC, STALLED, TAKEN_BACK

PATIENCE_S = 10.0
INPUT, OUTPUT = 1, 0
SPEAKER, MICROPHONE = 1, 2
SCREEN = 0x3C


class Kernel:
    """The other end of the cable."""

    def __init__(self, device):
        self._cable = socket.create_connection(device.address, PATIENCE_S)
        self._number = 0

    def hello(self):
        return struct.unpack(">II", self._read(8))

    def submit(
        self, endpoint, direction, *, setup=bytes(8), data=b"", length=0, packets=()
    ):
        """Send a transfer; return its number."""
        self._number += 1
        size = len(data) if direction == OUTPUT else length
        count = len(packets) or -1
        head = struct.pack(">5I", 1, self._number, 0x10002, direction, endpoint)
        self._cable.sendall(
            head
            + struct.pack(">Iiiii", 0, size, 0, count, 1)
            + setup
            + (data if direction == OUTPUT else b"")
            + b"".join(struct.pack(">4I", *place, 0, 0) for place in packets)
        )
        return self._number

    def take_back(self, victim):
        self._number += 1
        head = struct.pack(">5I", 2, self._number, 0x10002, 0, 0)
        self._cable.sendall(head + struct.pack(">I24x", victim))
        return self._number

    def response(self, direction=OUTPUT):
        """Return number, status and data of the next response."""
        fields = struct.unpack(">5Iiiiii8x", self._read(48))
        command, number, status = fields[0], fields[1], fields[5]
        length, count = fields[6], fields[8]
        if command == 4:
            return number, status, b""
        data = self._read(length) if direction == INPUT else b""
        self._read(16 * count)
        return number, status, data

    def control(self, kind, request, value=0, index=0, *, data=b"", length=0):
        """Make a control request; return status and data."""
        setup = struct.pack("<BBHHH", kind, request, value, index, length or len(data))
        direction = INPUT if kind & 0x80 else OUTPUT
        self.submit(0, direction, setup=setup, data=data, length=length)
        return self.response(direction)[1:]

    def close(self):
        self._cable.close()

    def is_unplugged(self):
        return self._cable.recv(1) == b""

    def _read(self, count):
        return self._cable.recv(count, socket.MSG_WAITALL) if count else b""


@pytest.fixture
def headset():
    device = Headset(("127.0.0.1", 0), time.monotonic_ns())
    yield device
    device.close()


@pytest.fixture
def adapter():
    device = I2cAdapter(("127.0.0.1", 0))
    yield device
    device.close()


@pytest.fixture
def plugged(headset):
    kernel = Kernel(headset)
    assert kernel.hello() == (MAGIC, FULL_SPEED)
    yield kernel
    kernel.close()


@pytest.fixture
def bus(adapter):
    kernel = Kernel(adapter)
    kernel.hello()
    yield kernel
    kernel.close()


def descriptors(data):
    """Return each descriptor by the length that it gives."""
    found = []
    while data:
        found.append(data[: data[0]])
        data = data[data[0] :]
    return found


def test_the_descriptors_of_the_headset_fill_the_length_they_give():
    whole = configuration()
    assert struct.unpack_from("<H", whole, 2) == (len(whole),)
    assert all(len(x) == x[0] for x in descriptors(whole))
    units = [x for x in descriptors(whole)[2:9] if x[1] == 0x24]
    header, *_ = units
    assert struct.unpack_from("<H", header, 5) == (sum(map(len, units)),)


def test_the_headset_streams_one_channel_in_and_two_out_at_48_khz():
    forms = [x for x in descriptors(configuration()) if x[1:3] == b"\x24\x02"]
    streams = [x for x in forms if len(x) == 11]
    assert [(x[4], x[6], int.from_bytes(x[8:11], "little")) for x in streams] == [
        (2, 16, RATE_HZ),
        (1, 16, RATE_HZ),
    ]


def test_a_descriptor_is_cut_to_what_the_kernel_asks_for(plugged):
    status, head = plugged.control(0x80, 6, 0x0200, length=9)
    assert (status, head) == (0, configuration()[:9])
    assert plugged.control(0x80, 6, 0x0200, length=4096) == (0, configuration())
    assert plugged.control(0x80, 6, 0x0302, length=255)[1][2:].decode("utf-16le") == (
        "USB Headset"
    )


def test_a_request_that_the_device_does_not_know_is_stalled(plugged):
    assert plugged.control(0xC0, 77, length=4) == (STALLED, b"")


def test_the_volume_can_be_read_and_set(plugged, headset):
    """Unit 2, control 2: in steps of 1 dB from -32 to 0 dB."""
    lowest = plugged.control(0xA1, 0x82, 0x0200, 0x0200, length=2)
    assert lowest == (0, struct.pack("<h", -32 * 256))
    set_to = struct.pack("<h", -20 * 256)
    assert plugged.control(0x21, 0x01, 0x0200, 0x0200, data=set_to) == (0, b"")
    assert plugged.control(0xA1, 0x81, 0x0200, 0x0200, length=2) == (0, set_to)
    assert headset.speaker_db() == -20.0


def test_what_the_speaker_is_sent_is_heard_when_it_is_due(plugged, headset):
    left = np.arange(1, 97, dtype="<i2")
    data = np.stack((left, -left), axis=1).tobytes()
    before_s = headset.now_s()
    number = plugged.submit(SPEAKER, OUTPUT, data=data, packets=[(0, 192), (192, 192)])
    assert plugged.response() == (number, 0, b"")
    # Not before the two packets have passed.
    assert headset.now_s() - before_s >= 0.002
    heard = headset.heard(before_s, headset.now_s())
    assert heard[heard != 0].tolist() == left.tolist()


def test_the_microphone_hears_what_is_said_at_that_moment(plugged, headset):
    headset.speak(np.full(RATE_HZ, 7, np.int16), headset.now_s())
    plugged.submit(MICROPHONE, INPUT, length=96, packets=[(0, 96)])
    _, status, data = plugged.response(INPUT)
    assert (status, data) == (0, struct.pack("<48h", *[7] * 48))


def test_transfers_that_are_queued_follow_each_other_without_a_gap(plugged, headset):
    headset.speak(np.arange(RATE_HZ // 2, dtype=np.int16), headset.now_s())
    packets = [(96 * n, 96) for n in range(10)]
    for _ in range(2):
        plugged.submit(MICROPHONE, INPUT, length=960, packets=packets)
    heard = b"".join(plugged.response(INPUT)[2] for _ in range(2))
    assert set(np.diff(np.frombuffer(heard, "<i2"))) == {1}


def test_a_transfer_that_is_taken_back_takes_no_time(plugged):
    """It would be 20 s, and the next one would come after it."""
    many = [(0, 96)] * 20_000
    victim = plugged.submit(MICROPHONE, INPUT, length=96, packets=many)
    number = plugged.take_back(victim)
    assert plugged.response() == (number, TAKEN_BACK, b"")
    number = plugged.submit(MICROPHONE, INPUT, length=96, packets=[(0, 96)])
    assert plugged.response(INPUT)[:2] == (number, 0)


def test_an_unplugged_headset_closes_its_cable_and_takes_no_other(plugged, headset):
    headset.unplug()
    assert plugged.is_unplugged()
    other = Kernel(headset)
    assert other.is_unplugged()
    other.close()
    headset.plug()
    again = Kernel(headset)
    assert again.hello() == (MAGIC, FULL_SPEED)
    again.close()


def send(bus, message, address=SCREEN):
    """Write an I²C message; return whether it is acknowledged."""
    assert bus.control(0x41, 7, 0, address, data=message)[0] == 0
    return bus.control(0xC1, 3, length=1) == (0, b"\x01")


def draw(bus, pixels):
    """Write eight pixels into all places, with the addresses that every chip knows."""
    for page in range(8):
        assert send(bus, bytes([0x00, 0xB0 + page, 0x00, 0x10]))
        assert send(bus, b"\x40" + bytes([pixels]) * 128)


def test_what_is_written_over_i2c_is_on_the_screen(bus, adapter):
    assert send(bus, b"\x00\x20\x02")
    draw(bus, 0xFF)
    assert not adapter.is_lit()
    assert send(bus, b"\x00\x8d\x14\xaf")
    assert adapter.is_lit()
    draw(bus, 0x00)
    assert not adapter.is_lit()


def test_only_a_screen_with_power_acknowledges_its_address(bus, adapter):
    assert not send(bus, b"\x00\xaf", SCREEN + 1)
    send(bus, b"\x00\xaf")
    send(bus, b"\x40\xff")
    adapter.power_off()
    assert not send(bus, b"\x00\xaf")
    adapter.power_on()
    assert send(bus, b"\x40\xff")
    assert not adapter.is_lit()
