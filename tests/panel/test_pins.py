"""Active levels of pins, machines without pins, and missing Python packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.config import LampsConfig, Pin
from appliance.panel.pins import is_active_high, wired

OPEN_PINS = """
from appliance.panel.pins import open_factory
open_factory()
"""
OPEN_INPUT = """
from appliance.config import Pin
from appliance.panel.pins import InputPin
InputPin(None, Pin(pin=17), print)
"""
OPEN_BUS = """
from appliance.config import ScreenConfig
from appliance.panel.oled import open_oled
open_oled(ScreenConfig())
"""
REINSTALL = "Install the program again: sudo bash systemd/install.sh."


@pytest.mark.parametrize(
    ("pin", "is_button", "is_high"),
    [
        (Pin(pin=17), True, False),
        (Pin(pin=17, pull="down"), True, True),
        (Pin(pin=17, pull="none"), True, False),
        (Pin(pin=17, pull="down", active="low"), True, False),
        (Pin(pin=22), False, True),
        (Pin(pin=22, active="low"), False, False),
    ],
)
def test_the_default_active_level_follows_the_wiring(pin, is_button, is_high):
    assert is_active_high(pin, is_button=is_button) == is_high


def test_a_number_is_a_pin_with_defaults():
    talking = Pin(pin=18, active="low")
    section = LampsConfig(online=17, talking=talking)
    assert wired(section) == {"online": Pin(pin=17), "talking": talking}


def error_without(package: str, program: str) -> str:
    """Return the `PanelError` of a fresh process in which the package is missing."""
    code = f"""
import sys
from appliance.errors import PanelError

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[:{package.count(".") + 1}] == {package.split(".")!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
try:
    exec({program!r})
except PanelError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LGPIO = """
import os
print("its file is in", os.environ["LG_WD"])
RISING_EDGE, FALLING_EDGE, BOTH_EDGES = 1, 2, 3
SET_PULL_NONE, SET_PULL_UP, SET_PULL_DOWN = 0, 1, 2
class error(Exception): pass
def gpiochip_open(number):
    print("opened", number)
    return 7
def gpiochip_close(handle): pass
"""
OPEN_CHIP = """
from pathlib import Path
from appliance.panel.pins import open_factory
from tests.panel.fakes import FakeKernel

kernel = FakeKernel(Path({folder!r}), gpiochip0="brcmstb", gpiochip4="pinctrl-rp1")
kernel.refused = {refused!r}
first = open_factory(kernel.chips)
print(first.chip, open_factory(kernel.chips) is first)
"""


def chip_opened(folder: Path, refused: set[str]) -> str:
    """Return what a fresh process with an imitation of lgpio says."""
    (folder / "lgpio.py").write_text(LGPIO)
    done = subprocess.run(
        [sys.executable, "-c", OPEN_CHIP.format(folder=str(folder), refused=refused)],
        env={
            **os.environ,
            "PYTHONPATH": f"{folder}{os.pathsep}{Path.cwd()}",
            "RUNTIME_DIRECTORY": str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout + done.stderr).strip()


def test_the_chip_of_the_header_is_opened_once_whatever_its_number(tmp_path):
    said = chip_opened(tmp_path, set())
    assert said == f"its file is in {tmp_path}\nopened 4\n4 True"


def test_a_refused_chip_is_named_before_lgpio_fails_without_a_reason(tmp_path):
    (said,) = chip_opened(tmp_path, {"gpiochip4"}).splitlines()[-1:]
    assert "GPIO: no permission: " in said
    assert "gpiochip4 belongs to" in said


@pytest.mark.parametrize(
    ("package", "program", "part"),
    [
        ("gpiozero", OPEN_PINS, "GPIO"),
        ("gpiozero", OPEN_INPUT, "GPIO17"),
        ("colorzero", OPEN_PINS, "GPIO"),
        ("lgpio", OPEN_PINS, "GPIO"),
    ],
)
def test_pins_name_the_package_that_is_missing(package, program, part):
    message = error_without(package, program)
    assert message == f"{part}: the Python package {package} is missing. {REINSTALL}"


def test_a_screen_names_the_package_that_is_missing():
    message = error_without("smbus2", OPEN_BUS)
    assert message == f"OLED: the Python package smbus2 is missing. {REINSTALL}"
