"""Signal that the voice agent is thinking: a blinking lamp, and an earcon.

Without it five silent seconds look like a failure.
"""

from dataclasses import replace
from math import inf
from typing import Final

from appliance.core.commands import Earcon, PlayEarcon
from appliance.core.events import AgentState
from appliance.core.state import Conversation, State, Step

BEAT_S: Final = 0.5
"""Half a period of the blinking lamp while the agent is thinking."""
LAST_BEAT: Final = 120
"""Our choice: the lamp stops blinking after a minute of thinking."""
FIRST_EARCON_BEAT: Final = 2
EARCON_BEATS: Final = 5
"""The earcon sounds 1 s after the agent has begun to think, then every 2.5 s."""


def is_lamp_lit(state: State) -> bool:
    """Return whether the receiving lamp is in the lit half of its blinking."""
    is_even = state.conversation.beats % 2 == 0
    return state.is_connected and _is_thinking(state.conversation) and is_even


def due_s(conversation: Conversation) -> float:
    """Return when the lamp changes next; infinity: it does not blink."""
    if not _is_thinking(conversation) or conversation.beats >= LAST_BEAT:
        return inf
    return conversation.since_s + (conversation.beats + 1) * BEAT_S


def signal(state: State, now_s: float) -> Step:
    """Blink if it is due, and play the earcon with some of the beats."""
    conversation = state.conversation
    if now_s < due_s(conversation):
        return state, ()
    beats = round((now_s - conversation.since_s) / BEAT_S)
    is_due = beats % EARCON_BEATS == FIRST_EARCON_BEAT and not state.talk.is_on
    earcon = (PlayEarcon(Earcon.THINKING),) if is_due else ()
    conversation = replace(conversation, beats=beats)
    return replace(state, conversation=conversation), earcon


def _is_thinking(conversation: Conversation) -> bool:
    agent = conversation.agent
    return agent is not None and agent.state is AgentState.THINKING
