"""Pairing of a phone: the OLED shows the PIN while somebody needs it.

This is automatic because many appliances have no button for the screen pages.
"""

from dataclasses import replace
from math import inf
from typing import Final, assert_never

from appliance.core.events import PageServed, PairingAsked, PairingEvent, PhonePaired
from appliance.core.state import ScreenPage, State

SHOWN_S: Final = 60.0
"""Our choice: time to walk to the appliance and type six digits."""


def handle(state: State, event: PairingEvent, now_s: float) -> State:
    """Store the PIN, show it for a while, or hide it."""
    match event:
        case PageServed(url, pin):
            return replace(state, page_url=url, pin=pin)
        case PairingAsked():
            state = replace(state, wakes=state.wakes + 1, pairing_left_s=SHOWN_S)
            return replace(state, pairing_until_s=now_s + SHOWN_S)
        case PhonePaired():
            return replace(state, pairing_until_s=None)
        case _:
            assert_never(event)


def tick(state: State, now_s: float) -> State:
    """Hide the PIN when its time is over."""
    if now_s < until_s(state):
        return state
    return replace(state, pairing_until_s=None)


def until_s(state: State) -> float:
    """Return until when the PIN is shown; infinity while it is not."""
    if state.pairing_until_s is None or _is_covered(state):
        return inf
    return state.pairing_until_s


def follow(before: State, after: State, now_s: float) -> State:
    """Return the state in which the time of the PIN stops while a talk covers it."""
    if after.pairing_until_s is None or _is_covered(before) == _is_covered(after):
        return after
    if _is_covered(after):
        return replace(after, pairing_left_s=after.pairing_until_s - now_s)
    return replace(after, pairing_until_s=now_s + after.pairing_left_s)


def screen_page(state: State) -> ScreenPage:
    """Return the screen page: a talk has priority over the PIN."""
    if state.pairing_until_s is None:
        return state.screen_page
    return ScreenPage.TALK if _is_covered(state) else ScreenPage.PAIRING


def _is_covered(state: State) -> bool:
    """Return whether a talk has priority; not in `open` mode, where it never ends."""
    return state.talk.is_on and not state.is_open_mode
