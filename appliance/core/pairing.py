"""The PIN comes onto the OLED by itself while somebody wants to pair a phone.

Many boxes have no button that turns the OLED's pages.
"""

from dataclasses import replace
from typing import assert_never

from appliance.config import TalkMode
from appliance.core.events import PageServed, PairingAsked, PhonePaired
from appliance.core.state import ScreenPage, State

SHOWN_S = 60.0
"""Our choice: time to walk to the box and to type six digits."""


def happened(
    state: State, event: PageServed | PairingAsked | PhonePaired, now_s: float
) -> State:
    """Learn the PIN, show it from now on for a while, or put it away."""
    match event:
        case PageServed(url, pin):
            return replace(state, page_url=url, pin=pin)
        case PairingAsked():
            return replace(state, pairing_until_s=now_s + SHOWN_S)
        case PhonePaired():
            return replace(state, pairing_until_s=None)
        case _:
            assert_never(event)


def tick(state: State, now_s: float) -> State:
    """End it when its time is over."""
    if now_s < until_s(state):
        return state
    return replace(state, pairing_until_s=None)


def until_s(state: State) -> float:
    """Return when it ends; infinity when nobody wants to pair."""
    return float("inf") if state.pairing_until_s is None else state.pairing_until_s


def screen_page(state: State) -> ScreenPage:
    """Return what the OLED shows: a talk before the PIN, the PIN before its own page.

    In `open` mode the talk never ends, so there the PIN comes first.
    """
    if state.pairing_until_s is None:
        return state.screen_page
    is_on_air = state.talk.is_open or state.talk.is_flowing
    is_open_mode = state.config.talk.mode is TalkMode.OPEN
    return ScreenPage.TALK if is_on_air and not is_open_mode else ScreenPage.PAIRING
