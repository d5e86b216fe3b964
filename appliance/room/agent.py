"""Voice agent in the room: reads its state and captions, sends turns, mutes its audio.

When it does so is decided in `core.voice_agent`.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from livekit import rtc

from appliance.core.chat import UNKNOWN_ID
from appliance.core.commands import JoinRoom, MuteAgent, TakeTurn, Turn
from appliance.core.events import (
    AgentChanged,
    AgentFailed,
    AgentState,
    Caption,
    CaptionReceived,
    VoiceAgent,
)
from appliance.ports import Post
from appliance.process.background import Spawn
from appliance.room.chat_format import ID_CHARACTERS, TEXT_CHARACTERS, time_ms
from appliance.room.connection import SessionContext
from appliance.room.participants import (
    AGENT_STATE,
    display_name,
    is_agent,
    is_text,
    name_of,
)
from appliance.room.pre_connect_audio import PreConnectAudio
from appliance.room.subscriber import Subscriber
from appliance.room.text_streams import Report, StreamTopic, TextStreams

_TOPIC: Final = StreamTopic(
    name="lk.transcription",
    total=24,
    # An agent needs two.
    each=6,
    characters=TEXT_CHARACTERS,
    # Least interval between two reports of a segment: the page has ten views a second.
    growth_s=0.1,
)
ON_BEHALF: Final = "lk.publish_on_behalf"
"""Attribute of an avatar, which speaks for the agent with this identity."""
PUSH_TO_TALK: Final = "push-to-talk"
"""Attribute that says "1" if the agent takes turns."""
REFUSALS: Final = 3
"""After so many refused requests the agent is told of no further turns, unless it says
that it takes turns. Not after one: it may offer the methods a moment after its state
says that it is ready."""
BUSY: Final = frozenset({AgentState.THINKING, AgentState.SPEAKING})
"""States in which an error of an agent's method does not mean that its session is over.
"""
_Rpc = rtc.RpcError.ErrorCode
LOST: Final = (_Rpc.CONNECTION_TIMEOUT, _Rpc.SEND_FAILED, _Rpc.RECIPIENT_DISCONNECTED)
"""Errors of a request that may not have reached the agent."""
TURN_AGAIN_S: Final = 30.0
"""Our choice: a turn is not sent again if the interruption was noticed so long after
it. It may have reached the agent, which would forget what was said since."""
ARRIVAL_S: Final = 2.0
"""Time-out for the request to arrive; the library's own 7 s are for relays."""
ANSWER_S: Final = 6.0
"""Time-out for the answer: an agent may wait 5 s for its transcription."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Segment:
    """Words that are being received."""

    caption: Caption
    """Without its text."""
    is_agent: bool
    """An agent's words: an aborted stream is not sent again, so its text is final."""
    info: rtc.TextStreamInfo
    is_replaced: bool = False
    """A later stream has the same words and more."""


class Captions:
    """Receiver of the captions of one session."""

    def __init__(self, ticket: int, room: rtc.Room, post: Post, spawn: Spawn) -> None:
        """Start receiving."""
        self._ticket = ticket
        self._room = room
        self._post = post
        self._open: dict[tuple[str, str], _Segment] = {}
        """The newest stream of each talker's segment, until it ends."""
        self._streams = TextStreams(room, _TOPIC, spawn, self._opened, self._is_talker)

    def close(self) -> None:
        """Stop reading."""
        self._streams.close()

    def _opened(self, info: rtc.TextStreamInfo, identity: str) -> Report | None:
        segment = (info.attributes or {}).get("lk.segment_id") or info.stream_id
        is_known = identity not in {"", UNKNOWN_ID}
        if not is_known or max(len(segment), len(identity)) > ID_CHARACTERS:
            return None
        ts_ms = time_ms(info.timestamp, time.time_ns() // 1_000_000)
        name = self._name(identity)
        caption = Caption(segment, identity, name, "", is_final=False, ts_ms=ts_ms)
        found = _Segment(caption, self._is_of_agent(identity), info)
        if (earlier := self._open.get((identity, segment))) is not None:
            earlier.is_replaced = True
        self._open[identity, segment] = found
        return partial(self._report, found)

    def _is_talker(self, identity: str) -> bool:
        """Return whether these are an agent's words, or ours, which an agent sends.

        Only the server makes a participant an agent, so no guest can pretend to be one
        to get past the common limit.
        """
        is_own = identity == self._room.local_participant.identity
        return is_own or self._is_of_agent(identity)

    def _is_of_agent(self, identity: str) -> bool:
        known = self._room.remote_participants.get(identity)
        return known is not None and is_agent(known)

    def _report(self, found: _Segment, raw: str, fault: str | None) -> None:
        """Post the caption, unless a later stream has replaced this one."""
        key = found.caption.talker_id, found.caption.segment
        if fault is not None and self._open.get(key) is found:
            del self._open[key]
        text = "".join(filter(is_text, raw)).strip()
        if not text or found.is_replaced:
            return
        attributes = found.info.attributes or {}
        is_marked = attributes.get("lk.transcription_final") == "true"
        is_final = is_marked if fault == "" else found.is_agent and fault is not None
        caption = replace(found.caption, text=text, is_final=is_final)
        self._post(CaptionReceived(self._ticket, caption))

    def _name(self, identity: str) -> str:
        known = self._room.remote_participants.get(identity)
        if known is not None:
            return name_of(self._room, known)
        me = self._room.local_participant
        return display_name(me.name if identity == me.identity else "", identity)


class RoomAgent:
    """The voice agent of one session, if there is one."""

    def __init__(
        self,
        command: JoinRoom,
        room: rtc.Room,
        context: SessionContext,
        subscriber: Subscriber,
        is_paused: Callable[[], bool],
    ) -> None:
        """Listen to the room, which is not connected yet.

        Nothing is posted while the connection `is_paused`, as in `Participants`.
        dTelecom's servers carry no remote procedure calls: there are no turns.
        """
        self._ticket, self._context = command.ticket, context
        self._room, self._subscriber = room, subscriber
        self._has_calls = not command.details.is_dtelecom
        is_kept = command.details.expects_agent
        self._pre_connect = PreConnectAudio(room, context.spawn) if is_kept else None
        self.recorder = self._pre_connect.recorded if self._pre_connect else None
        """Adds the recorder for an expected agent to a sink; None: none is expected."""
        self._captions: Captions | None = None
        self._is_paused = is_paused
        self._has_joined = self._is_muted = False
        self._posted: VoiceAgent | None = None
        self._takes_turns: set[str] = set()
        self._refusals: Counter[str] = Counter()
        self._turn, self._told_s = Turn.END, 0.0
        """The newest one that the agent was told of, and when it was told last."""
        self._started = self._postponed = ""
        """Identity of the agent that was told of the newest start, and session id of
        one that refused it because it was busy."""
        self._calls = self._start = 0
        """Number of calls to agents so far, and of the one with the newest start."""
        self._connections = 0
        """Number of new connections that the library has made."""
        self._is_start_lost = self._is_lost = False
        """The newest start, and the newest turn, may not have reached the agent."""
        self._loop = asyncio.get_running_loop()
        for event in (
            "participant_connected",
            "participant_attributes_changed",
            "participant_name_changed",
            "local_track_published",
        ):
            room.on(event, self._room_changed)

    def joined(self) -> None:
        """Post the agent that is there, after `RoomJoined`, and every later change."""
        self._has_joined = True
        self._receive_captions()
        self.look()

    def resume(self, paused_s: float, *, is_new: bool) -> None:
        """Look after an interruption, and send a lost turn again.

        It was lost with the old connection only if there is a new one: on one that is
        only resumed, it arrives late. `paused_s` is when the interruption was noticed.
        """
        if self._pre_connect is not None:
            self._pre_connect.resume(is_new=is_new)
        self.look(is_settled=True)
        if is_new:
            self._connections += 1
            is_recent = paused_s - self._told_s < TURN_AGAIN_S
            if self._is_lost and is_recent:
                self._take_turn_again()

    def do(self, command: MuteAgent | TakeTurn) -> None:
        """Carry out the command; a cancelled turn is not kept for an agent either."""
        if isinstance(command, MuteAgent):
            self._is_muted = command.is_on
            self._apply_mute()
            return
        if self._pre_connect is not None:
            if command.turn is Turn.CANCEL:
                self._pre_connect.forget()
            elif command.turn is Turn.START and self._turn is not Turn.START:
                self._pre_connect.talk_began()
        self._turn, self._postponed = command.turn, ""
        if self._has_calls:
            self._take_turn(command.turn)

    def look(self, *, is_settled: bool = False) -> None:
        """Post the agent, if it is different from the last one posted.

        That it has left only if it `is_settled`, as in `Participants`.
        """
        if not self._has_joined or self._is_paused():
            return
        agents = self._agents()
        agent = self._described(agents[0]) if agents else None
        if agent != self._posted and (agent or is_settled):
            self._posted = agent
            self._context.post(AgentChanged(self._ticket, agent))
        is_postponed = agents and agents[0].sid == self._postponed
        if is_postponed and agent and agent.state not in BUSY:
            self._postponed = ""
            if self._turn is Turn.START:
                self._take_turn(Turn.START)
        if self._is_muted:
            self._apply_mute()
        if self._pre_connect is not None:
            for each in agents:
                self._pre_connect.offer(each)

    def close(self) -> None:
        """Stop everything."""
        self._has_joined = False
        if self._captions is not None:
            self._captions.close()

    def _room_changed(self, *_: object) -> None:
        # Captions may follow the agent in the same moment.
        self._receive_captions()
        # The SDK ignores an exception in a callback, the loop does not.
        self._loop.call_soon(self.look)

    def _receive_captions(self) -> None:
        """Receive captions from the arrival of the first agent on."""
        others = self._room.remote_participants.values()
        if self._captions is None and any(map(is_agent, others)):
            context = self._context
            self._captions = Captions(
                self._ticket, self._room, context.post, context.spawn
            )

    def _take_turn(self, turn: Turn) -> None:
        """Tell the agent about our turn, unless it does not take turns."""
        self._is_lost, self._told_s = False, time.monotonic()
        agents = self._agents()
        if turn is not Turn.START:
            # Another agent, its replacement for example, knows nothing of this turn.
            agents = [one for one in agents if one.identity == self._started]
        if not agents:
            return
        agent = self._described(agents[0])
        if self._refusals[agents[0].sid] >= REFUSALS and not agent.takes_turns:
            return
        self._started = agent.id
        self._calls += 1
        if turn is Turn.START:
            self._start, self._is_start_lost = self._calls, False
        self._context.spawn(self._call(agents[0], turn, self._calls))

    def _take_turn_again(self) -> None:
        """Send a lost turn again, unless an agent that has missed nothing would answer.

        One that thinks or speaks has heard the end, and one that did not hear the start
        has nothing to answer.
        """
        busy = [one.identity for one in self._agents() if _state(one) in BUSY]
        is_answering = self._started in busy
        if self._turn is not Turn.END or not (is_answering or self._is_start_lost):
            self._take_turn(self._turn)

    async def _call(
        self, agent: rtc.RemoteParticipant, turn: Turn, number: int
    ) -> None:
        was_busy, connections = _state(agent) in BUSY, self._connections
        try:
            await self._room.local_participant.perform_rpc(
                destination_identity=agent.identity,
                # start_turn, end_turn or cancel_turn
                method=f"{turn}_turn",
                payload="",
                response_timeout=ANSWER_S,
                max_round_trip_latency=ARRIVAL_S,
            )
        except rtc.RpcError as exc:
            is_error = exc.code == _Rpc.APPLICATION_ERROR
            # A later call may have told it of the turn meanwhile.
            is_newest = number == self._calls and turn is self._turn
            if is_error and (was_busy or _state(agent) in BUSY):
                # What it says may not be interrupted, for example a greeting.
                if turn is Turn.START and is_newest:
                    self._postponed = agent.sid
                self.look()
            else:
                self._refused(agent, turn, exc.code)
            if exc.code in LOST:
                self._is_start_lost |= number == self._start
                self._is_lost |= is_newest
                if is_newest and connections != self._connections:
                    self._take_turn_again()
        else:
            self._takes_turns.add(agent.sid)
            self.look()

    def _refused(self, agent: rtc.RemoteParticipant, turn: Turn, code: int) -> None:
        _log.debug("turn not taken  turn=%s code=%d", turn, code)
        if code == _Rpc.UNSUPPORTED_METHOD:
            self._refusals[agent.sid] += 1
        elif code == _Rpc.APPLICATION_ERROR:
            _log.warning("the agent's session has ended  code=%d", code)
            self._context.post(AgentFailed(self._ticket, agent.identity))

    def _apply_mute(self) -> None:
        others = self._room.remote_participants.values()
        agents = frozenset(x.identity for x in others if is_agent(x))
        self._subscriber.mute(agents if self._is_muted else frozenset())

    def _agents(self) -> list[rtc.RemoteParticipant]:
        """Return the agents without avatars, first the one to talk to.

        That is the last to come of those that publish their state, or else of all: one
        that has crashed is listed until the server notices it, its replacement too.
        """
        agents = (
            other
            for other in self._room.remote_participants.values()
            if is_agent(other) and ON_BEHALF not in other.attributes
        )
        return sorted(agents, key=_precedence)

    def _described(self, found: rtc.RemoteParticipant) -> VoiceAgent:
        return VoiceAgent(
            found.identity,
            name_of(self._room, found),
            _state(found),
            found.sid in self._takes_turns or found.attributes.get(PUSH_TO_TALK) == "1",
        )


def _precedence(agent: rtc.RemoteParticipant) -> tuple[bool, float]:
    """Return a sort key; the lowest is that of the agent to talk to."""
    joined_at = agent.joined_at
    joined_s = joined_at.timestamp() if joined_at is not None else 0.0
    return (AGENT_STATE not in agent.attributes, -joined_s)


def _state(agent: rtc.RemoteParticipant) -> AgentState:
    """Return the agent's state; a missing one may follow, unknown ones are new."""
    name = agent.attributes.get(AGENT_STATE)
    if name is None:
        return AgentState.INITIALIZING
    return AgentState(name) if name in set(AgentState) else AgentState.IDLE
