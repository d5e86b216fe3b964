"""Bouncing talk button on a busy machine, in every talk mode."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from appliance.config import TalkMode
from appliance.core.commands import CloseGate, OpenGate
from appliance.core.events import Button, ButtonPressed, ButtonReleased, Event
from appliance.panel.buttons import Contact, ContactReport
from tests.core.story import in_room, with_mode

BOUNCE_S = 0.020
DELAY_S = 0.100
READ_S = 0.5
LONGEST_GAP_S = 0.0075
PATTERNS = 10_000
STORIES = 500
"""Presses in each mode, with the core behind the contact."""
PRESSES = 3


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
    def reports(self) -> list[ContactReport]:
        return [
            ContactReport(is_pressed=True, at_s=self.down_s),
            ContactReport(is_pressed=False, at_s=self.up_s),
        ]


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
    contact = Contact(0.0, is_closed=False)
    pending, now_s = list(edges), 0.0
    end_s = edges[-1].seen_s + 1.0
    while now_s < end_s:
        now_s = _next_s(contact, pending, now_s)
        reports: list[ContactReport] = []
        while pending and pending[0].seen_s <= now_s:
            edge = pending.pop(0)
            reports += contact.edge(edge.at_s, is_closed=edge.is_closed)
        level = [edge.is_closed for edge in edges if edge.at_s <= now_s]
        reports += contact.reading(now_s, is_closed=bool(level) and level[-1])
        yield from ((now_s, report) for report in reports)


def _next_s(contact: Contact, pending: list[Edge], now_s: float) -> float:
    seen_s = pending[0].seen_s if pending else now_s + READ_S
    return max(now_s + 0.0001, min(seen_s, contact.due_s, now_s + READ_S))


def test_ten_thousand_bouncing_presses_are_reported_as_they_were():
    wrong = []
    for seed in range(PATTERNS):
        finger = Finger(seed)
        presses = finger.presses(1)
        reports = [report for _, report in debounced(finger.edges(presses))]
        if reports != presses[0].reports:
            wrong.append((seed, reports))
    assert wrong == []


@pytest.mark.parametrize("mode", TalkMode)
def test_the_gate_opens_and_closes_as_without_bounce(mode):
    for seed in range(STORIES):
        finger = Finger(seed)
        presses = finger.presses(PRESSES)
        edges = finger.edges(presses)
        ideal = [(r.at_s, r) for press in presses for r in press.reports]
        wanted, got = gates(mode, ideal), gates(mode, list(debounced(edges)))
        assert [is_open for _, is_open in got] == [is_open for _, is_open in wanted]
        late_s = [a[0] - b[0] for a, b in zip(got, wanted, strict=True)]
        assert all(0 <= late <= DELAY_S + 1e-6 for late in late_s), (seed, late_s)


@pytest.mark.parametrize("flickers", [1, 12])
@pytest.mark.parametrize("mode", TalkMode)
def test_a_contact_that_opens_while_held_has_no_lasting_effect(mode, flickers):
    """Also if it takes longer than the bounce of a good contact."""
    moves = [(1.5 + 0.005 * at, at % 2 == 1) for at in range(2 * flickers)]
    up_s = moves[-1][0] + 0.18
    held = [(1.0, True), *moves, (up_s, False)]
    edges = [Edge(at_s, is_closed, at_s) for at_s, is_closed in held]
    clean = [
        (r.at_s, r) for r in (ContactReport(True, 1.0), ContactReport(False, up_s))
    ]
    wanted = gates(mode, clean)
    got = gates(mode, list(debounced(edges)))
    assert got[:1] == wanted[:1]
    assert got[-1] == wanted[-1]
    shut_s = sum(b - a for (a, is_open), (b, _) in pairwise(got) if not is_open)
    assert shut_s <= moves[-1][0] - 1.5 + 0.2


def gates(
    mode: TalkMode, reports: list[tuple[float, ContactReport]]
) -> list[tuple[float, bool]]:
    """Return the times at which the core opened and closed the gate."""
    box = in_room(with_mode(mode))
    start_s, before = box.now_s, len(box.commands)
    moves: list[tuple[float, bool]] = []
    for now_s, report in reports:
        box.play(start_s + now_s - box.now_s, event(report, start_s))
        moves += [
            (now_s, isinstance(command, OpenGate))
            for command in box.commands[before:]
            if isinstance(command, OpenGate | CloseGate)
        ]
        before = len(box.commands)
    return moves


def event(report: ContactReport, start_s: float) -> Event:
    at_s = start_s + report.at_s
    if report.is_pressed:
        return ButtonPressed(Button.TALK, at_s=at_s, is_resumed=report.is_resumed)
    return ButtonReleased(Button.TALK, at_s=at_s)
