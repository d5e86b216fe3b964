"""Words about the voice agent, for status line, list of faults and page."""

from typing import Final

from appliance.core import agent_return, talk
from appliance.core.state import State
from appliance.core.voice_agent import ARRIVAL_S

AWAITED: Final = (
    "Waiting for the voice agent. The last 10 s of what is said here are kept for it."
)
LATE: Final = "The voice agent has not come; what is said now may not reach it."
OVER: Final = "The voice agent has left. A typed line calls one."
OVER_OPEN: Final = "The voice agent has left. Speaking or a typed line calls one."
OVER_WITH_BUTTON: Final = (
    "The voice agent has left. A typed line or a press on the box's talk button calls "
    "one."
)


def faults(state: State) -> tuple[str, ...]:
    """Return one sentence if the agent does not react."""
    conversation = state.conversation
    if not conversation.is_unresponsive:
        return ()
    if conversation.agent is None:
        return ("no voice agent has come, so what was said did not reach one",)
    sentence = (
        f"{conversation.agent.name} does not react to what was said here: it may "
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


def note(state: State, now_s: float) -> str:
    """Return what to know of the agent: that it is awaited, or whom it listens to."""
    agent = state.conversation.agent
    if agent is None and state.conversation.is_awaited and talk.may_talk(state):
        # Leaving and joining again, which may follow, loses what was said.
        return AWAITED if now_s < state.joined_at_s + ARRIVAL_S else LATE
    if agent_return.is_over(state):
        if state.is_open_mode:
            return OVER_OPEN
        # On the page a press is refused.
        return OVER if state.config.buttons.talk is None else OVER_WITH_BUTTON
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
