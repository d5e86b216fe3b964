"""Voice agent in the room: its state and captions, turns, and speech kept for it.

When it is told of a turn, and muted, is decided in `core.voice_agent`.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import numpy as np
from livekit import rtc

from appliance.core.chat import UNKNOWN_ID
from appliance.core.commands import JoinRoom, MuteAgent, TakeTurn, Turn
from appliance.core.events import (
    AgentFailed,
    AgentState,
    Caption,
    CaptionReceived,
    VoiceAgent,
)
from appliance.pcm import RATE_HZ, SILENCE, Block
from appliance.process.background import Spawn
from appliance.room.chat_channel import Report, TextStreams
from appliance.room.chat_format import ID_CHARACTERS, time_ms
from appliance.room.connection import SessionContext
from appliance.room.ffi import Sink
from appliance.room.participants import (
    AGENT_STATE,
    display_name,
    is_agent,
    is_text,
    name_of,
)
from appliance.room.subscriber import Subscriber

CAPTION_TOPIC: Final = "lk.transcription"
ON_BEHALF: Final = "lk.publish_on_behalf"
"""Attribute of an avatar, which speaks for the agent with this identity."""
PUSH_TO_TALK: Final = "push-to-talk"
"""Attribute that says "1" if the agent takes turns."""
REFUSALS: Final = 3
"""After so many refused requests the agent is told of no further turns, unless it says
that it takes them. Not after one: it may offer the methods a moment later."""
BUSY: Final = frozenset({AgentState.THINKING, AgentState.SPEAKING})
"""States in which an error of the agent's method does not mean that its session ended.
"""
_Rpc = rtc.RpcError.ErrorCode
ARRIVAL_S: Final = 2.0
"""Time-out for the request to arrive; the library's own 7 s are for relays."""
ANSWER_S: Final = 6.0
"""Time-out for the answer: an agent may wait 5 s for its transcription."""

PRE_CONNECT_TOPIC: Final = "lk.agent.pre-connect-audio-buffer"
KEPT_BLOCKS: Final = 1000
"""10 s; of a longer talk the end is kept."""
STALE_S: Final = 30.0
"""Speech is dropped if no agent has come so long after its last word; our choice."""
DECIMATION: Final = 3
"""48 to 16 kHz, which is what speech recognition uses."""
SEND_S: Final = 10.0

_log = logging.getLogger(__name__)


class RoomAgent:
    """The voice agent of one session, if there is one; no turns on dTelecom."""

    def __init__(
        self,
        command: JoinRoom,
        room: rtc.Room,
        context: SessionContext,
        subscriber: Subscriber,
    ) -> None:
        """Start without an agent; captions are received from now on."""
        self._ticket, self._context = command.ticket, context
        self._room, self._subscriber = room, subscriber
        self._has_turns = not command.details.is_dtelecom
        is_kept = command.details.expects_agent
        self._pre_connect = PreConnectAudio(room, context.spawn) if is_kept else None
        self.recorder = self._pre_connect.recorded if self._pre_connect else None
        """Adds the recorder for an expected agent to a sink; None: none is expected."""
        TextStreams(room, CAPTION_TOPIC, context.spawn, self._caption_opened)
        self._is_muted = False
        self._takes_turns: set[str] = set()
        """Session ids of agents that have accepted a turn."""
        self._refusals: Counter[str] = Counter()
        self._turn = Turn.END
        """The newest one."""
        self._started = self._postponed = ""
        """Identity of the agent that was told of the newest start, and of one that
        refused it because it was busy."""

    def look(self) -> VoiceAgent | None:
        """Return the agent to talk to, after serving it; call it every `LOOK_S`."""
        agents = self._agents()
        agent = self._described(agents[0]) if agents else None
        if agent and agent.id == self._postponed and agent.state not in BUSY:
            self._take_turn(Turn.START)
        if self._is_muted:
            self._apply_mute()
        if self._pre_connect is not None:
            for each in agents:
                self._pre_connect.offer(each)
        return agent

    def do(self, command: MuteAgent | TakeTurn) -> None:
        """Carry out the command; a cancelled turn is not kept for an agent either."""
        if isinstance(command, MuteAgent):
            self._is_muted = command.is_on
            self._apply_mute()
            return
        if self._pre_connect is not None and command.turn is Turn.CANCEL:
            self._pre_connect.forget()
        if self._has_turns:
            self._take_turn(command.turn)

    def _caption_opened(self, info: rtc.TextStreamInfo, identity: str) -> Report | None:
        """Begin to read a caption, of an agent or of a person."""
        segment = (info.attributes or {}).get("lk.segment_id") or info.stream_id
        is_known = identity not in {"", UNKNOWN_ID}
        if not is_known or max(len(segment), len(identity)) > ID_CHARACTERS:
            return None
        ts_ms = time_ms(info.timestamp, time.time_ns() // 1_000_000)
        known = self._room.remote_participants.get(identity)
        if known is not None:
            talker = name_of(self._room, known)
        else:
            me = self._room.local_participant
            talker = display_name(me.name if identity == me.identity else "", identity)
        is_of_agent = known is not None and is_agent(known)

        def report(raw: str, fault: str | None) -> None:
            text = "".join(filter(is_text, raw)).strip()
            is_marked = (info.attributes or {}).get("lk.transcription_final") == "true"
            # An agent does not send a stream again that it has aborted.
            is_final = fault is not None and (is_of_agent if fault else is_marked)
            caption = Caption(segment, identity, talker, text, is_final, ts_ms=ts_ms)
            if text:
                self._context.post(CaptionReceived(self._ticket, caption))

        return report

    def _take_turn(self, turn: Turn) -> None:
        """Tell the agent about our turn, unless it does not take turns."""
        self._turn, self._postponed = turn, ""
        agents = self._agents()
        if turn is not Turn.START:
            # Another agent, its replacement for example, knows nothing of this turn.
            agents = [one for one in agents if one.identity == self._started]
        if not agents:
            return
        agent = agents[0]
        takes_turns = self._described(agent).takes_turns
        if self._refusals[agent.sid] >= REFUSALS and not takes_turns:
            return
        self._started = agent.identity
        self._context.spawn(self._call(agent, turn))

    async def _call(self, agent: rtc.RemoteParticipant, turn: Turn) -> None:
        was_busy = _state(agent) in BUSY
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
            _log.debug("turn not taken  turn=%s code=%d", turn, exc.code)
            is_busy = was_busy or _state(agent) in BUSY
            has_failed = exc.code == _Rpc.APPLICATION_ERROR
            if exc.code == _Rpc.UNSUPPORTED_METHOD:
                self._refusals[agent.sid] += 1
            elif has_failed and not is_busy:
                _log.warning("the agent's session has ended  code=%d", exc.code)
                self._context.post(AgentFailed(self._ticket, agent.identity))
            elif has_failed and turn is self._turn is Turn.START:
                # What it says may not be interrupted, for example a greeting.
                self._postponed = agent.identity
        else:
            self._takes_turns.add(agent.sid)

    def _apply_mute(self) -> None:
        others = self._room.remote_participants.values()
        agents = frozenset(x.identity for x in others if is_agent(x))
        self._subscriber.mute(agents if self._is_muted else frozenset())

    def _agents(self) -> list[rtc.RemoteParticipant]:
        """Return the agents without avatars, first the one to talk to.

        That is the last to come of those that publish their state, or else of all: one
        that has crashed stays listed for a while.
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


class PreConnectAudio:
    """Ring of the blocks that were sent while there was no agent.

    The published track says that a byte stream with them follows: without one, even an
    empty one, every agent would hear nothing for three seconds.

    Thread: the loop's, and the audio adapter's for what `recorded` returns.
    """

    def __init__(
        self, room: rtc.Room, spawn: Spawn, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Start without speech."""
        self._now_s = now_s
        self._room = room
        self._spawn = spawn
        self._blocks: deque[Block] = deque(maxlen=KEPT_BLOCKS)
        self._last_s = 0.0
        self._is_recording = True
        self._sent: set[tuple[str, str]] = set()
        """Session ids of agents and ids of our track that were sent a stream."""

    def recorded(self, send: Sink) -> Sink:
        """Return `send`, with a copy of each block kept until an agent comes."""

        def record_and_send(block: Block) -> None:
            if self._is_recording and block is not SILENCE:
                now_s = self._now_s()
                if now_s - self._last_s > STALE_S:
                    self._blocks.clear()
                self._blocks.append(block.copy())
                self._last_s = now_s
            send(block)

        return record_and_send

    def forget(self) -> None:
        """Forget what was said; what is said later is kept."""
        self._blocks.clear()

    def offer(self, agent: rtc.RemoteParticipant) -> None:
        """Send the stream to an agent that listens, once for each track.

        LiveKit's agents publish their state when they can receive the stream. If it
        cannot be sent, what was said is lost.
        """
        track_sid = self._track_sid()
        key = (agent.sid, track_sid)
        is_ready = AGENT_STATE in agent.attributes
        if not is_ready or not track_sid or key in self._sent:
            return
        self._sent.add(key)
        self._is_recording = False
        is_stale = self._now_s() - self._last_s > STALE_S
        blocks = [] if is_stale else list(self._blocks)
        self.forget()
        self._spawn(self._send(agent.identity, track_sid, _pcm(blocks)))

    def _track_sid(self) -> str:
        """Return the id of the newest track: the SDK lists one that it lost, too."""
        own = self._room.local_participant.track_publications.values()
        microphones = [
            x.sid for x in own if x.source == rtc.TrackSource.SOURCE_MICROPHONE
        ]
        return microphones[-1] if microphones else ""

    async def _send(self, identity: str, track_sid: str, pcm: bytes) -> None:
        attributes = {
            "trackId": track_sid,
            "sampleRate": str(RATE_HZ // DECIMATION),
            "channels": "1",
        }
        try:
            async with asyncio.timeout(SEND_S):
                writer = await self._room.local_participant.stream_bytes(
                    "pre-connect",
                    topic=PRE_CONNECT_TOPIC,
                    attributes=attributes,
                    destination_identities=[identity],
                    total_size=len(pcm),
                )
                if pcm:
                    await writer.write(pcm)
                await writer.aclose()
        except (rtc.StreamError, TimeoutError) as exc:
            _log.warning("kept speech not sent  error=%s", type(exc).__name__)
        else:
            _log.info("kept speech sent to the agent  bytes=%d", len(pcm))


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


def _pcm(blocks: list[Block]) -> bytes:
    if not blocks:
        return b""
    samples = np.concatenate(blocks).reshape(-1, DECIMATION)
    slower: Block = samples.mean(axis=1).astype(np.int16)
    return slower.tobytes()
