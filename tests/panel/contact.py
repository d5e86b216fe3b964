"""Simulated contact that bounces, and a thread that sees its edges late."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.panel.debounce import (
    Contact,
    ContactReport,
    ContactReports,
    after_edge,
    after_reading,
    opened,
)

BOUNCE_S = 0.020
DELAY_S = 0.100
READ_S = 0.5
LONGEST_GAP_S = 0.0075


@dataclass(frozen=True)
class Edge:
    """Edge of a contact, and the time at which a thread sees it."""

    at_s: float
    is_closed: bool
    seen_s: float


@dataclass(frozen=True)
class Press:
    """Press, from its first edge to that of the release."""

    down_s: float
    up_s: float

    @property
    def reports(self) -> ContactReports:
        return ContactReport(is_pressed=True, at_s=self.down_s), ContactReport(
            is_pressed=False, at_s=self.up_s
        )


class Finger:
    """Source of presses of a button that bounces; equal seeds give equal contacts."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def presses(self, count: int) -> list[Press]:
        at_s, presses = 1.0, []
        for _ in range(count):
            down_s = at_s + self._chance.uniform(0.05, 0.8)
            at_s = down_s + self._chance.choice([0.05, 0.15, 0.29, 0.31, 1.0])
            presses.append(Press(down_s, at_s))
        return presses

    def edges(self, presses: list[Press]) -> list[Edge]:
        """Return every edge in order, with the time at which it is seen."""
        seen_s, edges = 0.0, []
        for press in presses:
            for start_s, is_closed in ((press.down_s, True), (press.up_s, False)):
                for at_s, level in self._moved(start_s, is_closed=is_closed):
                    seen_s = max(seen_s, at_s + self._delay_s())
                    edges.append(Edge(at_s, level, seen_s))
        return edges

    def _moved(
        self, start_s: float, *, is_closed: bool
    ) -> Iterator[tuple[float, bool]]:
        """Yield one change of level with its bounce: an odd number of edges."""
        yield start_s, is_closed
        at_s, end_s = start_s, start_s + self._chance.choice([0.0, 0.005, BOUNCE_S])
        while True:
            away_s = at_s + self._chance.uniform(0.0001, LONGEST_GAP_S)
            at_s = away_s + self._chance.uniform(0.0001, LONGEST_GAP_S)
            if at_s > end_s:
                return
            yield away_s, not is_closed
            yield at_s, is_closed

    def _delay_s(self) -> float:
        return self._chance.choice([0.0, 0.001, self._chance.uniform(0, DELAY_S)])


def debounced(edges: list[Edge]) -> Iterator[tuple[float, ContactReport]]:
    """Yield each report with the time at which it is made, as `Buttons` would.

    After each edge that is seen, and whenever it is due, the level is read as it is at
    that moment: a reading may know more than the edges seen so far.
    """
    contact = opened(0.0, is_closed=False)
    pending, now_s = list(edges), 0.0
    end_s = edges[-1].seen_s + 1.0
    while now_s < end_s:
        now_s = _next_s(contact, pending, now_s)
        reports: ContactReports = ()
        while pending and pending[0].seen_s <= now_s:
            edge = pending.pop(0)
            contact, found = after_edge(contact, edge.at_s, is_closed=edge.is_closed)
            reports = (*reports, *found)
        level = [edge.is_closed for edge in edges if edge.at_s <= now_s]
        contact, found = after_reading(
            contact, now_s, is_closed=bool(level) and level[-1]
        )
        yield from ((now_s, report) for report in (*reports, *found))


def _next_s(contact: Contact, pending: list[Edge], now_s: float) -> float:
    seen_s = pending[0].seen_s if pending else now_s + READ_S
    return max(now_s + 0.0001, min(seen_s, contact.due_s, now_s + READ_S))
