"""Typed lines that wait for a voice agent: nobody keeps what comes before it is ready.

A line waits

    alone, while an agent is expected        until one comes, in another session too
    with programs, while no agent is known   for up to `ARRIVAL_S`
    while the agent is there, but not ready  for up to `STARTING_S`

and is sent at once otherwise, or when a person comes.
"""

from dataclasses import replace
from math import inf

from appliance.core.state import State
from appliance.core.voice_agent import ARRIVAL_S, STARTING_S, is_ready


def update(state: State, now_s: float) -> State:
    """Return the state with the decision until when typed lines wait."""
    until_s = _until_s(state, now_s)
    until_s = until_s if now_s < until_s else -inf
    if state.conversation.lines_until_s == until_s:
        return state
    conversation = replace(state.conversation, lines_until_s=until_s)
    return replace(state, conversation=conversation)


def due_s(state: State) -> float:
    """Return when lines are sent although no agent is ready; infinity: never."""
    until_s = state.conversation.lines_until_s
    return until_s if until_s > -inf else inf


def may_be_sent(state: State) -> bool:
    """Return whether typed lines are sent at once."""
    return state.is_connected and state.conversation.lines_until_s == -inf


def _until_s(state: State, now_s: float) -> float:
    """Return until when lines wait; a past time or minus infinity: they do not."""
    if not (state.is_in_room and state.has_only_programs):
        return -inf
    conversation = state.conversation
    agent = conversation.agent
    if agent is None and not state.people:
        return inf if conversation.is_expected else -inf
    if agent is None:
        # One that is there or comes may be reported a moment after the participants.
        unknown_s = max(state.joined_at_s, conversation.since_s)
        until_s = max(conversation.lines_until_s, unknown_s + ARRIVAL_S)
        return min(until_s, now_s + ARRIVAL_S)
    return -inf if is_ready(agent) else conversation.since_s + STARTING_S
