"""Names of pins from other programs in the configuration."""

import pytest
from gpiozero.pins.mock import MockFactory

from appliance.config.load import load
from appliance.config.messages import HEADER, POWER, WIRING_PI, pin_hint
from appliance.errors import ConfigError

FACTORY = MockFactory(revision="902120")


def advice(setting: str) -> str:
    """Return the sentence after the value that was found."""
    with pytest.raises(ConfigError) as caught:
        load(None, (setting,), {})
    (fault,) = caught.value.faults
    return fault.sentence.partition("found ")[2].partition(". ")[2]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("BOARD13", "Write 27: BOARD13 is GPIO27."),
        ("board 13", "Write 27: board 13 is GPIO27."),
        ("J8:11", "Write 17: J8:11 is GPIO17."),
        ("P1-11", "Write 17: P1-11 is GPIO17."),
        ("WPI0", "Write 17: WPI0 is GPIO17."),
        ("wiringPi 2", "Write 27: wiringPi 2 is GPIO27."),
        ("GPIO17", "Write 17."),
        ("gpio 17", "Write 17."),
        ("BCM17", "Write 17."),
        ("D17", "Write 17."),
        ("'17'", "Write 17."),
        ("17.0", "Write 17."),
        ("PIN13", "Write 13 for GPIO13, or 27 for position 13 of the header."),
        ("pin 40", "Write 21 for position 40 of the header."),
        ("pin 17", "Write 17."),
        ("40", "If you mean position 40 of the header, write 21."),
        ("BOARD2", "BOARD2 is 5 V and no GPIO. Write another."),
        ("BOARD17", "BOARD17 is 3.3 V and no GPIO. Write another."),
        ("BOARD9", "BOARD9 is GND and no GPIO. Write another."),
        ("BOARD41", "There is no BOARD41."),
        ("BOARD27", "BOARD27 is GPIO0, which is the HAT's EEPROM. Write another."),
        ("WPI17", "There is no WPI17."),
        ("P1", "Write for example 27."),
        ("true", "Write for example 27."),
    ],
)
def test_another_name_of_a_pin_gets_its_gpio_number_as_advice(written, said):
    assert advice(f"buttons.leave={written}") == said


def test_the_long_form_of_a_pin_gets_the_same_advice():
    said = advice("buttons.leave={pin: BOARD13}")
    assert said == "Write 27: BOARD13 is GPIO27."


def test_a_position_is_no_advice_for_other_keys():
    assert "position" not in advice("sound.volume=BOARD13")


@pytest.mark.parametrize("position", range(1, 41))
def test_every_position_of_the_header_is_what_gpiozero_knows(position):
    name = f"BOARD{position}"
    if position in HEADER:
        (_, pin), *_ = FACTORY.board_info.find_pin(name)
        assert pin.name == f"GPIO{HEADER[position]}"
    else:
        assert pin_hint(name).startswith(f"{name} is {POWER[position]} and no GPIO")


@pytest.mark.parametrize("number", WIRING_PI)
def test_every_number_of_wiringpi_is_what_gpiozero_knows(number):
    (_, pin), *_ = FACTORY.board_info.find_pin(f"WPI{number}")
    assert pin.name == f"GPIO{WIRING_PI[number]}"
