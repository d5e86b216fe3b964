"""Counters of joins, reconnects, chat and talk, and figures of the audio path."""

import logging
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from appliance.core.chat import Delivery
from appliance.core.events import (
    CaptionReceived,
    Cause,
    ChatFailed,
    ConnectionMeasured,
    Event,
    FirstBlockSent,
)
from appliance.core.state import Goal, Phase, State


class AudioDirection(StrEnum):
    """Direction of audio or chat, seen from the appliance."""

    SEND = "send"
    """Microphone to room."""
    RECEIVE = "receive"
    """Room to speaker."""


class AudioFault(StrEnum):
    """Faults of the audio path; `exposition` says what each is."""

    XRUN = "xrun"
    DROP = "drop"
    STALL = "stall"
    UNPLUG = "unplug"
    OVERFLOW = "overflow"
    UNDERFLOW = "underflow"


@dataclass(frozen=True, slots=True)
class AudioFigures:
    """Counts since the process started, and present values."""

    blocks: Mapping[AudioDirection, int] = field(default_factory=dict)
    """Blocks of 10 ms that went to the encoder or to the card, silence included."""
    faults: Mapping[tuple[AudioDirection, AudioFault], int] = field(
        default_factory=dict
    )
    depth_s: Mapping[str, float] = field(default_factory=dict)
    """Audio waiting in each buffer, by the buffer's name."""
    drift_ppm: float = 0.0
    """How much faster the speaker's clock runs than the newest talker's."""


ACCESS_BOUNDS_S = (0.005, 0.01, 0.015, 0.02, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Seconds; 0.025 is our target, 0.3 the limit of 3GPP TS 22.179 for 95 %."""
RESUMED = "resumed"
"""Cause of a reconnect by LiveKit itself, without a new session."""
CONNECTION = {
    Phase.LEFT: 0,
    Phase.LEAVING: 0,
    Phase.STOPPED: 0,
    Phase.REFUSED: 1,
    Phase.WAITING: 2,
    Phase.STARTING: 3,
    Phase.FETCHING: 3,
    Phase.JOINING: 3,
    Phase.PAUSED: 4,
    Phase.IN_ROOM: 5,
}
"""Higher is better, so that an alarm needs one comparison."""
_log = logging.getLogger(__name__)


class Histogram:
    """Cumulative counts of a measured value."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """Start at zero; `bounds` are ascending."""
        self.bounds = (*bounds, math.inf)
        self.counts = [0] * len(self.bounds)
        """Values up to each bound."""
        self.total = 0.0
        """Sum of all values."""

    def add(self, value: float) -> None:
        """Count one more value."""
        self.total += value
        for index, bound in enumerate(self.bounds):
            self.counts[index] += value <= bound


class Counters:
    """Counters since the process started. Thread: the event loop's."""

    def __init__(self) -> None:
        self.joins = 0
        self.leaves = 0
        """Rooms left by a user's command."""
        self.reconnects: Counter[str] = Counter()
        """By cause, or `RESUMED`."""
        self.chat: Counter[tuple[str, str]] = Counter()
        """By direction and state."""
        self.access = Histogram(ACCESS_BOUNDS_S)
        self.talk_s = 0.0
        self.connection = CONNECTION[Phase.STARTING]
        self.rtt_s: float | None = None
        self.reception_delay_s: float | None = None
        """Mean delay of LiveKit's jitter buffers; None: nobody is heard."""
        self.concealed_ratio: float | None = None
        """Share of received audio that was lost or late; None: nobody is heard."""
        self.lost_packets: Counter[str] = Counter()
        """By direction."""
        self._seen_s = 0.0

    def observe(self, event: Event, before: State, after: State, now_s: float) -> None:
        """Count the changes of one step of the core at `now_s`, a monotonic clock's."""
        if before.talk.is_transmitting:
            self.talk_s += max(0.0, now_s - self._seen_s)
        self._seen_s = now_s
        if before.phase is not after.phase:
            self._count_phase(before, after)
        if isinstance(event, FirstBlockSent):
            self.access.add(event.access_s)
        self._count_packets(event, before, after)
        # Captions become chat lines, but are no messages.
        if not isinstance(event, CaptionReceived):
            self._count_chat(event, before, after)
        self.connection = CONNECTION[after.phase]
        self.rtt_s = after.rtt_s

    def _count_phase(self, before: State, after: State) -> None:
        was_in, is_in = before.is_in_room, after.is_in_room
        if is_in and not was_in:
            self.joins += 1
        elif is_in and after.phase is Phase.IN_ROOM:
            self.reconnects[RESUMED] += 1
        elif was_in and not is_in:
            is_outage = after.goal is Goal.REJOIN and after.cause is not None
            if after.phase is Phase.LEAVING and not is_outage:
                self.leaves += 1
            else:
                self.reconnects[after.cause or Cause.SERVER_LOST] += 1

    def _count_packets(self, event: Event, before: State, after: State) -> None:
        if not after.is_in_room:
            self.reception_delay_s = self.concealed_ratio = None
        elif isinstance(event, ConnectionMeasured) and event.ticket == before.ticket:
            self.reception_delay_s = event.reception.delay_s
            self.concealed_ratio = event.reception.concealed_ratio
            self.lost_packets[AudioDirection.RECEIVE] += event.reception.lost_packets
            self.lost_packets[AudioDirection.SEND] += event.lost_packets

    def _count_chat(self, event: Event, before: State, after: State) -> None:
        """Count the messages that are new or in another state."""
        if before.chat is after.chat:
            return
        known = {(x.sender_id, x.id, x.state) for x in before.chat.lines}
        lines = after.chat.lines
        changed = [x for x in lines if (x.sender_id, x.id, x.state) not in known]
        for line in changed:
            way = AudioDirection.SEND if line.is_own else AudioDirection.RECEIVE
            self.chat[way, line.state] += 1
        failed = [x.reason for x in changed if x.state is Delivery.FAILED]
        # The room logs those that it refuses.
        if failed and not isinstance(event, ChatFailed):
            message = "chat messages failed  count=%d reason=%r"
            _log.warning(message, len(failed), failed[0])
