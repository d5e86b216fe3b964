"""Presses and bounce; time is an argument."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.panel.debounce import (
    QUIET_S,
    Contact,
    after_edge,
    after_reading,
    opened,
)

OPEN = opened(0.0, is_closed=False)
gaps_s = st.floats(min_value=0.0001, max_value=0.03)
Edge = tuple[float, bool]


def play(edges: list[Edge], contact: Contact = OPEN) -> tuple[Contact, list[Edge]]:
    """Return the contact after these edges, and when what was told."""
    told: list[Edge] = []
    for at_s, is_closed in edges:
        contact, reports = after_edge(contact, at_s, is_closed=is_closed)
        told += [(at_s, is_pressed) for is_pressed in reports]
    return contact, told


def bounce(start_s: float, length_s: float, *, ends_closed: bool) -> list[Edge]:
    """Return 1 kHz bounce: an edge each half millisecond."""
    count = round(length_s / 0.0005) | 1
    times = [start_s + i * 0.0005 for i in range(count)]
    return [(at_s, ends_closed == (i % 2 == 0)) for i, at_s in enumerate(times)]


@given(st.lists(st.tuples(gaps_s, st.booleans())), st.booleans())
def test_any_edges_give_alternating_reports_that_end_in_the_true_level(story, truth):
    now_s, edges = 0.0, []
    for gap_s, is_closed in story:
        now_s += gap_s
        edges.append((now_s, is_closed))
    contact, told = play(edges)
    contact, last = after_reading(contact, now_s + QUIET_S, is_closed=truth)
    reports = [is_pressed for _, is_pressed in told] + list(last)
    assert all(a != b for a, b in zip([False, *reports], reports, strict=False))
    assert contact.is_reported == truth


@given(st.lists(st.floats(min_value=QUIET_S, max_value=1.0)))
def test_edges_further_apart_than_bounce_are_all_told_at_once(story):
    now_s, edges = 0.0, []
    for i, gap_s in enumerate(story):
        now_s += gap_s + 1e-9
        edges.append((now_s, i % 2 == 0))
    assert play(edges)[1] == edges


def test_the_first_edge_counts_at_once_and_20_ms_of_bounce_are_one_press():
    contact, told = play(bounce(1.0, 0.020, ends_closed=True))
    assert told == [(1.0, True)]
    contact, reports = after_reading(contact, 1.029, is_closed=True)
    assert (contact.is_reported, reports) == (True, ())


def test_a_release_that_bounces_is_one_release():
    contact = opened(0.0, is_closed=True)
    assert play(bounce(1.0, 0.020, ends_closed=False), contact)[1] == [(1.0, False)]


def test_a_release_within_the_bounce_is_told_when_it_is_quiet():
    contact, told = play([(1.0, True), (1.003, False)])
    assert told == [(1.0, True)]
    assert after_reading(contact, 1.0111, is_closed=False)[1] == (False,)


def test_bounce_is_not_believed_before_it_is_quiet():
    contact, _ = play([(1.0, True), (1.003, False)])
    assert after_reading(contact, 1.005, is_closed=False)[1] == ()


def test_a_release_whose_edge_was_lost_is_found_by_reading():
    contact, _ = play([(1.0, True)])
    assert after_reading(contact, 1.5, is_closed=False)[1] == (False,)


def test_edges_that_are_taken_late_are_told_in_order():
    presses = [(1.0 + i * 0.010, i % 2 == 0) for i in range(200)]
    assert play(presses)[1] == presses


def test_a_tap_with_bounce_and_no_reading_between_loses_no_release():
    edges = [(1.0, True), (1.002, False), (1.020, True)]
    assert play(edges)[1] == [(1.0, True), (1.020, False), (1.020, True)]
