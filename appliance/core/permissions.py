"""What the room allows this box: permissions of its token, and mutes by a moderator."""

from dataclasses import replace

from appliance.core import talk
from appliance.core.commands import UnmuteTrack
from appliance.core.events import MuteAsked, PermissionsChanged
from appliance.core.state import Phase, State
from appliance.core.talk import Step

_GRANT = "whoever issues the token, or a moderator, has to grant"
NO_PUBLISHING = (
    f"the room does not allow this box to talk: {_GRANT} canPublish for the microphone"
)
NO_SUBSCRIBING = (
    f"the room does not allow this box to hear the others: {_GRANT} canSubscribe"
)
NO_DATA = f"the room does not allow this box to send chat: {_GRANT} canPublishData"


def changed(state: State, event: PermissionsChanged) -> State:
    """Take what the room allows now.

    A mute by a moderator has the effect of the page's mute switch: whoever is at the
    box or at the page can undo it, and nobody else. A talk that lost its permission is
    over; it does not begin again by itself, except in `open` mode.
    """
    if state.phase not in {Phase.IN_ROOM, Phase.PAUSED}:
        return state
    before, after = state.permissions, event.permissions
    state = replace(state, permissions=after)
    if after.is_muted and not before.is_muted:
        state = talk.page_mute(state, MuteAsked(is_on=True))
    if before.may_publish and not after.may_publish:
        rested = talk.rested(state.talk, state.config.talk.mode)
        state = replace(state, talk=rested)
    return state


def settled(state: State) -> Step:
    """Unmute the track if somebody has begun to talk since it was muted."""
    if not (state.talk.is_open and state.permissions.is_muted):
        return state, ()
    unmuted = replace(state.permissions, is_muted=False)
    return replace(state, permissions=unmuted), (UnmuteTrack(state.ticket),)


def faults(state: State) -> tuple[str, ...]:
    """Return a sentence for each permission that is missing."""
    has = state.permissions
    return tuple(
        sentence
        for is_granted, sentence in (
            (has.may_publish, NO_PUBLISHING),
            (has.may_subscribe, NO_SUBSCRIBING),
            (has.may_send_data, NO_DATA),
        )
        if not is_granted
    )
