"""Names that other programs have for the pins of the 40-pin header, as GPIO numbers.

Source: Raspberry Pi documentation, "GPIO and the 40-pin header"; gpiozero 2.0, "Pin
Numbering" (GPIO17, BCM17, BOARD11, J8:11, WPI0); WiringPi, "Pins".
"""

import re
from typing import Final

LOWEST: Final = 2
"""GPIO 0 and 1 are the HAT's EEPROM."""
HEADER: Final[dict[int, int]] = {
    3: 2,
    5: 3,
    7: 4,
    8: 14,
    10: 15,
    11: 17,
    12: 18,
    13: 27,
    15: 22,
    16: 23,
    18: 24,
    19: 10,
    21: 9,
    22: 25,
    23: 11,
    24: 8,
    26: 7,
    27: 0,
    28: 1,
    29: 5,
    31: 6,
    32: 12,
    33: 13,
    35: 19,
    36: 16,
    37: 26,
    38: 20,
    40: 21,
}
"""GPIO by position on the header."""
POWER: Final[dict[int, str]] = {
    **dict.fromkeys((1, 17), "3.3 V"),
    **dict.fromkeys((2, 4), "5 V"),
    **dict.fromkeys((6, 9, 14, 20, 25, 30, 34, 39), "GND"),
}
"""Positions without a GPIO."""
WIRING_PI: Final[dict[int, int]] = {
    0: 17,
    1: 18,
    2: 27,
    3: 22,
    4: 23,
    5: 24,
    6: 25,
    7: 4,
    8: 2,
    9: 3,
    10: 8,
    11: 7,
    12: 10,
    13: 9,
    14: 11,
    15: 14,
    16: 15,
    21: 5,
    22: 6,
    23: 13,
    24: 19,
    25: 26,
    26: 12,
    27: 16,
    28: 20,
    29: 21,
    30: 0,
    31: 1,
}
"""GPIO by WiringPi's number."""

_NUMBER: Final = r"[\s_:.#-]*(\d{1,2})"
_POSITION: Final = re.compile(rf"(?:BOARD|PHYS|PHYSICAL|HEADER|J8|P1[:_-]){_NUMBER}")
_WIRING_PI: Final = re.compile(rf"(?:WPI|WIRINGPI){_NUMBER}")
_AMBIGUOUS: Final = re.compile(rf"(?:PIN|POS|POSITION|#){_NUMBER}")


def pin_hint(value: object) -> str:
    """Return a sentence with the GPIO number that was meant; empty: none is known."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _hint_for_number(value)
    if not isinstance(value, str):
        return ""
    name = value.strip()
    if match := _POSITION.fullmatch(name.upper()):
        return _hint_for_position(name, int(match[1]))
    if match := _WIRING_PI.fullmatch(name.upper()):
        return _hint(name, WIRING_PI.get(int(match[1])))
    if match := _AMBIGUOUS.fullmatch(name.upper()):
        return _hint_for_either(int(match[1]))
    return ""


def _hint_for_number(number: int) -> str:
    """Return the hint for a number that is no GPIO of the header's."""
    name = f"position {number} of the header"
    gpio = HEADER.get(number, 0)
    return f"If you mean {name}, write {gpio}." if gpio >= LOWEST else ""


def _hint_for_position(name: str, position: int) -> str:
    if position in POWER:
        return f"{name} is {POWER[position]} and no GPIO. Write another."
    return _hint(name, HEADER.get(position))


def _hint_for_either(number: int) -> str:
    gpio = HEADER.get(number, 0)
    if gpio < LOWEST or number < LOWEST:
        return ""
    at = f"{gpio} for position {number} of the header"
    is_gpio = LOWEST <= number <= max(HEADER.values())
    return f"Write {number} for GPIO{number}, or {at}." if is_gpio else f"Write {at}."


def _hint(name: str, gpio: int | None) -> str:
    if gpio is None:
        return f"There is no {name}."
    if gpio < LOWEST:
        return f"{name} is GPIO{gpio}, which is the HAT's EEPROM. Write another."
    return f"Write {gpio}: {name} is GPIO{gpio}."
