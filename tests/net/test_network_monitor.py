"""The address of this machine, and its changes."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from appliance.core.events import LinkChanged
from appliance.net import network_monitor
from appliance.net.network_monitor import Interface, NetworkMonitor, lan_address

IN_NAMESPACE = """
import asyncio, json, subprocess
from appliance.net.network_monitor import NetworkMonitor

def ip(*words):
    subprocess.run(["ip", *words], check=True)

async def main():
    events = asyncio.Queue()
    async with NetworkMonitor(events.put_nowait, settle_s=0.01):
        async def told():
            async with asyncio.timeout(30):
                event = await events.get()
            print(json.dumps([event.address, *event.sources]), flush=True)
        await told()
        ip("link", "set", "lo", "up")
        # As a container has it that is on the LAN: without a carrier if the cable is.
        ip("link", "add", "cable", "type", "veth", "peer", "name", "socket")
        ip("link", "add", "link", "cable", "name", "box", "type", "macvlan")
        ip("address", "add", "10.1.2.3/24", "dev", "box")
        ip("link", "add", "tunnel", "type", "veth", "peer", "name", "far")
        for name in "socket", "cable", "box", "far", "tunnel":
            # Without IPv6 addresses, whose changes would be noticed as well.
            ip("link", "set", name, "addrgenmode", "none")
            ip("link", "set", name, "up")
        await told()
        ip("route", "add", "default", "dev", "box")
        await told()
        ip("address", "add", "10.8.1.2/24", "dev", "tunnel")
        ip("route", "add", "default", "dev", "tunnel", "table", "7")
        # The changes before are no change of the link: the rule alone must do.
        await asyncio.sleep(0.5)
        ip("rule", "add", "table", "7")
        await told()
        ip("rule", "del", "table", "7")
        await told()
        ip("link", "set", "socket", "down")
        await told()
        ip("link", "set", "tunnel", "down")
        await told()

asyncio.run(main())
"""


def interface(name, *addresses, virtual=False, carrier=True):
    return Interface(name, addresses, is_running=carrier, is_hardware=not virtual)


class Network:
    """Fake network whose address and change reports a test sets."""

    def __init__(self, address=None):
        self.link = LinkChanged(address)
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(0)
        self.theirs.settimeout(0)
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
        with contextlib.suppress(BlockingIOError):
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
        goes_on.append(is_called.wait(30))
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
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    apart = [shutil.which("unshare") or "unshare", "--net", *user]
    if subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("NOT TESTED, this user may not use a network namespace")
    command = [*apart, sys.executable, "-c", IN_NAMESPACE]
    done = subprocess.run(
        command, check=False, text=True, timeout=60, capture_output=True
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told == [
        [None],
        ["10.1.2.3"],
        ["10.1.2.3", "10.1.2.3"],
        ["10.8.1.2", "10.8.1.2"],
        ["10.1.2.3", "10.1.2.3"],
        ["10.8.1.2", "10.1.2.3"],
        [None],
    ], done.stderr


LAN, VPN, PPP, BRIDGE = "192.168.1.5", "10.8.0.2", "100.64.0.9", "172.17.0.1"
WLAN = interface("wlan0", LAN)
NO_WLAN = interface("wlan0", LAN, carrier=False)
PORT = interface("eth0")
WIREGUARD = interface("wg0", VPN, virtual=True)
MODEM = interface("ppp0", PPP)
DOCKER = interface("docker0", BRIDGE, virtual=True)


@pytest.mark.parametrize(
    ("interfaces", "sources", "expected"),
    [
        ([], [LAN], None),
        ([WLAN], [], LAN),
        ([WLAN], [VPN], LAN),
        ([NO_WLAN], [LAN], None),
        # A VPN and the bridge of containers, with and without the network below them.
        ([WLAN, WIREGUARD, DOCKER], [VPN], LAN),
        ([NO_WLAN, WIREGUARD, DOCKER], [VPN], None),
        ([PORT, DOCKER], [], None),
        # The hardware is the port of a bridge.
        ([PORT, interface("br0", LAN, virtual=True)], [LAN], LAN),
        # A modem.
        ([NO_WLAN, MODEM], [PPP], PPP),
        ([NO_WLAN, MODEM, WIREGUARD], [VPN], PPP),
        ([WLAN, MODEM], [LAN], LAN),
        # In a container.
        ([interface("eth0", LAN, virtual=True)], [LAN], LAN),
        ([interface("eth0", LAN, virtual=True)], [], LAN),
    ],
)
def test_a_network_needs_a_carrier_on_hardware_if_there_is_any(
    interfaces, sources, expected
):
    assert lan_address(interfaces, sources) == expected


@pytest.mark.parametrize(
    ("have", "sources", "expected"),
    [
        ([LAN], [], LAN),
        ([LAN, "10.5.0.1"], ["10.5.0.1"], "10.5.0.1"),
        (["2001:db8::6", LAN], [], LAN),
        (["169.254.7.7", "2001:db8::6"], [], "2001:db8::6"),
        (["169.254.7.7"], [], "169.254.7.7"),
        ([LAN], ["10.7.7.7"], LAN),
    ],
)
def test_the_default_routes_address_is_preferred_and_ipv4_to_ipv6(
    have, sources, expected
):
    interfaces = [interface(text, text) for text in have]
    assert lan_address(interfaces, sources) == expected


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("20010db8000000000000000000000005 02 40 00 80 wlan0", ["2001:db8::5"]),
        # Tentative, in use by another machine, and link-local.
        ("20010db8000000000000000000000005 02 40 00 c0    wlan0\n", None),
        ("20010db8000000000000000000000005 02 40 00 88    wlan0\n", None),
        ("fe800000000000000000000000000001 02 40 20 80    wlan0\n", None),
    ],
)
def test_ipv6_addresses_are_those_that_other_machines_can_use(table, expected):
    found = network_monitor.ipv6_addresses(table)
    assert found == ({"wlan0": tuple(expected)} if expected else {})


def test_the_interfaces_of_this_machine_are_those_that_ip_lists():
    program = shutil.which("ip") or "/sbin/ip"
    listed = subprocess.run(
        [program, "-json", "address"], check=True, capture_output=True
    )
    expected = {
        each["ifname"]: {x["local"] for x in each["addr_info"] if x["scope"] != "link"}
        for each in json.loads(listed.stdout)
        if each["ifname"] != "lo"
    }
    known = {each.name: set(each.addresses) for each in network_monitor.interfaces()}
    assert known == expected
