"""Voice agent on the screen: its state beside its name, and the words being spoken."""

from dataclasses import replace
from typing import Final

from appliance.core.chat import ChatLine, Delivery
from appliance.core.events import AgentState, Caption, Participant
from appliance.core.view import View

TAIL_CHARACTERS: Final = 60
"""End of a caption that is shown, the newest words: three lines of the small font."""
FLAT_CHARACTERS: Final = 16
"""The same on a flat screen, which has room for one line."""
_TEXT: Final = {
    AgentState.INITIALIZING: "is starting",
    AgentState.IDLE: "is idle",
    AgentState.LISTENING: "is listening",
    AgentState.THINKING: "is thinking",
    AgentState.SPEAKING: "is speaking",
}


def with_agent(view: View, *, is_flat: bool) -> View:
    """Return the view with the agent's state beside its name, and its words as a line.

    Of several unfinished captions the newest is shown; a finished one is a line of the
    chat already.
    """
    if view.agent is None and not view.captions:
        return view
    growing = [caption for caption in view.captions if not caption.is_final]
    characters = FLAT_CHARACTERS if is_flat else TAIL_CHARACTERS
    return replace(
        view,
        people=tuple(_named(person, view) for person in view.people),
        chat=(
            *view.chat,
            *(_line(caption, view, characters) for caption in growing[-1:]),
        ),
    )


def _named(person: Participant, view: View) -> Participant:
    if view.agent is None or view.agent.id != person.id:
        return person
    return replace(person, name=f"{person.name} {_TEXT[view.agent.state]}")


def _line(caption: Caption, view: View, characters: int) -> ChatLine:
    """Return the newest words as a line of whoever speaks them."""
    is_other = any(person.id == caption.speaker_id for person in view.people)
    return ChatLine(
        id=caption.segment,
        sender_id=caption.speaker_id if is_other else "",
        sender_name=caption.speaker,
        text=_tail(caption.text, characters),
        ts_ms=caption.ts_ms,
        state=Delivery.SENT,
    )


def _tail(text: str, characters: int) -> str:
    """Return the end of the text, from the beginning of a word."""
    if len(text) <= characters:
        return text
    _, _, words = text[-characters:].partition(" ")
    return f"…{words or text[-characters:]}"
