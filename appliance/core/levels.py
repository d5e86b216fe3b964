"""Volume of the speaker and gain of the microphone."""

from dataclasses import replace
from typing import Final

from appliance.core.commands import Command, KeepLevels, SetGain, SetVolume
from appliance.core.state import State, Step

VOLUME_STEP_PERCENT: Final = 5
"""Our choice: twenty presses over the whole range."""


def stored(state: State) -> tuple[Command, ...]:
    """Return the commands that apply the stored levels after the start."""
    return SetVolume(state.volume_percent), SetGain(state.microphone_gain_db)


def set_volume(state: State, percent: int) -> Step:
    """Set the volume of the speaker and store it."""
    state = replace(state, volume_percent=percent)
    return state, (SetVolume(percent), KeepLevels(percent, state.microphone_gain_db))


def set_gain(state: State, db: float) -> Step:
    """Set the gain of the microphone and store it."""
    state = replace(state, microphone_gain_db=db)
    return state, (SetGain(db), KeepLevels(state.volume_percent, db))


def turn_volume(state: State, *, is_up: bool) -> Step:
    """Raise or lower the volume by one step of its button."""
    step = VOLUME_STEP_PERCENT if is_up else -VOLUME_STEP_PERCENT
    return set_volume(state, max(0, min(100, state.volume_percent + step)))
