"""How the demo went: figures that were measured, and what went wrong; pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from appliance.demo.ledger import Ledger, Talk
from appliance.demo.measure import Found

PATIENCE_S = 12.0
"""A talk that did not come back in this time is lost: repeating one takes five."""
ANSWER_S = 5.0
"""As for a talk; an answer takes 0.1 s."""
MOST_LOST_MS = 10
"""One block: what a gate may cost at worst."""


@dataclass(frozen=True, slots=True)
class Way:
    """One direction, from a mouth to an ear; each with a figure per talk."""

    delays_ms: tuple[float, ...] = ()
    lost_start_ms: tuple[int, ...] = ()
    lost_end_ms: tuple[int, ...] = ()
    lost_within_ms: tuple[int, ...] = ()

    @property
    def delay_ms(self) -> float | None:
        """The median; None: nothing was measured."""
        return round(median(self.delays_ms), 1) if self.delays_ms else None

    @property
    def most_lost_ms(self) -> int:
        """The worst of all starts and ends."""
        return max((*self.lost_start_ms, *self.lost_end_ms), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the demo consisted of."""

    is_simulated: bool
    """Whether the sound card was."""
    has_companion: bool
    wav: Path | None = None
    wav_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How the demo went."""

    setting: Setting
    joined_after_s: float | None
    """From the box's start."""
    talks_sent: int
    talks_heard: int
    """By the companion."""
    talks_heard_back: int
    lines_sent: int
    lines_answered: int
    to_companion: Way
    to_box: Way
    faults: tuple[str, ...]

    @property
    def missing(self) -> str:
        """What never happened at all; empty: everything did."""
        if self.joined_after_s is None:
            return "the room was never joined"
        if not self.setting.has_companion:
            return ""
        if not self.talks_heard_back:
            return "no talk came back"
        return "" if self.lines_answered else "no line of chat was answered"

    @property
    def is_good(self) -> bool:
        """Whether everything happened at least once and nothing was lost."""
        return not (self.missing or self.faults)


def summary(ledger: Ledger, setting: Setting, now_s: float) -> Summary:
    """Return what the ledger comes to at this moment.

    A talk or a line that is still under way is neither a success nor a fault.
    """
    talks = ledger.talks
    to_companion = _way((x.to_companion, x.is_whole) for x in talks)
    to_box = _way((x.to_box, True) for x in talks)
    faults = tuple(ledger.troubles)
    if setting.has_companion:
        faults += (
            *_talk_faults(talks, now_s),
            *_loss_faults("the companion", to_companion),
            *_loss_faults("the box", to_box),
            *_chat_faults(ledger, now_s),
        )
    joined_s = ledger.joined_s
    return Summary(
        setting=setting,
        joined_after_s=None if joined_s is None else joined_s - ledger.started_s,
        talks_sent=len(talks),
        talks_heard=sum(bool(talk.numbers) for talk in talks),
        talks_heard_back=sum(talk.is_heard_back for talk in talks),
        lines_sent=len(ledger.lines),
        lines_answered=len(ledger.answers),
        to_companion=to_companion,
        to_box=to_box,
        faults=faults,
    )


def _way(talks: Iterable[tuple[Found | None, bool]]) -> Way:
    """Return the figures of talks that were found.

    Args:
        talks: what was found, and whether the whole phrase can be expected.
    """
    found = [(x, is_whole) for x, is_whole in talks if x is not None]
    whole = [x for x, is_whole in found if is_whole]
    return Way(
        tuple(round(x.delay_s * 1000, 1) for x, _ in found),
        tuple(x.lost_start_ms for x in whole),
        tuple(x.lost_end_ms for x in whole),
        tuple(x.lost_within_ms for x in whole),
    )


def _talk_faults(talks: Iterable[Talk], now_s: float) -> Iterator[str]:
    for number, talk in enumerate(talks, 1):
        if talk.ended_s is None or now_s - talk.ended_s < PATIENCE_S:
            continue
        if not talk.numbers:
            yield f"the companion did not hear talk {number}; was it silent?"
        elif not talk.is_heard_back:
            yield f"talk {number} was not heard back"


def _loss_faults(who: str, way: Way) -> Iterator[str]:
    if way.most_lost_ms > MOST_LOST_MS:
        yield f"{who} missed {way.most_lost_ms} ms of speech at a start or end"


def _chat_faults(ledger: Ledger, now_s: float) -> Iterator[str]:
    due = [at_s for at_s in ledger.lines.values() if now_s - at_s > ANSWER_S]
    missing = len(due) - len(ledger.answers)
    if missing > 0:
        yield f"{missing} of {len(due)} lines of chat were not answered"
