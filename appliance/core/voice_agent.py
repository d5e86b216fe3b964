"""Conversation with a voice agent: decides on turns, captions and muting its audio.

While somebody talks here, the agent is muted locally: it falls silent at
once, while the agent itself needs up to a second to stop. People are never muted.
"""

from dataclasses import replace
from math import inf
from typing import Final, assert_never

from appliance.core import thinking_indicator
from appliance.core.chat import with_caption
from appliance.core.commands import Command, MuteAgent, TakeTurn, Turn
from appliance.core.events import (
    AgentChanged,
    AgentEvent,
    AgentFailed,
    AgentState,
    Caption,
    CaptionReceived,
    VoiceAgent,
)
from appliance.core.state import Conversation, State, Step

CAPTION_S: Final = 10.0
"""Time after the last change until captions are removed; our choice."""
REACTION_S: Final = 8.0
"""An agent that is connected to its models begins to think within 5 s."""
ARRIVAL_S: Final = 30.0
"""Time that an agent has to come; what was said before is too old afterwards."""
STARTING_S: Final = 20.0
"""Our choice: an agent that is not ready by then may never say that it is."""
PAUSE_S: Final = 0.8
"""Pause that ends an utterance in a latched talk; our choice: rare within sentences."""
UTTERANCE_S: Final = 1.0
"""Our choice: a shorter sound in a latched talk may be noise, which nobody answers."""
VOICE_S: Final = 0.3
"""A shorter sound is in one measurement only: the click of the button, or a noise."""
_ACTIVE: Final = frozenset({AgentState.THINKING, AgentState.SPEAKING})


def handle(state: State, event: AgentEvent, now_s: float) -> State:
    """Handle an event of the agent."""
    match event:
        case AgentChanged(agent=agent):
            return _changed(state, agent, now_s)
        case AgentFailed():
            return _failed(state, event)
        case CaptionReceived(caption=caption):
            return _captioned(state, caption, now_s)
        case _:
            assert_never(event)


def due_s(state: State) -> float:
    """Return when `tick` has something to do; infinity: never."""
    conversation = state.conversation
    if not state.is_connected:
        return inf
    return min(
        conversation.captions_until_s,
        conversation.utterance_until_s or inf,
        _reaction_due_s(conversation),
        thinking_indicator.due_s(conversation),
    )


def tick(state: State, now_s: float) -> Step:
    """Remove old captions, notice a missing reaction, and signal that it thinks."""
    if now_s < due_s(state):
        return state, ()
    conversation = state.conversation
    if now_s >= conversation.captions_until_s:
        conversation = replace(conversation, captions=(), captions_until_s=inf)
    if now_s >= _reaction_due_s(conversation):
        conversation = replace(conversation, asked_at_s=None, is_unresponsive=True)
    return thinking_indicator.signal(replace(state, conversation=conversation), now_s)


def follow(before: State, after: State, now_s: float) -> Step:
    """Mute the agent and tell it about the turn, as the talk demands."""
    is_connected = before.is_connected and after.is_connected
    if not is_connected or _begins_to_sound(before, after):
        # Without a connection, neither what was said nor a reaction may have got
        # through.
        after = replace(after, conversation=_reacted(after.conversation))
    conversation = after.conversation
    if conversation.agent is None and not conversation.is_awaited:
        return _silenced(after, is_wanted=False)
    was_talking, is_talking = before.talk.is_on, after.talk.is_on
    if is_talking and not was_talking:
        conversation = replace(conversation, voice_at_s=None, is_answering=False)
        after = replace(after, conversation=conversation)
    after = _with_voice(before, after, now_s)
    conversation = after.conversation
    is_heard = conversation.is_answering or after.is_open_mode
    has_agent = conversation.agent is not None
    after, muting = _silenced(
        after, is_wanted=is_talking and has_agent and not is_heard
    )
    is_speaking = conversation.utterance_until_s is not None
    is_turn = is_speaking if after.is_open_mode else is_talking
    after, turn = _with_turn(after, is_talking=is_turn and _listens(conversation))
    is_kept = not _listens(conversation)
    if was_talking and not is_talking and is_kept and _is_taken_back(after):
        # What was said is kept for the agent, and it is not to hear that either.
        turn = (TakeTurn(after.ticket, Turn.CANCEL),)
    return after, (*muting, *turn)


def _with_voice(before: State, after: State, now_s: float) -> State:
    """Follow what is said here, and begin the wait for a reaction at its end.

    That is the end of the talk, or a pause in a latched one, which may last for hours.
    """
    conversation = after.conversation
    until_s = conversation.utterance_until_s
    is_latched = after.talk.is_on and after.talk.is_latched
    has_paused = until_s is not None and now_s >= until_s
    if has_paused or not is_latched:
        until_s = None
    is_voice = after.talk.is_on and after.levels.is_voice
    if not is_voice and now_s - (conversation.voice_at_s or -inf) < VOICE_S:
        conversation = replace(conversation, voice_at_s=None)
    if is_voice:
        is_new = _is_new_speech(after)
        is_measured = after.levels is not before.levels
        is_again = is_measured and before.levels.is_voice
        # A single noise does not interrupt the agent.
        is_begun = until_s is not None or is_new or is_again
        until_s = inf if is_latched and is_begun else None
        # Levels that were measured before the press are not of this talk.
        if conversation.voice_at_s is None and is_measured and is_new:
            conversation = replace(conversation, voice_at_s=now_s)
    elif until_s == inf:
        until_s = now_s + PAUSE_S
    conversation = replace(conversation, utterance_until_s=until_s)
    after = replace(after, conversation=conversation)
    if before.talk.is_on and not after.talk.is_on:
        if _is_unnoticed(conversation):
            conversation = replace(conversation, asked_at_s=None)
            after = replace(after, conversation=conversation)
        return _asked(after, now_s, UTTERANCE_S if after.is_open_mode else 0.0)
    agent = conversation.agent
    is_listening = after.is_open_mode or agent is None or not agent.takes_turns
    is_asked = has_paused and is_listening
    return _asked(after, now_s, UTTERANCE_S + PAUSE_S) if is_asked else after


def _is_new_speech(state: State) -> bool:
    """Return whether a voice is not just the agent's own, played in a latched talk."""
    is_active = _is_active(state.conversation) or _is_sounding(state)
    return not (is_active and state.talk.is_latched)


def _begins_to_sound(before: State, after: State) -> bool:
    """Return whether an agent that does not say that it speaks is heard to speak.

    One that does may just go on with what a talk has interrupted.
    """
    is_new = _is_sounding(after) and not _is_sounding(before)
    return is_new and not _is_active(after.conversation)


def is_ready(agent: VoiceAgent | None) -> bool:
    """Return whether there is an agent that has finished starting."""
    return agent is not None and agent.state is not AgentState.INITIALIZING


def _is_active(conversation: Conversation) -> bool:
    """Return whether the agent says that it thinks or speaks."""
    agent = conversation.agent
    return agent is not None and agent.state in _ACTIVE


def _is_sounding(state: State) -> bool:
    """Return whether the agent is heard here."""
    agent = state.conversation.agent
    speaking = {person.id for person in state.people if person.is_speaking}
    return agent is not None and agent.id in speaking


def _asked(state: State, now_s: float, least_s: float) -> State:
    """Begin the wait for a reaction to what was said, if it began `least_s` ago."""
    conversation = state.conversation
    voice_at_s = conversation.voice_at_s
    if voice_at_s is None:
        return state
    conversation = replace(conversation, voice_at_s=None)
    if now_s - voice_at_s >= least_s:
        asked_at_s = now_s if _should_react(state) else None
        conversation = replace(conversation, asked_at_s=asked_at_s)
    return replace(state, conversation=conversation)


def _listens(conversation: Conversation) -> bool:
    """Return whether the agent can be told about turns, or was told about this one.

    It offers no methods for turns before it is ready, and would seem to take none.
    """
    agent = conversation.agent
    is_told = agent is not None and (agent.takes_turns or conversation.has_turn)
    return is_told or is_ready(agent)


def _changed(state: State, agent: VoiceAgent | None, now_s: float) -> State:
    """Store the agent, and notice its reaction to what was said."""
    before, conversation = state.conversation.agent, state.conversation
    if agent is None:
        conversation = replace(_without_agent(conversation), since_s=now_s)
        return replace(state, conversation=conversation)
    if before is not None and before.id != agent.id:
        before = None
    if before is None:
        conversation = replace(
            conversation,
            is_awaited=False,
            has_turn=False,
            hears_us=False,
            is_unresponsive=False,
        )
    is_started = _is_started(before, agent)
    if is_started:
        # It refused the turn: tell it once more.
        conversation = replace(conversation, has_turn=False)
    if agent.takes_turns and (is_started or before is None or not before.takes_turns):
        # It ignores what was said without a turn.
        conversation = replace(conversation, asked_at_s=None, voice_at_s=None)
    if before is None or before.state is not agent.state:
        is_answer = state.talk.is_latched and _is_answer(before, agent)
        is_answering = conversation.is_answering or is_answer
        state = _yielding(state) if is_answer else state
        conversation = replace(
            conversation, since_s=now_s, beats=0, is_answering=is_answering
        )
        if agent.state in _ACTIVE:
            conversation = _reacted(conversation)
    return replace(state, conversation=replace(conversation, agent=agent))


def _yielding(state: State) -> State:
    """Return the state without a latched talk that would keep an answer from the ears.

    In half duplex nobody is played while the gate is open.
    """
    is_latched = state.talk.is_latched and not state.config.sound.half_duplex
    return replace(state, talk=replace(state.talk, is_latched=is_latched))


def _is_started(before: VoiceAgent | None, agent: VoiceAgent) -> bool:
    """Return whether an agent is ready only now that was told of turns before.

    It offers the methods for turns when it is ready.
    """
    was_told = before is not None and before.takes_turns
    return was_told and not is_ready(before) and is_ready(agent)


def _is_answer(before: VoiceAgent | None, agent: VoiceAgent) -> bool:
    """Return whether an answer begins, and does not just go on.

    An agent with a realtime model speaks without having been in the state `thinking`.
    """
    is_new = before is None or before.state not in _ACTIVE
    return agent.state is AgentState.THINKING or (
        agent.state is AgentState.SPEAKING and is_new
    )


def _failed(state: State, event: AgentFailed) -> State:
    """Mark an agent as unresponsive whose own session has ended."""
    agent = state.conversation.agent
    if agent is None or agent.id != event.id:
        return state
    conversation = replace(state.conversation, is_unresponsive=True, asked_at_s=None)
    return replace(state, conversation=conversation)


def _captioned(state: State, caption: Caption, now_s: float) -> State:
    """Show the caption, and make it a line of the chat when it is complete."""
    caption = replace(caption, is_own=caption.talker_id == state.identity)
    conversation = state.conversation
    conversation = replace(
        conversation,
        captions=with_caption(conversation.captions, caption),
        captions_until_s=now_s + CAPTION_S,
    )
    agent = conversation.agent
    if caption.is_own or (agent is not None and agent.id == caption.talker_id):
        conversation = _reacted(conversation)
        hears_us = conversation.hears_us or caption.is_own
        conversation = replace(conversation, hears_us=hears_us)
    chat = state.chat.spoken(caption) if caption.is_final else state.chat
    return replace(state, conversation=conversation, chat=chat)


def _without_agent(conversation: Conversation) -> Conversation:
    return replace(
        conversation,
        agent=None,
        has_turn=False,
        is_answering=False,
        is_unresponsive=False,
        asked_at_s=None,
        utterance_until_s=None,
        beats=0,
    )


def _reacted(conversation: Conversation) -> Conversation:
    return replace(
        conversation, asked_at_s=None, voice_at_s=None, is_unresponsive=False
    )


def _should_react(state: State) -> bool:
    """Return whether the agent listens to this box, as far as we know.

    Among several participants it may listen to another one; that is no fault. Nor is it
    if a mute has taken back what was said.
    """
    if _is_taken_back(state):
        return False
    conversation = state.conversation
    agent = conversation.agent
    if agent is None:
        return True
    return agent.takes_turns or conversation.hears_us or state.has_only_programs


def _is_unnoticed(conversation: Conversation) -> bool:
    """Return whether a reaction would not be noticed during this talk.

    An agent that does not say that it is ready reacts aloud at most, and is not played.
    """
    agent = conversation.agent
    return agent is not None and not is_ready(agent) and conversation.is_muted


def _reaction_due_s(conversation: Conversation) -> float:
    """Return when a reaction is missing: an agent cannot react before it is ready."""
    asked_at_s, agent = conversation.asked_at_s, conversation.agent
    is_later = conversation.utterance_until_s is not None or _is_unnoticed(conversation)
    if asked_at_s is None or is_later:
        return inf
    if agent is None:
        return asked_at_s + ARRIVAL_S
    ready_at_s = conversation.since_s + (0.0 if is_ready(agent) else STARTING_S)
    return max(asked_at_s, ready_at_s) + REACTION_S


def _is_taken_back(state: State) -> bool:
    """Return whether a mute takes back what was said.

    Not in `open` mode, where the mute is the only way to end a talk.
    """
    return state.talk.is_muted and not state.is_open_mode


def _silenced(state: State, *, is_wanted: bool) -> Step:
    if state.conversation.is_muted == is_wanted:
        return state, ()
    conversation = replace(state.conversation, is_muted=is_wanted)
    commands = (MuteAgent(state.ticket, is_wanted),)
    return replace(state, conversation=conversation), commands


def _with_turn(state: State, *, is_talking: bool) -> Step:
    """Tell the agent that our turn begins or ends; a mute takes it back.

    During an interruption nothing reaches it: it is told afterwards.
    """
    if not state.is_connected or state.conversation.has_turn == is_talking:
        return state, ()
    ended = Turn.CANCEL if _is_taken_back(state) else Turn.END
    turn = Turn.START if is_talking else ended
    conversation = replace(state.conversation, has_turn=is_talking)
    commands: tuple[Command, ...] = (TakeTurn(state.ticket, turn),)
    return replace(state, conversation=conversation), commands
