"""How bright the screen is, and where the picture lies: OLEDs wear out (R4.5); pure."""

from enum import Enum, auto

from appliance.config import ScreenConfig
from appliance.core.view import View

DRIFT_S = 60.0
"""Between two steps of the picture's drift; kvmd's figure."""


class ScreenSaverState(Enum):
    """How bright the screen is."""

    BRIGHT = auto()
    DIM = auto()
    DARK = auto()


def glow(idle_s: float, config: ScreenConfig) -> ScreenSaverState:
    """Return how bright a screen is after nothing has happened for so long."""
    if 0 < config.sleep_after_s <= idle_s:
        return ScreenSaverState.DARK
    if 0 < config.dim_after_s <= idle_s:
        return ScreenSaverState.DIM
    return ScreenSaverState.BRIGHT


def next_change_s(now_s: float, idle_s: float, config: ScreenConfig) -> float:
    """Return how long glow and drift stay as they are."""
    limits_s = (config.dim_after_s, config.sleep_after_s)
    changes_s = (limit_s - idle_s for limit_s in limits_s if limit_s > idle_s)
    return min((DRIFT_S - now_s % DRIFT_S, *changes_s))


def drift_step(now_s: float) -> int:
    """Return which step of the drift it is time for."""
    return int(now_s // DRIFT_S)


def stirring(view: View) -> tuple[object, ...]:
    """Return what wakes the screen up when it changes.

    Not the banner: its countdown would keep a box without a network awake for ever.
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
