"""Typed lines that wait for a voice agent: nobody keeps what comes before it is ready.

A line waits

    alone, while an agent is expected        until one comes, in another session too
    with programs, while no agent is known   for up to `ARRIVAL_S` from joining on
    while the agent is there, but not ready  for up to `STARTING_S`

and is sent at once otherwise, or when a person comes.
"""

from dataclasses import replace
from math import inf

from appliance.core.events import AgentState
from appliance.core.state import State
from appliance.core.voice_agent import ARRIVAL_S, STARTING_S


def update(state: State, now_s: float) -> State:
    """Return the state with the decision whether typed lines wait."""
    is_waiting = now_s < _until_s(state)
    if state.conversation.has_lines_waiting == is_waiting:
        return state
    conversation = replace(state.conversation, has_lines_waiting=is_waiting)
    return replace(state, conversation=conversation)


def due_s(state: State) -> float:
    """Return when lines are sent although no agent is ready; infinity: never."""
    return _until_s(state) if state.conversation.has_lines_waiting else inf


def may_be_sent(state: State) -> bool:
    """Return whether typed lines are sent at once."""
    return state.is_connected and not state.conversation.has_lines_waiting


def _until_s(state: State) -> float:
    """Return until when lines wait; minus infinity: they do not."""
    if not (state.is_in_room and state.has_only_programs):
        return -inf
    conversation = state.conversation
    agent = conversation.agent
    if agent is None and not state.people:
        return inf if conversation.is_expected else -inf
    if agent is None:
        # One that is there already is reported a moment after the room was joined.
        return state.joined_at_s + ARRIVAL_S
    is_starting = agent.state is AgentState.INITIALIZING
    return conversation.since_s + STARTING_S if is_starting else -inf
