"""Words about the voice agent, for status line, list of faults and page."""

from typing import Final

from appliance.core import agent_return, talk
from appliance.core.state import State

AWAITED: Final = (
    "Waiting for the voice agent. The last 10 s of what is said before it comes are "
    "kept for it."
)
OVER: Final = (
    "The voice agent has left. A typed line calls one, and so does the talk button of "
    "a box that has one."
)
MISSING: Final = (
    "the expected voice agent is missing, perhaps because its program does not run; "
    "the box leaves and joins again every few minutes so that LiveKit sends one"
)


def faults(state: State) -> tuple[str, ...]:
    """Return one sentence if the agent is missing, or does not react."""
    is_missing = agent_return.is_missing(state) or agent_return.is_returning(state)
    if state.agent_returns and is_missing:
        return (MISSING,)
    agent = state.conversation.agent
    if agent is None or not state.conversation.is_unresponsive:
        return ()
    sentence = (
        f"{agent.name} does not react to what was said here: it may "
        "listen to another participant only, or its session is over; leave, "
        "wait half a minute, and join again"
    )
    return (sentence,)


def status(state: State) -> str:
    """Return what the status line says about the agent; empty: nothing."""
    conversation = state.conversation
    if conversation.agent is None:
        return "waiting for the agent" if conversation.is_awaited else ""
    is_deaf = conversation.is_unresponsive
    return f"{conversation.agent.name} does not react" if is_deaf else ""


def note(state: State) -> str:
    """Return what to know of the agent: that it is awaited, or whom it listens to."""
    agent = state.conversation.agent
    if state.conversation.is_awaited:
        return AWAITED if talk.may_talk(state) else ""
    if agent_return.is_missing(state):
        return OVER
    if agent is None or state.has_only_programs:
        return ""
    if agent.takes_turns:
        return (
            f"{agent.name} listens to whoever talks; a talk that begins elsewhere "
            "takes its attention away from this box."
        )
    return (
        f"{agent.name} listens to one participant only, usually the first who joined; "
        "everybody hears its answers."
    )
