"""Names of pins from other programs in the configuration."""

import pytest

from appliance.config.load import load
from appliance.errors import ConfigError


def advice(setting: str) -> str:
    """Return the sentence after the value that was found."""
    with pytest.raises(ConfigError) as caught:
        load(None, (setting,), {})
    (fault,) = caught.value.faults
    return fault.sentence.partition("found ")[2].partition(". ")[2]


@pytest.mark.parametrize("written", ["GPIO17", "gpio 17", "BCM17", "'17'", "017"])
def test_another_spelling_of_a_gpio_gets_its_number_as_advice(written):
    assert advice(f"buttons.leave={written}") == "Write 17."


@pytest.mark.parametrize("written", ["BOARD13", "WPI2", "P1", "pin 17", "true", "40"])
def test_a_name_without_a_known_gpio_gets_an_example_and_no_wrong_number(written):
    assert advice(f"buttons.leave={written}") == "Write for example 27."
