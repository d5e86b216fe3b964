"""Plugs the USB devices that the host serves into the guest's virtual USB controller.

Each TCP port of the host is one device. The connection is the cable: the kernel speaks
USB/IP on it, and when the host closes it the device is unplugged. A closed cable is
connected again as soon as the host answers.
"""

import contextlib
import os
import socket
import struct
import subprocess
import time
from pathlib import Path

HOST = "172.16.2.1"
ADDRESS = "172.16.2.15/24"
PORTS = (3240, 3241)
CONTROLLER = Path("/sys/devices/platform/vhci_hcd.0")
FREE, MAGIC = "004", 0x56555342
EVERY_S = 0.3


def main() -> None:
    use_own_network("vec0")
    held: dict[int, int] = {}
    while True:
        states = {port: state for port, _, state in controller_ports()}
        for port in PORTS:
            if port in held and states.get(held[port]) != FREE:
                continue
            held.pop(port, None)
            with contextlib.suppress(OSError):
                if (place := attached(port)) is not None:
                    held[port] = place
        time.sleep(EVERY_S)


def use_own_network(device: str) -> None:
    """Move the cable into a network namespace of this process.

    The guest's own network can then go down without unplugging anything.
    """
    os.unshare(os.CLONE_NEWNET)
    move = ["ip", "link", "set", device, "netns", str(os.getpid())]
    subprocess.run(["nsenter", "--target", "1", "--net", *move], check=True)
    subprocess.run(["ip", "address", "add", ADDRESS, "dev", device], check=True)
    subprocess.run(["ip", "link", "set", device, "up"], check=True)


def controller_ports() -> list[tuple[int, str, str]]:
    """Return number, speed and state of the controller's ports."""
    lines = (CONTROLLER / "status").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return [(int(port), hub, state) for hub, port, state, *_ in fields]


def attached(port: int) -> int | None:
    """Connect and hand the connection to the kernel; return the controller's port."""
    with socket.create_connection((HOST, port), 2.0) as cable:
        cable.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hello = cable.recv(8, socket.MSG_WAITALL)
        if len(hello) < 8:
            return None
        magic, speed = struct.unpack(">II", hello)
        assert magic == MAGIC
        cable.settimeout(None)
        free = [
            n for n, hub, state in controller_ports() if (hub, state) == ("hs", FREE)
        ]
        order = f"{free[0]} {cable.fileno()} {free[0] + 1} {speed}"
        (CONTROLLER / "attach").write_text(order)
    time.sleep(0.05)
    prefer_the_controller()
    return free[0]


def prefer_the_controller() -> None:
    """Give the controller's threads the priority of interrupts, as a real one has."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name = (process / "comm").read_text()
            if name.startswith(("vhci_rx", "vhci_tx", "ksoftirqd")):
                priority = os.sched_param(60)
                os.sched_setscheduler(int(process.name), os.SCHED_FIFO, priority)


if __name__ == "__main__":
    main()
