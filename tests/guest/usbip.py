"""USB devices served over the USB/IP protocol, one TCP port each.

The guest's kernel binds its ordinary drivers to them. Closing the connection is the
unplug. Isochronous transfers complete on this process's monotonic clock, one packet
per millisecond, as at a full-speed port.

Source: Linux, Documentation/usb/usbip_protocol.rst.
"""

import contextlib
import heapq
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.guest.usb import Identity, Setup

SUBMIT, UNLINK = 1, 2
FULL_SPEED = 2
MAGIC = 0x56555342
HEADER = 48
STALLED, TAKEN_BACK = -32, -104
"""EPIPE and ECONNRESET."""
PACKET_S = 0.001
DEVICE_PRIORITY = 11
"""Real-time priority: a controller is faster than any program."""
CATCH_UP_S = 0.1
"""Lateness that costs no samples: a real controller is never late, but this process and
the guest wait for a processor now and then."""


@dataclass(order=True, slots=True)
class Transfer:
    """Isochronous transfer that waits for its end."""

    due_s: float
    number: int
    endpoint: int = field(compare=False)
    """With bit 7 for an input, as in its descriptor."""
    response: Callable[[], bytes] = field(compare=False)


class Device:
    """One USB device on a port of its own; a thread serves it."""

    def __init__(self, address: tuple[str, int], identity: Identity) -> None:
        """Listen on host and port."""
        self.is_plugged = True
        self._identity = identity
        self._cable: socket.socket | None = None
        self._waiting: list[Transfer] = []
        self._busy_until_s: dict[int, float] = {}
        self._server = socket.create_server(address)
        self.address = self._server.getsockname()
        """Host and port."""
        threading.Thread(target=self._serve, daemon=True).start()

    def unplug(self) -> None:
        """Pull the plug."""
        self.is_plugged = False
        self.release()

    def plug(self) -> None:
        """Put the plug in; the guest finds it within 0.3 s."""
        self.is_plugged = True

    def release(self) -> None:
        """Close the connection: a guest that was killed does not do it."""
        if cable := self._cable:
            with contextlib.suppress(OSError):
                cable.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Pull the plug and stop listening."""
        self.unplug()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def class_request(self, setup: Setup, data: bytes) -> bytes | None:
        """Answer a request of the device's class; None: it does not know it."""
        raise NotImplementedError

    def unplugged(self) -> None:
        """Forget what a device without power forgets."""

    def take(self, at_s: float, packets: Sequence[bytes], *, is_first: bool) -> None:
        """Take isochronous packets, of which the first is due at `at_s`."""

    def give(self, at_s: float, count: int) -> Sequence[bytes]:
        """Return isochronous packets, of which the first was due at `at_s`."""
        return [b""] * count

    def _serve(self) -> None:
        if os.sched_getscheduler(0) == os.SCHED_RR:
            # Of this thread alone.
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(DEVICE_PRIORITY))
        while True:
            try:
                cable, _ = self._server.accept()
            except OSError:
                # Closed.
                return
            with cable:
                if not self.is_plugged:
                    continue
                cable.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._cable = cable
                with contextlib.suppress(OSError, EOFError):
                    self._converse(cable)
                self._cable = None
                self.unplugged()

    def _converse(self, cable: socket.socket) -> None:
        self._waiting, self._busy_until_s = [], {}
        self._identity.settings.clear()
        cable.sendall(struct.pack(">II", MAGIC, FULL_SPEED))
        pending = bytearray()
        while True:
            wait_s = None
            if self._waiting:
                wait_s = max(0.0, self._waiting[0].due_s - time.monotonic())
            if select.select([cable], [], [], wait_s)[0]:
                if not (data := cable.recv(1 << 18)):
                    raise EOFError
                pending += data
                while used := self._request(cable, pending):
                    del pending[:used]
            now_s = time.monotonic()
            while self._waiting and self._waiting[0].due_s <= now_s:
                cable.sendall(heapq.heappop(self._waiting).response())

    def _request(self, cable: socket.socket, pending: bytearray) -> int:
        """Handle the first request; return its length, 0 if it is incomplete."""
        if len(pending) < HEADER:
            return 0
        command, number, _, is_input, endpoint = struct.unpack_from(">5I", pending)
        if command == UNLINK:
            (victim,) = struct.unpack_from(">I", pending, 20)
            cable.sendall(self._take_back(number, victim))
            return HEADER
        _, length, _, count, _ = struct.unpack_from(">Iiiii", pending, 20)
        count, sent = max(0, count), 0 if is_input else length
        end: int = HEADER + sent + 16 * count
        if len(pending) < end:
            return 0
        data = bytes(pending[HEADER : HEADER + sent])
        if count:
            places = list(struct.iter_unpack(">4I", pending[HEADER + sent : end]))
            parts = [data[x[0] : x[0] + x[1]] for x in places]
            self._schedule(number, endpoint | is_input << 7, parts, places)
        else:
            setup = Setup(*struct.unpack("<BBHHH", pending[40:48]))
            cable.sendall(self._control(number, setup, data))
        return end

    def _take_back(self, number: int, victim: int) -> bytes:
        """Cancel a transfer.

        It takes no time then: otherwise a stream that is restarted often would stand
        still for seconds.
        """
        found = [x for x in self._waiting if x.number == victim]
        self._waiting = [x for x in self._waiting if x.number != victim]
        heapq.heapify(self._waiting)
        for endpoint in {x.endpoint for x in found}:
            left = [x.due_s for x in self._waiting if x.endpoint == endpoint]
            self._busy_until_s[endpoint] = max(left, default=0.0)
        status = TAKEN_BACK if found else 0
        return struct.pack(">5Ii24x", 4, number, 0, 0, 0, status)

    def _control(self, number: int, setup: Setup, data: bytes) -> bytes:
        answer = self._identity.answer(setup)
        if answer is None:
            answer = self.class_request(setup, data)
        status = STALLED if answer is None else 0
        answer = (answer or b"")[: setup.length] if setup.is_input else b""
        length = len(answer) if setup.is_input or status else len(data)
        return _response(number, status, length, 0) + answer

    def _schedule(
        self,
        number: int,
        endpoint: int,
        parts: list[bytes],
        places: list[tuple[int, ...]],
    ) -> None:
        """Have an isochronous transfer complete when its packets have passed."""
        now_s = time.monotonic()
        begin_s = self._busy_until_s.get(endpoint, 0.0)
        if begin_s < now_s - CATCH_UP_S:
            begin_s = now_s
        end_s = begin_s + len(places) * PACKET_S
        self._busy_until_s[endpoint] = end_s
        if endpoint < 0x80:
            self.take(begin_s, parts, is_first=begin_s == now_s)

        def response() -> bytes:
            got = self.give(begin_s, len(places)) if endpoint >= 0x80 else ()
            lengths = [len(x) for x in got or parts]
            table = (
                struct.pack(">4I", *place[:2], length, 0)
                for place, length in zip(places, lengths, strict=True)
            )
            head = _response(number, 0, sum(lengths), len(places))
            return head + b"".join(got) + b"".join(table)

        heapq.heappush(self._waiting, Transfer(end_s, number, endpoint, response))


def _response(number: int, status: int, length: int, packets: int) -> bytes:
    """Return the header of a completed transfer."""
    start_frame, errors = 0, 0
    return struct.pack(
        ">5Iiiiii8x", 3, number, 0, 0, 0, status, length, start_frame, packets, errors
    )
