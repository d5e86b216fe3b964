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
            state = replace(state, wakes=state.wakes + 1)
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
    return inf if state.pairing_until_s is None else state.pairing_until_s


def screen_page(state: State) -> ScreenPage:
    """Return the screen page: a talk has priority over the PIN.

    In `open` mode the talk never ends, so the PIN has priority.
    """
    if state.pairing_until_s is None:
        return state.screen_page
    has_priority = state.talk.is_on and not state.is_open_mode
    return ScreenPage.TALK if has_priority else ScreenPage.PAIRING
