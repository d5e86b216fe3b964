"""Everything that is wrong with the box, in sentences."""

from appliance.core import permissions
from appliance.core.events import Part
from appliance.core.state import Lock, State

MOST_FAR_FAULTS = 3
"""People named; our choice: a phone shows as many without scrolling."""


def is_lost(state: State, part: Part) -> bool:
    """Return whether this part is missing."""
    return any(lost.part is part for lost in state.lost)


def is_ill(state: State, faults: tuple[str, ...]) -> bool:
    """Return whether the fault lamp is lit; a screen that is optional is no fault."""
    is_optional = state.config.screen.driver == "auto"
    screens = sum(lost.part is Part.SCREEN for lost in state.lost) if is_optional else 0
    return len(faults) > screens


def sentences(state: State) -> tuple[str, ...]:
    """Return a sentence for each thing that is wrong."""
    lost = (f"{lost.part}: {lost.name}: {lost.reason}" for lost in state.lost)
    other = (f"{x.part}: {x.name}, {x.notice}" for x in state.second_choices)
    parts = (*lost, *other)
    stuck = [f"{button} button is held down" for button in state.stuck]
    if state.talk.lock is Lock.BOOT:
        stuck.insert(0, "talk button is held down")
    # Also while it is tried again: a lamp that goes out would say that it works.
    reasons = (state.reason,) if state.reason else ()
    return (*parts, *stuck, *permissions.faults(state), *_far_faults(state), *reasons)


def _far_faults(state: State) -> tuple[str, ...]:
    """Return what is wrong with other people's sound; bounded, they may be many."""
    faults = [f"{x.name}: {x.sound_fault}" for x in state.people if x.sound_fault]
    more = len(faults) - MOST_FAR_FAULTS
    rest = (f"and {more} more people whose sound is not right",) if more > 0 else ()
    return (*faults[:MOST_FAR_FAULTS], *rest)
