"""Power saving of the interface that is in use."""

import errno
import os

import pytest

from appliance.doctor import checks
from appliance.doctor.hardware import wifi
from appliance.net.network_monitor import current_address, current_interface

NO_NMCLI = "/nowhere/nmcli"


def program(folder, name, output, status=0):
    """Return the path of a program that prints this, in case of an error as one."""
    script = folder / name
    stream = ">&2" if status else ""
    script.write_text(f"#!/bin/sh\necho '{output}' {stream}\nexit {status}\n")
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def interfaces(tmp_path):
    (tmp_path / "net" / "wlan0" / "wireless").mkdir(parents=True)
    (tmp_path / "net" / "wlan1" / "wireless").mkdir(parents=True)
    (tmp_path / "net" / "eth0").mkdir()
    return tmp_path / "net"


def test_the_remedy_names_the_interface_in_use_and_survives_a_restart(
    tmp_path, interfaces
):
    on = program(tmp_path, "iw", "Power save: on")
    nmcli = program(tmp_path, "nmcli", "Our home")
    finding = wifi(lambda: "wlan1", interfaces, on, nmcli)
    assert finding.found == "wlan1 power save on"
    assert (
        "sudo nmcli connection modify 'Our home' 802-11-wireless.powersave 2"
        in finding.advice
    )
    assert "sudo nmcli connection up 'Our home'" in finding.advice


def test_without_networkmanager_the_remedy_is_a_rule_for_each_start(
    tmp_path, interfaces
):
    on = program(tmp_path, "iw", "Power save: on")
    advice = wifi(lambda: "wlan1", interfaces, on, NO_NMCLI).advice
    assert 'KERNEL=="wlan1"' in advice
    assert "/etc/udev/rules.d/" in advice


def test_power_saving_that_is_off_is_good(tmp_path, interfaces):
    off = program(tmp_path, "iw", "Power save: off")
    assert wifi(lambda: "wlan0", interfaces, off, NO_NMCLI).is_good


def test_a_driver_without_power_saving_is_good(tmp_path, interfaces):
    said = "command failed: Operation not supported (-95)"
    iw = program(tmp_path, "iw", said, status=161)
    finding = wifi(lambda: "wlan0", interfaces, iw, NO_NMCLI)
    assert finding.is_good
    assert finding.found == "the driver of wlan0 has no power save"


def test_the_advice_to_install_iw_is_only_for_systems_without_it(tmp_path, interfaces):
    missing = wifi(lambda: "wlan0", interfaces, "/nowhere/iw", NO_NMCLI)
    assert "sudo apt install iw" in missing.advice
    iw = program(tmp_path, "iw", "command failed: No such device (-19)", status=237)
    failed = wifi(lambda: "wlan0", interfaces, iw, NO_NMCLI)
    assert failed.advice == f"Run sudo {iw} dev wlan0 get power_save for the reason."


def test_wifi_that_is_not_in_use_does_not_matter(tmp_path, interfaces):
    on = program(tmp_path, "iw", "Power save: on")
    finding = wifi(lambda: "eth0", interfaces, on, NO_NMCLI)
    assert (finding.found, finding.is_good) == (
        "not used, the network is on eth0",
        True,
    )
    assert wifi(lambda: None, interfaces, on, NO_NMCLI).is_good


def refused():
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_kernel_that_does_not_answer_is_a_finding(interfaces):
    assert wifi(refused, interfaces, "/nowhere/iw", NO_NMCLI).is_good
    finding = checks.network(refused)
    assert finding.found == "cannot be read"
    assert "Operation not permitted" in finding.advice


def test_without_iw_power_saving_is_unknown(interfaces):
    finding = wifi(lambda: "wlan0", interfaces, "/nowhere/iw", NO_NMCLI)
    assert finding.found == "wlan0 power save unknown"
    assert "apt install iw" in finding.advice


def test_the_interface_in_use_is_the_one_with_the_address_of_this_machine():
    assert (current_interface() is None) == (current_address() is None)
    assert current_interface() != "lo"
