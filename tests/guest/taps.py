"""Network of a run: addresses and taps in the network namespace of this process.

`SERVER` is the address of LiveKit's server, of the far end and of the proxy. The guest
has two cables: one for its network, one for the virtual USB bus alone.
"""

import array
import fcntl
import shutil
import socket
import struct
import subprocess
from pathlib import Path

from appliance.net.network_monitor import UNUSED_ADDRESSES

SERVER = "10.0.8.1"
USB_HOST = "172.16.2.1"
LAN_TAP, USB_TAP = "lantap", "usbtap"
ROUTER = "192.168.9.1/24"
SIOCETHTOOL = 0x8946
OFFLOADS = (0x24, 0x1F, 0x19, 0x17)
"""ETHTOOL_SGSO, ETHTOOL_STSO, ETHTOOL_SSG and ETHTOOL_STXCSUM."""


def namespaced(*command: str) -> list[str]:
    """Return the command for a process in namespaces of its own, which end with it."""
    unshare = shutil.which("unshare") or "unshare"
    return [
        unshare,
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        *command,
    ]


def set_up() -> None:
    """Make addresses and taps; needs a network namespace without any."""
    _ip("link", "set", "lo", "up")
    # LiveKit's clients use no loopback, and a tap is no network without the guest. The
    # far end's box counts a cable like this one as a network if it leads outside.
    _ip("link", "add", "host0", "type", "veth", "peer", "name", "host1")
    for end in ("host0", "host1"):
        _ip("link", "set", end, "up")
    _ip("address", "add", f"{SERVER}/32", "dev", "host0")
    for family, address in UNUSED_ADDRESSES:
        if family is socket.AF_INET:
            _ip("route", "add", address, "dev", "host0", "src", SERVER)
    for tap, address in ((LAN_TAP, ROUTER), (USB_TAP, f"{USB_HOST}/24")):
        _ip("tuntap", "add", tap, "mode", "tap")
        _ip("address", "add", address, "dev", tap)
        _ip("link", "set", tap, "up")
        _without_offloads(tap)
    # The guest's driver may drop packets in bursts; BBR would then be very slow.
    Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text("reno")


def silence() -> None:
    """Let nothing pass between the guest's network and the host; no link goes down."""
    for place in (LAN_TAP, "all"):
        Path(f"/proc/sys/net/ipv4/conf/{place}/rp_filter").write_text("1")
    _ip("address", "flush", "dev", LAN_TAP)


def restore() -> None:
    """Let everything pass again."""
    _ip("address", "replace", ROUTER, "dev", LAN_TAP)


def _without_offloads(tap: str) -> None:
    """Have only packets of the usual size: the guest's driver loses larger ones."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for offload in OFFLOADS:
            value = array.array("B", struct.pack("II", offload, 0))
            order = struct.pack("16sP", tap.encode(), value.buffer_info()[0])
            fcntl.ioctl(control, SIOCETHTOOL, order)


def _ip(*words: str) -> None:
    subprocess.run([shutil.which("ip") or "ip", *words], check=True)
