"""Voice agent in the room: its state, its audio on or off, and its turns."""

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from livekit import rtc

from appliance.core.commands import Turn
from appliance.core.events import Agent, AgentChanged, AgentFailed, AgentState
from appliance.room.captions import Captions
from appliance.room.connection import SessionContext
from appliance.room.participants import is_agent, name_of
from appliance.room.subscriber import Subscriber

if TYPE_CHECKING:
    from appliance.room.kept_speech import KeptSpeech

STATE: Final = "lk.agent.state"
ON_BEHALF: Final = "lk.publish_on_behalf"
"""Attribute of an avatar, which speaks for the agent with this identity."""
PUSH_TO_TALK: Final = "push-to-talk"
"""Attribute that says "1" if the agent takes turns."""
METHODS: Final = {
    Turn.START: "start_turn",
    Turn.END: "end_turn",
    Turn.CANCEL: "cancel_turn",
}
REFUSALS: Final = 3
"""Requests that an agent may not know before it is told of no turn any more: it may
offer the methods a moment after its state says that it is ready."""
ARRIVAL_S: Final = 2.0
"""Time-out for the request to arrive; the library's own 7 s are for relays."""
ANSWER_S: Final = 6.0
"""Time-out for the answer: an agent may wait 5 s for its transcription."""

_log = logging.getLogger(__name__)


class RoomAgent:
    """The agent of one session; loaded when there is one."""

    def __init__(
        self,
        ticket: int,
        room: rtc.Room,
        context: SessionContext,
        subscriber: Subscriber,
        kept_speech: "KeptSpeech | None",
    ) -> None:
        """Start receiving captions."""
        self._ticket = ticket
        self._room = room
        self._post = context.post
        self._spawn = context.spawn
        self._subscriber = subscriber
        self._kept_speech = kept_speech
        self._captions = Captions(ticket, room, context.post, context.spawn)
        self._posted: Agent | None = None
        self._is_muted = False
        self._takes_turns: set[str] = set()
        self._refusals: Counter[str] = Counter()
        self._calls: set[asyncio.Task[Any]] = set()

    def close(self) -> None:
        """Stop everything."""
        self._captions.close()
        for call in self._calls:
            call.cancel()

    def changed(self) -> None:
        """Post the agent, if it is different from the last one posted."""
        found = self._find()
        agent = None if found is None else self._described(found)
        if agent != self._posted:
            self._posted = agent
            self._post(AgentChanged(self._ticket, agent))
        if self._is_muted:
            self._apply_mute()
        if found is not None and self._kept_speech is not None:
            self._kept_speech.offer(found)

    def mute(self, *, is_on: bool) -> None:
        """Play what agents and their avatars say, or not."""
        self._is_muted = is_on
        self._apply_mute()

    def take_turn(self, turn: Turn) -> None:
        """Tell the agent about our turn, unless it does not take turns."""
        found = self._find()
        if found is None or self._refusals[found.sid] >= REFUSALS:
            return
        call = self._spawn(self._call(found, turn))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _call(self, agent: rtc.RemoteParticipant, turn: Turn) -> None:
        try:
            await self._room.local_participant.perform_rpc(
                destination_identity=agent.identity,
                method=METHODS[turn],
                payload="",
                response_timeout=ANSWER_S,
                max_round_trip_latency=ARRIVAL_S,
            )
        except rtc.RpcError as exc:
            self._refused(agent, turn, exc.code)
        else:
            self._takes_turns.add(agent.sid)
            self.changed()

    def _refused(self, agent: rtc.RemoteParticipant, turn: Turn, code: int) -> None:
        _log.debug("turn not taken  turn=%s code=%d", turn, code)
        if code == rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD:
            self._refusals[agent.sid] += 1
        elif code == rtc.RpcError.ErrorCode.APPLICATION_ERROR:
            _log.warning("the agent's session has ended  code=%d", code)
            self._post(AgentFailed(self._ticket, agent.identity))

    def _apply_mute(self) -> None:
        others = self._room.remote_participants.values()
        agents = frozenset(x.identity for x in others if is_agent(x))
        self._subscriber.mute(agents if self._is_muted else frozenset())

    def _find(self) -> rtc.RemoteParticipant | None:
        """Return the first agent, and rather one that publishes its state."""
        agents = [
            other
            for other in self._room.remote_participants.values()
            if is_agent(other) and ON_BEHALF not in other.attributes
        ]
        return next((x for x in agents if STATE in x.attributes), None) or next(
            iter(agents), None
        )

    def _described(self, found: rtc.RemoteParticipant) -> Agent:
        attributes = found.attributes
        return Agent(
            found.identity,
            name_of(self._room, found),
            _state(attributes.get(STATE)),
            found.sid in self._takes_turns or attributes.get(PUSH_TO_TALK) == "1",
        )


def _state(name: str | None) -> AgentState:
    """Return the state of this name; a missing one may follow, others are new."""
    if name is None:
        return AgentState.INITIALIZING
    return AgentState(name) if name in set(AgentState) else AgentState.IDLE
