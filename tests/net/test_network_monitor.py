"""The address of this machine, and its changes."""

import asyncio
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import LinkChanged
from appliance.net import network_monitor
from appliance.net.network_monitor import NetworkMonitor, best_address

IN_NAMESPACE = """
import asyncio, fcntl, json, os, struct, subprocess
from appliance.net.network_monitor import NetworkMonitor

def ip(*words):
    subprocess.run(["ip", *words], check=True)

async def main():
    events = asyncio.Queue()
    async with NetworkMonitor(events.put_nowait, settle_s=0.01):
        async def told():
            event = await events.get()
            print(json.dumps([event.address, *event.sources]), flush=True)
        await told()
        ip("link", "set", "lo", "up")
        # As a container has it that is on the LAN: without a carrier if the cable is.
        ip("link", "add", "cable", "type", "veth", "peer", "name", "socket")
        ip("link", "add", "link", "cable", "name", "box", "type", "macvlan")
        ip("address", "add", "10.1.2.3/24", "dev", "box")
        for name in "socket", "cable", "box":
            ip("link", "set", name, "addrgenmode", "none")
            ip("link", "set", name, "up")
        await told()
        # Without a forwarding delay, at whose end the bridge would change its port.
        ip("link", "add", "docker0", "type", "bridge", "forward_delay", "0")
        ip("link", "add", "inner", "type", "veth", "peer", "name", "outer")
        for name in "inner", "outer", "docker0":
            # Without IPv6 addresses, whose changes would be noticed as well.
            ip("link", "set", name, "addrgenmode", "none")
        ip("link", "set", "outer", "master", "docker0")
        ip("address", "add", "172.17.0.1/16", "dev", "docker0")
        for name in "inner", "outer", "docker0":
            ip("link", "set", name, "up")
        shown = ["ip", "link", "show", "docker0", "up"]
        while b"state UP" not in subprocess.run(shown, capture_output=True).stdout:
            await asyncio.sleep(0.01)
        tunnels = []
        for number, name in enumerate(("tunnel", "tap"), start=1):
            tunnels.append(os.open("/dev/net/tun", os.O_RDWR))
            wanted = struct.pack("16sH22x", name.encode(), 0x1000 + number)
            fcntl.ioctl(tunnels[-1], 0x400454CA, wanted)
            ip("link", "set", name, "addrgenmode", "none")
            ip("address", "add", f"10.8.{number}.2/24", "dev", name)
            ip("link", "set", name, "up")
        ip("route", "add", "default", "dev", "tap", "table", "7")
        ip("route", "add", "default", "dev", "tunnel")
        await told()
        # The changes before have been told: the rule alone must do.
        ip("rule", "add", "table", "7")
        await told()
        ip("rule", "del", "table", "7")
        await told()
        ip("link", "set", "socket", "down")
        await told()
        # The kernel reports carriers up to a second late; the route alone must do. A
        # slow machine may report later still, which only makes the test less strict.
        await asyncio.sleep(1.5)
        ip("route", "replace", "default", "via", "172.17.0.9", "dev", "docker0")
        async with asyncio.timeout(30):
            await told()
        ip("link", "set", "docker0", "down")
        await told()

asyncio.run(main())
"""


def message(kind, body):
    length = 16 + len(body)
    return (struct.pack("=IHHII", length, kind, 0, 1, 0) + body).ljust(
        (length + 3) & ~3, b"\0"
    )


def attribute(kind, value):
    length = 4 + len(value)
    return (struct.pack("=HH", length, kind) + value).ljust((length + 3) & ~3, b"\0")


def link_message(index, flags):
    return message(
        network_monitor.NEW_LINK, struct.pack("=BxHiII", 0, 1, index, flags, 0)
    )


def address_message(index, text, *, scope=0, flags=0, far_end=None):
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    body = struct.pack("=BBBBI", family, 24, flags, scope, index)
    packed = socket.inet_pton(family, text)
    if far_end is not None:
        body += attribute(1, socket.inet_pton(family, far_end)) + attribute(2, packed)
    else:
        body += attribute(1, packed)
    return message(network_monitor.NEW_ADDRESS, body)


def texts(data):
    return [str(address.address) for address in network_monitor.addresses(data)]


class Network:
    """Fake network whose address and change reports a test sets."""

    def __init__(self, address=None):
        self.link = LinkChanged(address)
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(0)
        self.looks = 0
        self.fault: Exception | None = None
        """Raised by each reading from then on."""

    def watch(self):
        return self.ours

    def read_link(self):
        self.looks += 1
        if self.fault is not None:
            raise self.fault
        return self.link

    def announce(self, address, *sources):
        self.link = LinkChanged(address, sources)
        self.theirs.send(b"something changed")


@pytest.fixture
def network():
    network = Network("10.0.0.7")
    yield network
    network.ours.close()
    network.theirs.close()


def watching(network, post):
    return NetworkMonitor(
        post, read_link=network.read_link, watch=network.watch, settle_s=0.001
    )


async def test_the_first_link_is_posted_and_then_only_changes(network):
    events = asyncio.Queue[object]()
    async with watching(network, events.put_nowait):
        assert await events.get() == LinkChanged("10.0.0.7")
        network.announce("10.0.0.7")
        network.announce(None)
        assert await events.get() == LinkChanged(None)
        network.announce("10.0.0.8")
        assert await events.get() == LinkChanged("10.0.0.8")
        network.announce("10.0.0.8", "10.8.0.2")
        assert await events.get() == LinkChanged("10.0.0.8", ("10.8.0.2",))
    assert events.empty()


async def test_a_burst_of_changes_is_one_reading(network):
    events = asyncio.Queue[object]()
    async with watching(network, events.put_nowait):
        await events.get()
        for _ in range(100):
            network.announce("10.0.0.8")
        await events.get()
    assert network.looks == 2


async def test_a_system_without_netlink_is_logged_and_runs(network, caplog):
    def forbidden():
        raise OSError(97, "Address family not supported by protocol")

    events: list[object] = []
    async with NetworkMonitor(events.append, watch=forbidden):
        pass
    assert events == []
    assert "network cannot be watched" in caplog.text


async def test_a_kernel_that_does_not_answer_is_logged_once(network, caplog):
    def fail():
        network.looks += 1
        if network.looks == 3:
            looked.set()
        raise TimeoutError(110, "timed out")

    looked = asyncio.Event()
    events: list[object] = []
    caplog.set_level("WARNING")
    async with NetworkMonitor(
        events.append, read_link=fail, watch=network.watch, settle_s=0
    ):
        while not looked.is_set():
            network.announce(None)
            await asyncio.sleep(0)
    assert events == []
    assert caplog.messages == ["network cannot be read  reason=[Errno 110] timed out"]


async def test_a_reading_that_failed_is_repeated_without_a_change(network):
    events = asyncio.Queue[object]()
    network.fault = TimeoutError(110, "timed out")
    monitor = NetworkMonitor(
        events.put_nowait,
        read_link=network.read_link,
        watch=network.watch,
        settle_s=0.001,
        retry_s=0.01,
    )
    async with monitor, asyncio.timeout(10):
        while network.looks < 1:
            await asyncio.sleep(0)
        network.fault = None
        assert await events.get() == LinkChanged("10.0.0.7")
        await asyncio.sleep(0.1)
        assert network.looks == 2
        network.fault = TimeoutError(110, "timed out")
        network.announce("10.0.0.8")
        while network.looks < 4:
            await asyncio.sleep(0)
        network.fault = None
        assert await events.get() == LinkChanged("10.0.0.8")


async def test_a_kernel_that_does_not_answer_does_not_stop_the_event_loop(network):
    loop, goes_on = asyncio.get_running_loop(), []

    def read_link():
        # Meanwhile the loop must be able to call this.
        is_called = threading.Event()
        loop.call_soon_threadsafe(is_called.set)
        goes_on.append(is_called.wait(1))
        return network.read_link()

    events = asyncio.Queue[object]()
    monitor = NetworkMonitor(
        events.put_nowait, read_link=read_link, watch=network.watch, settle_s=0.001
    )
    async with monitor:
        await events.get()
        network.announce(None)
        await events.get()
    assert goes_on == [True, True]


async def test_closing_twice_is_fine(network):
    link = watching(network, print)
    async with link:
        pass
    await link.__aexit__(None, None, None)


async def test_an_unexpected_error_ends_the_process(network):
    async def watch():
        async with watching(network, print):
            network.fault = ZeroDivisionError()
            network.announce(None)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await watch()
    assert caught.group_contains(ZeroDivisionError)


def test_changes_of_a_real_network_are_posted():
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("NOT TESTED, this user may not use /dev/net/tun")
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    unshare = shutil.which("unshare") or "unshare"
    command = [unshare, "--net", *user, sys.executable, "-c", IN_NAMESPACE]
    done = subprocess.run(
        command, check=False, text=True, timeout=60, capture_output=True
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told == [
        [None],
        ["10.1.2.3"],
        ["10.1.2.3", "10.8.1.2"],
        ["10.1.2.3", "10.8.2.2"],
        ["10.1.2.3", "10.8.1.2"],
        [None],
        ["172.17.0.1", "172.17.0.1"],
        [None],
    ], done.stderr


def virtual_link(index, kind, *, flags=0x41):
    body = struct.pack("=BxHiII", 0, 1, index, flags, 0)
    return message(network_monitor.NEW_LINK, body + attribute(18, attribute(1, kind)))


def test_the_kind_of_each_interface_is_read():
    data = (
        link_message(1, 0x8)
        + virtual_link(2, b"bridge\0")
        + virtual_link(3, b"tun\0")
        + link_message(4, 0x41)
    )
    assert network_monitor.kinds(data) == {2: b"bridge", 3: b"tun", 4: b""}


LINKS = {
    "no wlan": link_message(2, 0x1003),
    "wlan": link_message(2, 0x11043),
    "ppp": virtual_link(5, b"ppp\0", flags=0x110D1),
    "bridge": virtual_link(3, b"bridge\0"),
    "tap": virtual_link(4, b"tun\0"),
    "wireguard": virtual_link(4, b"wireguard\0", flags=0x100D1),
    "ovpn": virtual_link(4, b"ovpn\0", flags=0x110D1),
    "ovpn-dco": virtual_link(4, b"ovpn-dco\0", flags=0x110D1),
    "shaper": virtual_link(6, b"ifb\0", flags=0x100C3),
}
LAN, VPN, TAP, PPP = "192.168.1.5", "10.8.0.2", "10.147.17.3", "100.64.0.9"


@pytest.mark.parametrize(
    ("links", "have", "sources", "expected"),
    [
        ("no wlan, wireguard", {4: VPN}, [VPN], None),
        ("no wlan, tap", {4: TAP}, [], None),
        ("wlan, wireguard", {2: LAN, 4: VPN}, [VPN], LAN),
        ("wlan, tap", {2: LAN, 4: TAP}, [], LAN),
        ("no wlan, bridge, wireguard", {3: "172.17.0.1", 4: VPN}, [VPN], None),
        ("no wlan, bridge", {3: "172.17.0.1"}, [], None),
        ("no wlan, bridge", {3: LAN}, [LAN], LAN),
        ("no wlan, ovpn", {4: VPN}, [VPN], None),
        ("no wlan, ovpn-dco", {4: VPN}, [VPN], None),
        ("no wlan, wireguard, shaper", {4: VPN}, [VPN], None),
        # PPP: the tunnel of a VPN, or a modem.
        ("no wlan, ppp", {5: PPP}, [], None),
        ("no wlan, ppp, tap", {5: PPP, 4: TAP}, [], None),
        ("wlan, ppp", {2: LAN, 5: PPP}, [LAN], LAN),
        ("no wlan, ppp", {5: PPP}, [PPP], PPP),
        ("no wlan, ppp, tap", {5: PPP, 4: VPN}, [VPN], PPP),
        ("ppp, tap", {5: PPP, 4: VPN}, [VPN], PPP),
        ("wlan, ppp, tap", {2: LAN, 5: PPP, 4: VPN}, [VPN], LAN),
        # The address of the bridge, whose port is `wlan`, cannot be told from that of
        # a container: the VPN has its default route.
        ("wlan, bridge, wireguard", {3: LAN, 4: VPN}, [VPN], VPN),
        # In containers: a tunnel is the only network, or is above a bridge's port.
        ("tap", {4: TAP}, [TAP], TAP),
        ("bridge, tap", {3: "172.17.0.2", 4: VPN}, [VPN], VPN),
    ],
)
def test_a_tunnel_is_no_network_without_one_below_it(links, have, sources, expected):
    data = b"".join(LINKS[name] for name in links.split(", "))
    told = b"".join(address_message(index, text) for index, text in have.items())
    known = network_monitor.addresses(told)
    assert network_monitor.lan_address(data, known, sources) == expected


def test_only_interfaces_with_a_carrier_count_and_loopback_never():
    up, running, loopback = 0x1, 0x40, 0x8
    data = (
        link_message(1, up | running | loopback)
        + link_message(2, up | running)
        + link_message(3, up)
    )
    assert network_monitor.running(data) == {2}


def test_addresses_are_those_that_other_machines_can_use():
    data = (
        address_message(2, "192.168.1.5")
        + address_message(2, "fe80::1", scope=253)
        + address_message(2, "2001:db8::5", flags=0x40)
        + address_message(2, "2001:db8::6")
        + address_message(3, "169.254.7.7", scope=253)
        + address_message(1, "127.0.0.1", scope=254)
        + address_message(4, "10.8.0.2", far_end="10.8.0.1")
    )
    assert texts(data) == ["192.168.1.5", "2001:db8::6", "169.254.7.7", "10.8.0.2"]


@pytest.mark.parametrize(
    ("have", "sources", "expected"),
    [
        ([], ["10.0.0.1"], None),
        (["10.0.0.1"], [], "10.0.0.1"),
        (["10.0.0.1", "10.5.0.1"], ["10.5.0.1"], "10.5.0.1"),
        (["2001:db8::6", "10.5.0.1"], [], "10.5.0.1"),
        (["169.254.7.7", "2001:db8::6"], [], "2001:db8::6"),
        (["169.254.7.7"], [], "169.254.7.7"),
        (["10.0.0.1"], ["10.7.7.7"], "10.0.0.1"),
    ],
)
def test_the_default_routes_address_is_preferred_if_its_interface_works(
    have, sources, expected
):
    def scope(text):
        return 253 if text.startswith("169.254") else 0

    data = b"".join(address_message(2, text, scope=scope(text)) for text in have)
    assert best_address(list(network_monitor.addresses(data)), sources) == expected


@given(st.binary(max_size=300))
def test_any_message_can_be_parsed(data):
    network_monitor.running(data)
    network_monitor.kinds(data)
    network_monitor.addresses(data)


@given(st.integers(0, 80), st.integers(0, 79), st.integers(0, 255))
def test_a_damaged_message_can_be_parsed(length, at, value):
    data = bytearray(address_message(2, "10.0.0.1") + link_message(2, 0x41))
    data[at % len(data)] = value
    network_monitor.running(bytes(data[:length]))
    network_monitor.kinds(bytes(data[:length]))
    network_monitor.addresses(bytes(data[:length]))
