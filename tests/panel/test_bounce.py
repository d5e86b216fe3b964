"""Bouncing talk button on a busy machine, in every talk mode."""

from itertools import pairwise

import pytest

from appliance.config import TalkMode
from appliance.core.commands import CloseGate, OpenGate
from appliance.core.events import Button, ButtonPressed, ButtonReleased, Event
from appliance.panel.debounce import ContactReport
from tests.core.story import in_room, with_mode
from tests.panel.contact import BOUNCE_S, DELAY_S, Edge, Finger, debounced

PATTERNS = 10_000
STORIES = 500
"""Presses in each mode, with the core behind the contact."""
PRESSES = 3


def test_ten_thousand_bouncing_presses_are_reported_as_they_were():
    wrong = []
    for seed in range(PATTERNS):
        finger = Finger(seed)
        presses = finger.presses(1)
        reports = tuple(report for _, report in debounced(finger.edges(presses)))
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


@pytest.mark.parametrize("mode", TalkMode)
def test_a_contact_that_opens_briefly_while_held_has_no_lasting_effect(mode):
    held = [(1.0, True), (1.5, False), (1.502, True), (3.0, False)]
    edges = [Edge(at_s, is_closed, at_s) for at_s, is_closed in held]
    clean = [(r.at_s, r) for r in (ContactReport(True, 1.0), ContactReport(False, 3.0))]
    wanted = gates(mode, clean)
    got = gates(mode, list(debounced(edges)))
    assert got[:1] == wanted[:1]
    assert got[-1] == wanted[-1]
    shut_s = sum(b - a for (a, is_open), (b, _) in pairwise(got) if not is_open)
    assert shut_s <= BOUNCE_S + 0.2


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
