"""Schedule of Opus DTX: which packets of silence are sent, learned from RTP statistics.

In a long silence Opus sends two consecutive packets of every 21. These two must be
encoded on time, because the receiver interprets lateness as network jitter and deepens
its buffer. The others may be encoded late, several at once, which wakes the encoder
less often. The phase of the two depends on when the encoder detected the silence and is
not reported, but each reading of the number of packets sent excludes some phases.

Time is counted in packets given to the encoder, 20 ms each.

Source: Opus, `opus_encoder.c`, `decide_dtx_mode`: ten packets of a silence are sent,
then every 21st; WebRTC, `opus_interface.cc`: so is the one that says that nothing
follows. Measured with livekit 1.2: packets 1 to 11, 31 and 32, 52 and 53, and so on.
"""

from typing import Final

PERIOD: Final = 21
SENT_PER_PERIOD: Final = 2
SETTLED: Final = 40
"""The pattern holds from this packet of a silence on."""
MOST_LATE: Final = 4
"""80 ms: the delay that a receiver would add if the learned phase were wrong."""
FEW_PHASES: Final = 4
"""Number of remaining phases at which learning stops."""
MAX_READINGS: Final = 24
"""Readings after which learning stops: the encoder has another pattern."""
ALL_PHASES: Final = frozenset(range(PERIOD))


class DtxSchedule:
    """Set of phases that agree with the readings since the last speech.

    Thread: one at a time; `late_packets` any.
    """

    def __init__(self) -> None:
        """Start as after speech."""
        self._silent_since = 0
        self._phases = ALL_PHASES
        self._answers = 0
        self._last: tuple[range, int] | None = None

    def restart(self, given: int) -> None:
        """Restart: the last packet given was not silence."""
        self._silent_since = given
        self._phases, self._answers, self._last = ALL_PHASES, 0, None

    def wants_stats(self, given: int) -> bool:
        """Return whether a reading would exclude phases now."""
        is_open = len(self._phases) > FEW_PHASES and self._answers < MAX_READINGS
        return is_open and given > self._silent_since + SETTLED

    def learn(self, asked: int, answered: int, sent: int) -> None:
        """Take a reading of the statistics.

        Args:
            asked: packets given when the statistics were requested.
            answered: packets given when they arrived.
            sent: packets sent at some moment in between.
        """
        # The newest packet may still be in the encoder.
        given = range(asked - 1, answered + 1)
        if given.start < self._silent_since + SETTLED:
            return
        if self._last is not None:
            self._rule_out(*self._last, given, sent)
        self._last = given, sent
        self._answers += len(self._phases) > FEW_PHASES

    def late_packets(self, given: int) -> int:
        """Return how many of the next packets may be given to the encoder late."""
        places = self._phases
        for late in range(MOST_LATE):
            if any(_is_sent(given + 1 + late, place) for place in places):
                return late
        return MOST_LATE

    def _rule_out(self, before: range, sent_before: int, now: range, sent: int) -> None:
        possible = frozenset(
            place
            for place in self._phases
            if any(
                _sent(first, last, place) == sent - sent_before
                for first in before
                for last in now
            )
        )
        # Empty: another encoder, or one without DTX.
        self._phases = possible or ALL_PHASES


def _is_sent(packet: int, place: int) -> bool:
    return (packet - place) % PERIOD < SENT_PER_PERIOD


def _sent(first: int, last: int, place: int) -> int:
    """Return how many packets after `first`, up to `last`, are sent."""
    return _count(last - place) - _count(first - place)


def _count(packets: int) -> int:
    whole, rest = divmod(packets, PERIOD)
    return whole * SENT_PER_PERIOD + min(rest + 1, SENT_PER_PERIOD)
