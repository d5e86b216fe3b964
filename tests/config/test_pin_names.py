"""Names of pins from other programs in the configuration."""

import pytest
from gpiozero.pins.mock import MockFactory

from appliance.config.load import load
from appliance.config.messages import HEADER
from appliance.errors import ConfigError

FACTORY = MockFactory(revision="902120")


def advice(setting: str) -> str:
    """Return the sentence after the value that was found."""
    with pytest.raises(ConfigError) as caught:
        load(None, (setting,), {})
    (fault,) = caught.value.faults
    return fault.sentence.partition("found ")[2].partition(". ")[2]


@pytest.mark.parametrize("name", ["BOARD13", "board 13", "J8:13", "P1-13", "PIN13"])
def test_a_position_on_the_header_gets_its_gpio_number_as_advice(name):
    said = "If you mean position 13 of the header, write 27."
    assert advice(f"buttons.leave={name}") == said
    assert advice(f"buttons.leave={{pin: {name}}}") == said


def test_a_number_above_all_gpios_may_be_a_position():
    said = "If you mean position 40 of the header, write 21."
    assert advice("buttons.leave=40") == said


@pytest.mark.parametrize(
    "written", ["GPIO17", "gpio 17", "BCM17", "D17", "'17'", "17.0", "017"]
)
def test_another_spelling_of_a_gpio_gets_its_number_as_advice(written):
    assert advice(f"buttons.leave={written}") == "Write 17."


@pytest.mark.parametrize(
    "written", ["BOARD2", "BOARD27", "BOARD41", "WPI2", "P1", "pin 17", "true"]
)
def test_a_name_without_a_known_gpio_gets_an_example_and_no_wrong_number(written):
    assert advice(f"buttons.leave={written}") == "Write for example 27."


def test_a_position_is_no_advice_for_other_keys():
    assert "position" not in advice("sound.volume=BOARD13")


@pytest.mark.parametrize("position", range(1, 41))
def test_every_position_of_the_header_is_what_gpiozero_knows(position):
    (_, pin), *_ = FACTORY.board_info.find_pin(f"BOARD{position}")
    is_usable = pin.name.startswith("GPIO") and pin.name not in {"GPIO0", "GPIO1"}
    assert HEADER.get(position) == (int(pin.name[4:]) if is_usable else None)
