"""Active levels of pins, and machines without pins."""

import os
import subprocess
import sys

import pytest

from appliance.config import Pin
from appliance.panel.pins import is_active_high, pin_of

FIND_PINS = """
import os
from appliance.errors import PanelError
from appliance.panel.pins import open_factory

try:
    print(type(open_factory()).__name__, os.environ["LG_WD"])
except PanelError as error:
    print(error)
"""


def found(**environment: str) -> str:
    """Return what a fresh process finds."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FIND_PINS],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


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
    assert pin_of(17) == Pin(pin=17)
    assert pin_of(Pin(pin=17)) == Pin(pin=17)
    assert pin_of(None) is None


def test_gpiozeros_own_choice_of_pins_is_respected(tmp_path):
    said = found(GPIOZERO_PIN_FACTORY="mock", RUNTIME_DIRECTORY=str(tmp_path))
    assert said == f"MockFactory {tmp_path}"


def test_a_missing_library_is_a_panel_error():
    said = found(GPIOZERO_PIN_FACTORY="nonsense")
    assert said.startswith("GPIO: this machine has no pins to use: ")
