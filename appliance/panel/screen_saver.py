"""Burn-in protection for OLEDs: dimming, switching off, moving the picture; pure."""

from enum import Enum, auto

from appliance.config import ScreenConfig
from appliance.core.view import View

DRIFT_S = 60.0
"""Time between two steps of the picture's drift; as in kvmd."""


class ScreenSaverState(Enum):
    """Brightness of the screen."""

    BRIGHT = auto()
    DIM = auto()
    DARK = auto()


def brightness(idle_s: float, config: ScreenConfig) -> ScreenSaverState:
    """Return the brightness after this idle time."""
    if 0 < config.sleep_after_s <= idle_s:
        return ScreenSaverState.DARK
    if 0 < config.dim_after_s <= idle_s:
        return ScreenSaverState.DIM
    return ScreenSaverState.BRIGHT


def next_change_s(now_s: float, idle_s: float, config: ScreenConfig) -> float:
    """Return the time until brightness or drift change."""
    limits_s = (config.dim_after_s, config.sleep_after_s)
    changes_s = (limit_s - idle_s for limit_s in limits_s if limit_s > idle_s)
    return min((DRIFT_S - now_s % DRIFT_S, *changes_s))


def drift_step(now_s: float) -> int:
    """Return the number of the present step of the drift."""
    return int(now_s // DRIFT_S)


def activity(view: View) -> tuple[object, ...]:
    """Return the parts of the view whose changes wake the screen.

    The banner is not among them: its countdown would keep the screen on as long
    as there is no network.
    """
    return (
        view.connection,
        view.talk,
        view.speakers,
        view.chat,
        view.faults,
        view.screen_page,
        view.volume_percent,
        view.preset,
    )
