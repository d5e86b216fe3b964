"""Faults of the appliance: which parts do not work, and sentences for people."""

import functools
from dataclasses import replace
from typing import Final

from appliance.core import fault_table, reconnect
from appliance.core.events import Part, PartEvent, PartLost
from appliance.core.state import State

SINGLE_PARTS: Final = frozenset({Part.MICROPHONE, Part.SPEAKER, Part.SCREEN})
"""Parts of which there is one: any device that is found replaces the missing one."""
SOUND_PARTS: Final = frozenset({Part.MICROPHONE, Part.SPEAKER})
SOUND_FAULTS_SHOWN: Final = 3
"""Participants named; our choice: a phone shows as many without scrolling."""
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
NO_AGENT: Final = (
    "the expected voice agent is missing, perhaps because its program does not run; "
    "the box leaves and joins again every few minutes so that LiveKit sends one"
)
_OTHER: Final = {
    Part.MICROPHONE: fault_table.CARD_NOT_OPEN,
    Part.SPEAKER: fault_table.CARD_NOT_OPEN,
    Part.BUTTON: fault_table.PIN_FAILED,
    Part.LAMP: fault_table.PIN_FAILED,
    Part.SCREEN: fault_table.BUS_FAILED,
    Part.PAGE: fault_table.PAGE_FAILED,
    Part.STORE: fault_table.STORE_FAILED,
}
"""Fault of a part whose text is none of the table's, but that of a driver."""


def recorded(state: State, event: PartEvent) -> State:
    """Return the state with this loss or recovery of a part recorded."""
    lost = tuple(x for x in state.lost if not _is_same_part(x, event))
    noticed = tuple(x for x in state.noticed if not _is_same_part(x, event))
    if isinstance(event, PartLost):
        lost = (*lost, event)
    elif event.notice:
        noticed = (*noticed, event)
    return replace(state, lost=lost, noticed=noticed)


def without_sound(state: State) -> State:
    """Return the state without the faults of the sound card, which is closed.

    Nobody looks whether they last; what is still missing is lost again when it opens.
    """
    lost = tuple(x for x in state.lost if x.part not in SOUND_PARTS)
    noticed = tuple(x for x in state.noticed if x.part not in SOUND_PARTS)
    return replace(state, lost=lost, noticed=noticed)


def _is_same_part(known: PartEvent, event: PartEvent) -> bool:
    is_named = event.part in SINGLE_PARTS or known.name == event.name
    return known.part is event.part and is_named


def is_working(state: State, part: Part) -> bool:
    """Return whether the box has this part, by its configuration, and it works."""
    sound = state.config.sound
    cards = {Part.MICROPHONE: sound.microphone, Part.SPEAKER: sound.speaker}
    is_lost = any(lost.part is part for lost in state.lost)
    return cards.get(part) != "none" and not is_lost


def is_lamp_lit(state: State, faults: tuple[str, ...]) -> bool:
    """Return whether the fault lamp is lit.

    An optional screen does not count, nor does a room from which the box went back.
    """
    optional = sum(_is_optional(state, lost.part) for lost in state.lost)
    return len(faults) > optional + (state.failed_room is not None)


def ids(state: State) -> tuple[str, ...]:
    """Return the fault table's id of each fault of the hardware, without repeats.

    A missing optional screen is not a fault.
    """
    texts = [(x.part, x.reason) for x in state.lost if not _is_optional(state, x.part)]
    for x in state.noticed:
        texts += [(x.part, notice) for notice in x.notice.split(fault_table.ALSO)]
    found = [_id_of(part, text) for part, text in texts]
    if any(button.is_stuck for button in state.buttons):
        found.append(fault_table.BUTTON_HELD.id)
    return tuple(dict.fromkeys(found))


def _is_optional(state: State, part: Part) -> bool:
    return part is Part.SCREEN and state.config.screen.driver == "auto"


@functools.lru_cache(maxsize=64)
def _id_of(part: Part, text: str) -> str:
    """Return the id of the fault with most words in the text, else that of the part."""
    shown = (x for x in fault_table.TABLE if x.kind is not fault_table.FaultKind.CHECK)
    closest = max(shown, key=lambda fault: fault.likeness(text))
    return closest.id if closest.likeness(text) else _OTHER[part].id


def sentences(state: State) -> tuple[str, ...]:
    """Return one sentence for each fault, without repeats: names may be equal."""
    lost = (f"{lost.part}: {lost.name}: {lost.reason}" for lost in state.lost)
    other = (f"{x.part}: {x.name}, {x.notice}" for x in state.noticed)
    parts = (*lost, *other)
    stuck = (x.button for x in state.buttons if x.is_stuck)
    buttons = (fault_table.BUTTON_HELD.text(button=button) for button in stuck)
    # Also during the next attempt: a lamp that goes out would mean that it works.
    reasons = (state.reason,) if state.reason else ()
    room = (
        *_permission_faults(state),
        *_agent_faults(state),
        *_sound_faults(state),
    )
    if (failed := state.failed_room) is not None:
        sentence = f"{failed.name}: {failed.reason}; the box went back to the last room"
        room = (*room, sentence)
    return tuple(dict.fromkeys((*parts, *buttons, *room, *reasons)))


def _sound_faults(state: State) -> tuple[str, ...]:
    """Return the faults of other participants' audio, limited in number."""
    faults = [f"{x.name}: {x.sound_fault}" for x in state.people if x.sound_fault]
    more = len(faults) - SOUND_FAULTS_SHOWN
    rest = (f"and {more} more participants with an audio fault",) if more > 0 else ()
    return (*faults[:SOUND_FAULTS_SHOWN], *rest)


def _agent_faults(state: State) -> tuple[str, ...]:
    """Return one sentence if the voice agent is missing, or does not react."""
    is_missing = reconnect.is_agent_missing(state) or reconnect.is_returning(state)
    if state.agent_returns and is_missing:
        return (NO_AGENT,)
    agent = state.conversation.agent
    if agent is None or not state.conversation.is_unresponsive:
        return ()
    sentence = (
        f"{agent.name} does not react to what was said here: it may "
        "listen to another participant only, or its session is over; leave, "
        "wait half a minute, and join again"
    )
    return (sentence,)


def _permission_faults(state: State) -> tuple[str, ...]:
    """Return one sentence for each missing permission."""
    has, sound = state.permissions, state.config.sound
    is_granted = {
        NO_PUBLISHING: has.may_publish or sound.microphone == "none",
        NO_SUBSCRIBING: has.may_subscribe or sound.speaker == "none",
        NO_DATA: has.may_send_data,
    }
    return tuple(sentence for sentence, is_so in is_granted.items() if not is_so)
