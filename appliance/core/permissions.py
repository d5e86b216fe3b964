"""Permissions in the room: grants of the token, and mutes by a moderator."""

from dataclasses import replace
from typing import Final

from appliance.core import talk
from appliance.core.commands import UnmuteTrack
from appliance.core.events import PermissionsChanged
from appliance.core.state import Phase, State, Step

_GRANT: Final = "the issuer of the token, or a moderator, has to grant"
NO_PUBLISHING: Final = (
    f"the room does not allow this box to talk: {_GRANT} canPublish for the microphone"
)
NO_SUBSCRIBING: Final = (
    f"the room does not allow this box to hear the others: {_GRANT} canSubscribe"
)
NO_DATA: Final = (
    f"the room does not allow this box to send chat: {_GRANT} canPublishData"
)


def changed(state: State, event: PermissionsChanged) -> State:
    """Apply new permissions.

    A mute by a moderator acts like the mute switch of the page: only a person at the
    appliance or on the page can undo it. A talk that loses its permission ends and does
    not resume by itself, except in `open` mode.
    """
    if state.phase not in {Phase.IN_ROOM, Phase.PAUSED}:
        return state
    before, after = state.permissions, event.permissions
    state = replace(state, permissions=after)
    if after.is_muted and not before.is_muted:
        state = talk.page_mute(state, is_on=True)
    if before.may_publish and not after.may_publish:
        ended = talk.ended(state.talk, state.config.talk.mode)
        state = replace(state, talk=ended)
    return state


def unmute(state: State) -> Step:
    """Unmute the track if a talk has begun since a moderator muted it."""
    if not (state.talk.is_open and state.permissions.is_muted):
        return state, ()
    unmuted = replace(state.permissions, is_muted=False)
    return replace(state, permissions=unmuted), (UnmuteTrack(state.ticket),)


def faults(state: State) -> tuple[str, ...]:
    """Return one sentence for each missing permission."""
    has, sound = state.permissions, state.config.sound
    return tuple(
        sentence
        for is_granted, sentence in (
            (has.may_publish or sound.microphone == "none", NO_PUBLISHING),
            (has.may_subscribe or sound.speaker == "none", NO_SUBSCRIBING),
            (has.may_send_data, NO_DATA),
        )
        if not is_granted
    )
