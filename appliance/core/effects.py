"""Effects of state changes, independent of the event that caused them.

Each rule compares the state before with the state after, so it holds for every event.
"""

from dataclasses import replace
from typing import Final

from appliance.core import agent, outbox, permissions, session, talk
from appliance.core.commands import (
    CloseSound,
    Command,
    Earcon,
    Exit,
    OpenSound,
    PlayEarcon,
)
from appliance.core.state import Phase, State, Step

SILENT: Final = frozenset({Phase.STARTING, Phase.LEFT, Phase.REFUSED, Phase.STOPPED})
"""Phases without a session or an attempt at one: the sound card is closed."""


def apply(before: State, after: State, now_s: float) -> Step:
    """Return the adjusted state and the commands that go first."""
    after = _room_left(before, after)
    after, gate = talk.update_gate(after, now_s)
    after, unmuting = permissions.unmute(after)
    after, conversation = agent.follow(before, after, now_s)
    return after, (
        *_opening(before, after),
        *_earcon(before, after),
        *unmuting,
        *conversation,
        *gate,
        *outbox.due(before, after),
    )


def closing(before: State, after: State) -> tuple[Command, ...]:
    """Return the commands that go last."""
    if after.phase is Phase.STOPPED:
        return CloseSound(), Exit()
    is_over = after.phase in SILENT and before.phase not in SILENT
    return (CloseSound(),) if is_over else ()


def _room_left(before: State, after: State) -> State:
    """Return the state without the talk and the queued lines of a room that was left.

    An outage keeps both.
    """
    is_other_room = after.preset != before.preset
    if is_other_room:
        chat = after.chat.given_up("the box went to another room")
        after = replace(after, chat=chat)
    if not (is_other_room or _is_left(after)):
        return after
    return replace(after, talk=talk.ended(after.talk, after.config.talk.mode))


def _is_left(state: State) -> bool:
    """Return whether the room was left, or is being left, on request."""
    return session.is_out(state) and state.phase is not Phase.REFUSED


def _opening(before: State, after: State) -> tuple[Command, ...]:
    is_new = before.phase in SILENT and after.phase not in SILENT
    return (OpenSound(),) if is_new else ()


def _earcon(before: State, after: State) -> tuple[Command, ...]:
    """Return the sound for a joined or lost room; leaving on request has none."""
    was_in = before.is_connected
    if after.is_connected:
        return () if was_in else (PlayEarcon(Earcon.JOINED),)
    is_lost = was_in and after.phase is not Phase.LEAVING
    return (PlayEarcon(Earcon.LOST),) if is_lost else ()
