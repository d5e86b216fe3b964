"""Care of the OLED: dimming, sleep and pixel drift, which protect it from burn-in."""

from enum import Enum, auto
from typing import Final

from appliance.config import ScreenConfig
from appliance.core.view import View

DRIFT_S: Final = 60.0
"""Time between two steps of the picture's drift; as in kvmd."""


class Brightness(Enum):
    """Brightness of the screen, reduced while idle to protect the OLED from burn-in."""

    BRIGHT = auto()
    DIM = auto()
    DARK = auto()


def brightness(idle_s: float, config: ScreenConfig) -> Brightness:
    """Return the brightness after this idle time."""
    if 0 < config.sleep_after_s <= idle_s:
        return Brightness.DARK
    if 0 < config.dim_after_s <= idle_s:
        return Brightness.DIM
    return Brightness.BRIGHT


def next_change_s(now_s: float, idle_s: float, config: ScreenConfig) -> float:
    """Return the time until brightness or drift change."""
    limits_s = (config.dim_after_s, config.sleep_after_s)
    changes_s = (limit_s - idle_s for limit_s in limits_s if limit_s > idle_s)
    return min((DRIFT_S - now_s % DRIFT_S, *changes_s))


def activity(view: View) -> tuple[object, ...]:
    """Return the parts of the view whose changes wake the screen.

    Not the banner: its countdown would keep the screen on while there is no network.
    """
    state = view.connection, view.talk, view.speakers, view.chat, view.faults
    return *state, view.screen_page, view.volume_percent, view.preset
