"""The process in the middle of a bad link: `python -m tests.link.middle FAR_PID`.

It joins its own network namespace and that of another process by a pair of TUN
devices, and passes each packet on late, or not at all. Commands come as lines of JSON
on standard input; each is answered by one line. It ends with its standard input.

Needs nothing but the kernel's TUN driver: `netem` is missing in many kernels.
"""

import fcntl
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field

NEAR, FAR = "10.77.0.1", "10.77.0.2"
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
"""A device without Ethernet header and without packet information."""
PACKET = 65536
LONGEST_WAIT_S = 0.05
RR_PRIORITY = 20


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of the link; every packet passes it once in each direction."""

    base_ms: float = 0.0
    """Delay of every packet."""
    jitter_ms: float = 0.0
    """Further delay, evenly distributed; packets keep their order."""
    loss: float = 0.0
    """Share of lost packets."""
    burst: float = 1.3
    """Mean number of packets that are lost together."""
    stall_ms: float = 0.0
    """Mean length of the stalls: half of it to one and a half."""
    stall_every_s: float = 2.0
    """Mean time between stalls, exponentially distributed."""


@dataclass(slots=True)
class Direction:
    """Packets on their way from one device to the other."""

    source: int
    target: int
    rng: random.Random
    quality: Quality = Quality()
    queue: deque[tuple[float, bytes]] = field(default_factory=deque)
    """Packets and the times at which they are due, ascending."""
    passed: int = 0
    dropped: int = 0
    late_s: float = 0.0
    """Largest delay that is the fault of this process."""
    _last_s: float = 0.0
    _stalled_until_s: float = 0.0
    _next_stall_s: float = 0.0
    _gap_until_s: float = 0.0
    _is_lost: bool = False

    def change(self, quality: Quality, now_s: float, seed: str) -> None:
        """Set the quality and start the random numbers anew."""
        self.quality = quality
        self.rng.seed(seed)
        self._is_lost = False
        self._next_stall_s = now_s + self.rng.expovariate(1 / quality.stall_every_s)

    def stall(self, until_s: float) -> None:
        """Hold all packets until then; they arrive together."""
        self._stalled_until_s = until_s

    def interrupt(self, until_s: float) -> None:
        """Drop all packets until then."""
        self._gap_until_s = until_s

    def take(self, packet: bytes, now_s: float) -> None:
        """Drop the packet or decide when it arrives."""
        self.passed += 1
        if now_s < self._gap_until_s or self._loses():
            self.dropped += 1
            return
        quality = self.quality
        if quality.stall_ms and now_s >= self._next_stall_s:
            length_s = quality.stall_ms / 1000 * self.rng.uniform(0.5, 1.5)
            self._stalled_until_s = now_s + length_s
            pause_s = self.rng.expovariate(1 / quality.stall_every_s)
            self._next_stall_s = now_s + length_s + pause_s
        delay_ms = quality.base_ms + self.rng.uniform(0.0, quality.jitter_ms)
        due_s = max(now_s + delay_ms / 1000, self._stalled_until_s, self._last_s)
        self._last_s = due_s
        self.queue.append((due_s, packet))

    def deliver(self, now_s: float) -> None:
        """Write all packets that are due."""
        while self.queue and self.queue[0][0] <= now_s:
            due_s, packet = self.queue.popleft()
            self.late_s = max(self.late_s, now_s - due_s)
            # The device may be full, or down while the namespace ends.
            with suppress(OSError):
                os.write(self.target, packet)

    def _loses(self) -> bool:
        """Source: Gilbert's model; the mean length of a burst is `burst`."""
        quality = self.quality
        if not quality.loss:
            return False
        leave = 1 / quality.burst
        enter = leave * quality.loss / (1 - quality.loss)
        self._is_lost = self.rng.random() < (1 - leave if self._is_lost else enter)
        return self._is_lost


def main() -> None:
    """Join both namespaces, then pass packets on until standard input ends."""
    devices = [_device(name) for name in ("near", "far")]
    _configure(int(sys.argv[1]))
    # A link that is late itself would be measured in place of the clients.
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(RR_PRIORITY))
    there = Direction(devices[0], devices[1], random.Random())
    back = Direction(devices[1], devices[0], random.Random())
    print("up", flush=True)
    os.set_blocking(0, False)
    pending = b""
    while True:
        ready = select.select([*devices, 0], [], [], _wait_s(there, back))[0]
        for direction in (there, back):
            if direction.source in ready:
                _read(direction)
            direction.deliver(time.monotonic())
        if 0 in ready:
            if not (read := os.read(0, PACKET)):
                return
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                answer = _obey(json.loads(line), there, back)
                print(json.dumps(answer), flush=True)


def _wait_s(*directions: Direction) -> float:
    due_s = [x.queue[0][0] for x in directions if x.queue]
    left_s = min(due_s, default=float("inf")) - time.monotonic()
    return min(LONGEST_WAIT_S, max(0.0, left_s))


def _read(direction: Direction) -> None:
    while True:
        try:
            packet = os.read(direction.source, PACKET)
        except BlockingIOError:
            return
        direction.take(packet, time.monotonic())


def _obey(command: dict[str, object], *directions: Direction) -> dict[str, object]:
    """Carry out one command and return the counters, which start anew."""
    now_s = time.monotonic()
    match command:
        case {"quality": dict(quality), "seed": int(seed)}:
            for number, direction in enumerate(directions):
                direction.change(Quality(**quality), now_s, f"{seed} {number}")
        case {"stall_s": float(seconds)}:
            for direction in directions:
                direction.stall(now_s + seconds)
        case {"gap_s": float(seconds)}:
            for direction in directions:
                direction.interrupt(now_s + seconds)
    found = {
        "passed": sum(x.passed for x in directions),
        "dropped": sum(x.dropped for x in directions),
        "late_ms": 1000 * max(x.late_s for x in directions),
        "quality": asdict(directions[0].quality),
    }
    for direction in directions:
        direction.passed = direction.dropped = 0
        direction.late_s = 0.0
    return found


def _device(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN_NO_PI))
    return device


def _configure(far_pid: int) -> None:
    """Give both ends an address and a route to the other."""
    inside = f"nsenter --net=/proc/{far_pid}/ns/net ip"
    for command in (
        f"ip link set far netns {far_pid}",
        "ip link set lo up",
        f"ip addr add {NEAR} peer {FAR} dev near",
        "ip link set near up",
        f"ip route add default via {FAR} dev near",
        f"{inside} link set lo up",
        f"{inside} addr add {FAR} peer {NEAR} dev far",
        f"{inside} link set far up",
    ):
        name, *arguments = command.split()
        subprocess.run([shutil.which(name) or name, *arguments], check=True)


if __name__ == "__main__":
    main()
