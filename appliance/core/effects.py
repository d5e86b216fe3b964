"""What follows whenever the state has changed, whatever the event was.

Each rule compares the state before with the state after, so no path can forget it.
"""

from dataclasses import replace

from appliance.core import outbox, permissions, session, talk
from appliance.core.commands import (
    CloseSound,
    Command,
    Earcon,
    Exit,
    OpenSound,
    PlayEarcon,
)
from appliance.core.session import Step
from appliance.core.state import Phase, State

SILENT = frozenset({Phase.STARTING, Phase.LEFT, Phase.REFUSED, Phase.STOPPED})
"""R2.10: in these phases nobody is joining, and the microphone is closed."""


def settled(before: State, after: State, now_s: float) -> Step:
    """Return what has to be done before anything else."""
    after = _moved_on(before, after)
    after, gate = talk.settled(after, now_s)
    after, unmuting = permissions.settled(after)
    return after, (
        *_opening(before, after),
        *_signal(before, after),
        *unmuting,
        *gate,
        *outbox.due(before, after),
    )


def closing(before: State, after: State) -> tuple[Command, ...]:
    """Return what has to be done after everything else."""
    if after.phase is Phase.STOPPED:
        return CloseSound(), Exit()
    is_over = after.phase in SILENT and before.phase not in SILENT
    return (CloseSound(),) if is_over else ()


def _moved_on(before: State, after: State) -> State:
    """Leave talk and unsent lines behind with the room that was left on purpose.

    An outage leaves them as they were (R8.3).
    """
    has_moved = after.preset != before.preset
    if has_moved:
        chat = after.chat.given_up("the box went to another room")
        after = replace(after, chat=chat)
    if not (has_moved or _is_away(after)):
        return after
    return replace(after, talk=talk.rested(after.talk, after.config.talk.mode))


def _is_away(state: State) -> bool:
    """Whether the box is out, or on its way out, by its user's wish."""
    return session.is_out(state) and state.phase is not Phase.REFUSED


def _opening(before: State, after: State) -> tuple[Command, ...]:
    is_new = before.phase in SILENT and after.phase not in SILENT
    return (OpenSound(),) if is_new else ()


def _signal(before: State, after: State) -> tuple[Command, ...]:
    """Let people hear that the room came or went; a wished goodbye has no sound."""
    was_in = before.is_connected
    if after.is_connected:
        return () if was_in else (PlayEarcon(Earcon.JOINED),)
    is_lost = was_in and after.phase is not Phase.LEAVING
    return (PlayEarcon(Earcon.LOST),) if is_lost else ()
