"""Which packets of silence leave at all, found out by asking how many have left.

Silent for long, Opus sends two packets of every 21, one after the other, and nothing in
between. Those two have to be handed over in time: a far end takes lateness for a bad
network and holds sound back. The others may come late, several at once, which wakes the
encoder less often. Where the two are depends on when the encoder noticed the silence,
and nobody tells. But each answer to how many packets have left rules out places.

Time is counted in packets that the encoder was given, 20 ms each.

Source: Opus, `opus_encoder.c`, `decide_dtx_mode`: ten packets of a silence are sent,
then every 21st; WebRTC, `opus_interface.cc`: so is the one that says that nothing
follows. Measured with livekit 1.2: packets 1 to 11, 31 and 32, 52 and 53, and so on.
"""

from typing import Final

PERIOD: Final = 21
TOGETHER: Final = 2
SETTLED: Final = 40
"""From this packet of a silence on, they come at their places."""
MOST_LATE: Final = 4
"""80 ms: what a far end would hold back if all this were wrong."""
FEW: Final = 4
"""So few places left are few enough."""
PATIENCE: Final = 24
"""Answers after which there is nothing to find out: this encoder does it otherwise."""
ANYWHERE: Final = frozenset(range(PERIOD))


class DtxSchedule:
    """Learns from answers, until somebody speaks.

    Thread: one at a time; `late_packets` any.
    """

    def __init__(self) -> None:
        """Start as if somebody had just spoken."""
        self._silent_since = 0
        self._places = ANYWHERE
        self._answers = 0
        self._last: tuple[range, int] | None = None

    def restart(self, given: int) -> None:
        """Take note that the last of the packets given was no silence."""
        self._silent_since = given
        self._places, self._answers, self._last = ANYWHERE, 0, None

    def wants_stats(self, given: int) -> bool:
        """Return whether an answer would help now."""
        is_open = len(self._places) > FEW and self._answers < PATIENCE
        return is_open and given > self._silent_since + SETTLED

    def learn(self, asked: int, answered: int, sent: int) -> None:
        """Take an answer.

        Args:
            asked: packets given when the question was asked.
            answered: when the answer was there.
            sent: packets that had left at a moment in between.
        """
        # The newest may still be on its way through the encoder.
        given = range(asked - 1, answered + 1)
        if given.start < self._silent_since + SETTLED:
            return
        if self._last is not None:
            self._rule_out(*self._last, given, sent)
        self._last = given, sent
        self._answers += len(self._places) > FEW

    def late_packets(self, given: int) -> int:
        """Return how many of the next packets may be handed over late."""
        places = self._places
        for late in range(MOST_LATE):
            if any(_is_sent(given + 1 + late, place) for place in places):
                return late
        return MOST_LATE

    def _rule_out(self, before: range, sent_before: int, now: range, sent: int) -> None:
        possible = frozenset(
            place
            for place in self._places
            if any(
                _sent(first, last, place) == sent - sent_before
                for first in before
                for last in now
            )
        )
        # None: another encoder, or one that sends everything.
        self._places = possible or ANYWHERE


def _is_sent(packet: int, place: int) -> bool:
    return (packet - place) % PERIOD < TOGETHER


def _sent(first: int, last: int, place: int) -> int:
    """Return how many packets after `first`, up to `last`, leave."""
    return _count(last - place) - _count(first - place)


def _count(packets: int) -> int:
    whole, rest = divmod(packets, PERIOD)
    return whole * TOGETHER + min(rest + 1, TOGETHER)
