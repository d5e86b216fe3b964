"""Faults of the configuration on the OLED of a box that cannot run."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.config import ScreenConfig
from appliance.config.load import screen_of
from appliance.errors import Fault
from appliance.panel.oled import open_oled
from appliance.panel.screen import FAULT_RETRY_S, FAULT_TRIES, show_faults
from tests.panel.fakes import FakeBus

pytestmark = pytest.mark.filterwarnings("ignore:Image.Image.getdata:DeprecationWarning")

FAULTS = (
    Fault(
        "buttons.talk", 'expected a GPIO number 2-27, found "x".', "/etc/config.yaml"
    ),
)


class SlowBus(FakeBus):
    """A bus that appears after some attempts to open it."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after
        self.slept_s: list[float] = []

    def __call__(self, number: int) -> FakeBus:
        if self.left:
            self.left -= 1
            raise FileNotFoundError(errno.ENOENT, "No such file")
        return super().__call__(number)

    def show(self, config: ScreenConfig) -> None:
        show_faults(
            config, FAULTS, lambda config: open_oled(config, self), self.slept_s.append
        )


@pytest.mark.parametrize("size", ["128x64", "128x32"])
def test_the_faults_stay_on_the_screen_dimmed_when_the_process_ends(size):
    bus = SlowBus(0)
    bus.show(ScreenConfig(size=size))
    assert (bus.is_on, bus.is_closed, bus.contrast) == (True, True, 0x01)
    lit = bus.picture(int(size[-2:])).histogram()[-1]
    assert lit > 300


def test_a_bus_that_is_late_at_boot_is_waited_for():
    bus = SlowBus(3)
    bus.show(ScreenConfig())
    assert bus.slept_s == [FAULT_RETRY_S] * 3
    assert bus.is_on


def test_a_box_without_a_screen_ends_after_some_attempts():
    bus = SlowBus(100)
    bus.show(ScreenConfig())
    assert len(bus.slept_s) == FAULT_TRIES
    assert not bus.is_on


def test_a_box_whose_screen_is_switched_off_opens_none():
    bus = SlowBus(0)
    bus.show(ScreenConfig(driver="none"))
    assert bus.transfers == 0


@pytest.mark.parametrize(
    ("text", "screen"),
    [
        ("buttons: {talk: x}\nscreen: {size: 128x32}", ScreenConfig(size="128x32")),
        ("bogus: 1\nscreen: {driver: none}", ScreenConfig(driver="none")),
        (
            "screen: {size: 128x33, rotate: 180, address: 1}",
            ScreenConfig(rotate=180),
        ),
        ("screen: {bogus: 1, size: 128x32}", ScreenConfig(size="128x32")),
        ("screen: 7", ScreenConfig()),
        ("screens: {size: 128x32}", ScreenConfig()),
        ("talk: [", ScreenConfig()),
        ("room: {}", ScreenConfig()),
    ],
)
def test_a_mistake_costs_only_its_own_key_of_the_screens_section(
    text, screen, tmp_path
):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert screen_of(path, (), {}) == screen


def test_the_screens_section_comes_from_every_source(tmp_path):
    path = tmp_path / "missing.yaml"
    settings = ("screen.rotate=180", "talk.mode=x")
    screen = screen_of(path, settings, {"PTT_SCREEN__SIZE": "128x32"})
    assert screen == ScreenConfig(rotate=180, size="128x32")


SMBUS2 = """
class SMBus:
    def __init__(self, number):
        self.log = open({log!r}, "a")
    def write_i2c_block_data(self, address, register, data):
        print(hex(address), hex(register), len(data), file=self.log)
    def read_byte_data(self, address, register):
        return 0x06
    def close(self):
        self.log.close()
"""


@pytest.mark.parametrize("is_service", [True, False], ids=["service", "terminal"])
def test_a_service_with_a_wrong_configuration_shows_it_on_the_oled(
    is_service, tmp_path
):
    log = tmp_path / "bus"
    (tmp_path / "smbus2.py").write_text(SMBUS2.format(log=str(log)))
    ours, journal = socket.socketpair()
    with ours, journal:
        status = os.fstat(journal.fileno())
        stream = f"{status.st_dev}:{status.st_ino}" if is_service else "1:1"
        path = os.pathsep.join([str(tmp_path), str(Path.cwd())])
        command = ["-W", "ignore", "-m", "appliance", "run", "--set", "talk.mode=x"]
        done = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, "JOURNAL_STREAM": stream, "PYTHONPATH": path},
            stderr=journal.fileno(),
            check=False,
        )
        said = ours.recv(10_000).decode()
    assert done.returncode == 78
    assert "talk.mode: expected" in said
    assert log.exists() == is_service
