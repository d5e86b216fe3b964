"""Conversation with a voice agent: turns, captions, muting, signals that it thinks.

While somebody talks here, the agent is muted locally: it falls silent at
once, while the agent itself needs up to a second to stop. People are never muted.

A turn is a talk, or in `open` mode an utterance. An agent that is not told of turns
has to react to each utterance of a latched talk.

While the agent thinks, a lamp blinks and an earcon sounds: without them five silent
seconds look like a failure.
"""

from dataclasses import replace
from math import inf
from typing import Final, assert_never

from appliance.core.chat import with_caption
from appliance.core.commands import (
    Command,
    Earcon,
    MuteAgent,
    PlayEarcon,
    TakeTurn,
    Turn,
)
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
STARTING_S: Final = 20.0
"""Our choice: an agent that is not ready by then may never say that it is."""
PAUSE_S: Final = 0.8
"""Pause that ends an utterance; our choice: rare within sentences."""
UTTERANCE_S: Final = 1.0 + PAUSE_S
"""Our choice: a shorter utterance may be noise, which nobody answers."""
VOICE_S: Final = 0.3
"""A shorter sound is in one measurement only: the click of the button, or a noise."""
BEAT_S: Final = 0.5
"""Half a period of the blinking lamp while the agent is thinking."""
LAST_BEAT: Final = 120
"""Our choice: the lamp stops blinking after a minute of thinking."""
FIRST_EARCON_BEAT: Final = 2
EARCON_BEATS: Final = 5
"""The earcon sounds 1 s after the agent has begun to think, then every 2.5 s."""
_ACTIVE: Final = frozenset({AgentState.THINKING, AgentState.SPEAKING})


def handle(state: State, event: AgentEvent, now_s: float) -> State:
    """Handle an event of the agent."""
    match event:
        case AgentChanged(agent=agent):
            return _changed(state, agent, now_s)
        case AgentFailed():
            agent = state.conversation.agent
            is_of_agent = agent is not None and agent.id == event.id
            return _unresponsive(state) if is_of_agent else state
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
        conversation.reaction_due_s,
        _ready_due_s(state),
        _beat_due_s(conversation),
    )


def tick(state: State, now_s: float) -> Step:
    """Remove old captions, notice a missing reaction, and signal that it thinks."""
    if now_s < due_s(state):
        return state, ()
    if now_s >= state.conversation.reaction_due_s:
        state = _unresponsive(state)
    conversation = state.conversation
    if now_s >= conversation.captions_until_s:
        conversation = replace(conversation, captions=(), captions_until_s=inf)
    if now_s >= _ready_due_s(state):
        conversation = replace(conversation, is_ready=True)
    return _with_beat(replace(state, conversation=conversation), now_s)


def is_lamp_lit(state: State) -> bool:
    """Return whether the receiving lamp is in the lit half of its blinking."""
    is_even = state.conversation.beats % 2 == 0
    return state.is_connected and _is_thinking(state.conversation) and is_even


def follow(before: State, after: State, now_s: float) -> Step:
    """Mute the agent and tell it about the turn, as the talk demands."""
    if after.conversation.agent is not None:
        after = replace(after, conversation=_followed(before, after, now_s))
    after, turn = _with_turn(before, after)
    return after, (*_muting(before, after), *turn)


def takes_lines(state: State) -> bool:
    """Return whether typed lines are sent at once.

    Among programs they wait until the agent is ready: nobody keeps what comes before.
    """
    conversation = state.conversation
    # An agent may be reported a moment after the list of participants.
    is_coming = conversation.is_expected or bool(state.people)
    is_waiting = state.has_only_programs and is_coming and not conversation.is_ready
    return state.is_connected and not is_waiting


def _beat_due_s(conversation: Conversation) -> float:
    """Return when the lamp changes next; infinity: it does not blink."""
    if not _is_thinking(conversation) or conversation.beats >= LAST_BEAT:
        return inf
    return conversation.since_s + (conversation.beats + 1) * BEAT_S


def _with_beat(state: State, now_s: float) -> Step:
    """Blink if it is due, and play the earcon with some of the beats."""
    conversation = state.conversation
    if now_s < _beat_due_s(conversation):
        return state, ()
    beats = round((now_s - conversation.since_s) / BEAT_S)
    is_due = beats % EARCON_BEATS == FIRST_EARCON_BEAT and not state.talk.is_on
    earcon = (PlayEarcon(Earcon.THINKING),) if is_due else ()
    conversation = replace(conversation, beats=beats)
    return replace(state, conversation=conversation), earcon


def _is_thinking(conversation: Conversation) -> bool:
    agent = conversation.agent
    return agent is not None and agent.state is AgentState.THINKING


def _followed(before: State, after: State, now_s: float) -> Conversation:
    """Follow what is said here, and await a reaction at the end of a turn."""
    conversation = after.conversation
    if not (before.is_connected and after.is_connected):
        # Neither what was said nor a reaction may have got through.
        return _reacted(conversation)
    if after.talk.is_on and not before.talk.is_on:
        conversation = replace(conversation, voice_at_s=None, is_answering=False)
        after = replace(after, conversation=conversation)
    conversation = _with_voice(before, after, now_s)
    after = replace(after, conversation=conversation)
    was_speaking, is_speaking = _is_speaking(before), _is_speaking(after)
    if was_speaking and not is_speaking and conversation.voice_at_s is not None:
        due_s = now_s + REACTION_S if _should_react(after, now_s) else inf
        return replace(conversation, voice_at_s=None, reaction_due_s=due_s)
    # Not when only the tail of a latched talk is sent.
    if is_speaking and not was_speaking and after.talk.is_open:
        return replace(conversation, reaction_due_s=inf)
    return conversation


def _with_voice(before: State, after: State, now_s: float) -> Conversation:
    """Return the conversation with the begin and the end of voice in this talk."""
    conversation = after.conversation
    voice_at_s, until_s = conversation.voice_at_s, conversation.utterance_until_s
    is_voice = after.talk.is_on and after.levels.is_voice
    # Levels that were measured before the press are not of this talk.
    is_measured = after.levels is not before.levels
    # In a latched talk it may be the agent's own voice.
    is_new = not (_is_active(conversation) and after.talk.is_latched)
    if until_s is not None and now_s >= until_s:
        until_s = None
    if is_voice:
        if is_measured and is_new and voice_at_s is None:
            voice_at_s = now_s
        # A single noise does not interrupt the agent.
        is_again = is_measured and before.levels.is_voice
        if until_s is not None or is_new or is_again:
            until_s = inf
    else:
        if voice_at_s is not None and now_s - voice_at_s < VOICE_S:
            voice_at_s = None
        if until_s == inf:
            until_s = now_s + PAUSE_S
    if not (after.talk.is_latched and after.talk.is_on):
        until_s = None
    return replace(conversation, voice_at_s=voice_at_s, utterance_until_s=until_s)


def _is_turn(state: State) -> bool:
    """Return whether somebody says something here to the agent."""
    if state.is_open_mode:
        return state.conversation.utterance_until_s is not None
    return state.talk.is_on


def _is_speaking(state: State) -> bool:
    """Return whether somebody says something here to which the agent will react."""
    agent = state.conversation.agent
    is_told = agent is not None and agent.takes_turns
    if state.is_open_mode or (state.talk.is_latched and not is_told):
        return state.conversation.utterance_until_s is not None
    return state.talk.is_on


def _should_react(state: State, now_s: float) -> bool:
    """Return whether the agent has to react to what ends now."""
    agent, voice_at_s = state.conversation.agent, state.conversation.voice_at_s
    if agent is None or agent.state is AgentState.INITIALIZING or voice_at_s is None:
        return False
    is_latched = state.is_open_mode or state.talk.is_latched
    is_noise = is_latched and now_s - voice_at_s < UTTERANCE_S
    # Among several participants it may listen to another one.
    is_listening = agent.takes_turns or state.has_only_programs
    return is_listening and not is_noise and not _is_taken_back(state)


def _is_active(conversation: Conversation) -> bool:
    """Return whether the agent says that it thinks or speaks."""
    agent = conversation.agent
    return agent is not None and agent.state in _ACTIVE


def _changed(state: State, agent: VoiceAgent | None, now_s: float) -> State:
    """Store the agent, and notice its reaction to what was said."""
    conversation = state.conversation
    before = conversation.agent
    if agent is None or before is None or agent.id != before.id:
        before = None
        conversation = Conversation(
            is_expected=conversation.is_expected,
            is_awaited=conversation.is_awaited and agent is None,
            return_at_s=conversation.return_at_s,
            is_used=conversation.is_used,
            since_s=now_s,
            captions=conversation.captions,
            captions_until_s=conversation.captions_until_s,
        )
    if agent is None:
        return replace(state, conversation=conversation)
    if before is None or before.state is not agent.state:
        is_answer = state.talk.is_latched and _is_answer(before, agent)
        if is_answer and state.config.sound.half_duplex:
            # Nobody is played while the gate is open.
            state = replace(state, talk=replace(state.talk, is_latched=False))
        is_answering = conversation.is_answering or is_answer
        conversation = replace(
            conversation, since_s=now_s, beats=0, is_answering=is_answering
        )
        if agent.state in _ACTIVE:
            conversation = _reacted(conversation)
    is_ready = conversation.is_ready or agent.state is not AgentState.INITIALIZING
    conversation = replace(conversation, agent=agent, is_ready=is_ready)
    return replace(state, conversation=conversation)


def _is_answer(before: VoiceAgent | None, agent: VoiceAgent) -> bool:
    """Return whether an answer begins, and does not just go on.

    An agent with a realtime model speaks without having been in the state `thinking`.
    """
    is_new = before is None or before.state not in _ACTIVE
    return agent.state is AgentState.THINKING or (
        agent.state is AgentState.SPEAKING and is_new
    )


def _unresponsive(state: State) -> State:
    conversation = replace(state.conversation, is_unresponsive=True, reaction_due_s=inf)
    return replace(state, conversation=conversation)


def _captioned(state: State, caption: Caption, now_s: float) -> State:
    """Show the caption, and make it a line of the chat when it is complete."""
    caption = replace(caption, is_own=caption.talker_id == state.identity)
    conversation = replace(
        state.conversation,
        captions=with_caption(state.conversation.captions, caption),
        captions_until_s=now_s + CAPTION_S,
    )
    agent = conversation.agent
    if caption.is_own or (agent is not None and agent.id == caption.talker_id):
        conversation = _reacted(conversation)
    chat = state.chat.spoken(caption) if caption.is_final else state.chat
    return replace(state, conversation=conversation, chat=chat)


def _reacted(conversation: Conversation) -> Conversation:
    return replace(
        conversation, reaction_due_s=inf, voice_at_s=None, is_unresponsive=False
    )


def _ready_due_s(state: State) -> float:
    """Return when the agent counts as ready although it does not say so."""
    conversation = state.conversation
    if conversation.is_ready or conversation.agent is None:
        return inf
    return conversation.since_s + STARTING_S


def _is_taken_back(state: State) -> bool:
    """Return whether a mute takes back what was said.

    Not in `open` mode, where the mute is the only way to end a talk.
    """
    return state.talk.is_muted and not state.is_open_mode


def _muting(before: State, after: State) -> tuple[Command, ...]:
    """Return the command to play the agent or not, if that has changed."""
    is_muted = _is_agent_muted(after)
    if not after.is_in_room or is_muted == _is_agent_muted(before):
        return ()
    return (MuteAgent(after.ticket, is_muted),)


def _is_agent_muted(state: State) -> bool:
    """Return whether the agent is not played, because somebody talks here."""
    conversation = state.conversation
    is_heard = conversation.is_answering or state.is_open_mode
    return conversation.agent is not None and state.talk.is_on and not is_heard


def _with_turn(before: State, after: State) -> Step:
    """Tell the agent that our turn begins or ends; a mute takes it back.

    During an interruption nothing reaches it: it is told afterwards. It offers no
    methods for turns before it is ready.
    """
    conversation = after.conversation
    is_ready = conversation.agent is not None and conversation.is_ready
    has_turn = _is_turn(after) and is_ready
    if after.is_connected and has_turn != conversation.has_turn:
        ended = Turn.CANCEL if _is_taken_back(after) else Turn.END
        turn = Turn.START if has_turn else ended
        conversation = replace(conversation, has_turn=has_turn)
        after = replace(after, conversation=conversation)
        return after, (TakeTurn(after.ticket, turn),)
    is_over = before.talk.is_on and not after.talk.is_on
    has_agent = conversation.agent is not None or conversation.is_awaited
    is_kept = has_agent and not is_ready
    if is_over and is_kept and _is_taken_back(after):
        # What was said is kept for the agent, and it is not to hear that either.
        return after, (TakeTurn(after.ticket, Turn.CANCEL),)
    return after, ()
