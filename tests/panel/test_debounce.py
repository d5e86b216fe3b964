"""Debouncing of one contact."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.panel.buttons import LATE_S, SETTLED_S, Contact, ContactReport

gaps_s = st.floats(min_value=0.0001, max_value=0.03)
Edge = tuple[float, bool]


def play(
    edges: list[Edge], *, is_closed_before: bool = False
) -> tuple[Contact, list[Edge]]:
    """Return the contact after these edges, and what was reported."""
    contact = Contact(0.0, is_closed=is_closed_before)
    reported: list[Edge] = []
    for at_s, is_closed in edges:
        reports = contact.edge(at_s, is_closed=is_closed)
        reported += [(report.at_s, report.is_pressed) for report in reports]
    return contact, reported


def read(
    contact: Contact, first_s: float, last_s: float, *, is_closed: bool
) -> list[ContactReport]:
    """Return what is reported by readings each 10 ms."""
    reported: list[ContactReport] = []
    for number in range(round((last_s - first_s) / 0.01) + 1):
        reported += contact.reading(first_s + number * 0.01, is_closed=is_closed)
    return reported


def bounce(start_s: float, length_s: float, *, ends_closed: bool) -> list[Edge]:
    """Return bounce of 1 kHz: an edge each half millisecond."""
    count = round(length_s / 0.0005) | 1
    times = [start_s + i * 0.0005 for i in range(count)]
    return [(at_s, ends_closed == (i % 2 == 0)) for i, at_s in enumerate(times)]


@given(st.lists(st.tuples(gaps_s, st.booleans())), st.booleans())
def test_any_edges_give_alternating_reports_that_end_in_the_true_level(story, truth):
    now_s, edges = 0.0, []
    for gap_s, is_closed in story:
        now_s += gap_s
        edges.append((now_s, is_closed))
    contact, reported = play(edges)
    last = read(contact, now_s, now_s + 2 * LATE_S + 0.02, is_closed=truth)
    reports = [is_pressed for _, is_pressed in reported]
    reports += [report.is_pressed for report in last]
    assert all(a != b for a, b in zip([False, *reports], reports, strict=False))
    assert contact.is_reported == truth


@given(st.lists(st.floats(min_value=SETTLED_S, max_value=1.0)))
def test_edges_further_apart_than_bounce_are_all_reported_at_once(story):
    now_s, edges = 0.0, []
    for i, gap_s in enumerate(story):
        now_s += gap_s + 1e-9
        edges.append((now_s, i % 2 == 0))
    assert play(edges)[1] == edges


def test_the_first_edge_counts_at_once_and_20_ms_of_bounce_are_one_press():
    contact, reported = play(bounce(1.0, 0.020, ends_closed=True))
    assert reported == [(1.0, True)]
    assert contact.reading(1.029, is_closed=True) == []
    assert contact.is_reported


def test_a_release_that_bounces_is_one_release():
    edges = bounce(1.0, 0.020, ends_closed=False)
    assert play(edges, is_closed_before=True)[1] == [(1.0, False)]


def test_a_release_within_the_bounce_is_reported_with_its_own_time():
    contact, reported = play([(1.0, True), (1.003, False)])
    assert reported == [(1.0, True)]
    late_s = 1.003 + SETTLED_S + LATE_S + 0.001
    reports = contact.reading(late_s, is_closed=False)
    assert reports == [ContactReport(is_pressed=False, at_s=1.003)]


def test_no_decision_is_made_while_an_edge_may_still_arrive():
    contact, _ = play([(1.0, True), (1.003, False)])
    assert contact.reading(1.1, is_closed=False) == []


def test_a_contact_that_opens_briefly_is_a_press_that_continues():
    contact, reported = play([(1.0, True), (2.0, False), (2.002, True)])
    assert reported == [(1.0, True), (2.0, False)]
    reports = read(contact, 2.01, 2.3, is_closed=True)
    assert reports == [ContactReport(is_pressed=True, at_s=2.002, is_resumed=True)]


def test_a_release_whose_edge_was_lost_is_found_by_reading():
    contact, _ = play([(1.0, True)])
    reports = read(contact, 1.5, 1.7, is_closed=False)
    assert reports == [ContactReport(is_pressed=False, at_s=1.5)]


def test_a_reading_that_runs_ahead_of_an_edge_does_not_replace_it():
    contact, _ = play([(1.0, True)])
    assert contact.reading(1.505, is_closed=False) == []
    reports = contact.edge(1.5, is_closed=False)
    assert reports == [ContactReport(is_pressed=False, at_s=1.5)]


def test_two_equal_edges_prove_nothing_about_the_level_between_them():
    contact, _ = play([(1.0, True), (1.003, False)])
    reports = contact.edge(1.5, is_closed=False)
    assert reports == [ContactReport(is_pressed=False, at_s=1.5)]


def test_edges_that_are_processed_late_are_reported_in_order():
    presses = [(1.0 + i * 0.010, i % 2 == 0) for i in range(200)]
    assert play(presses)[1] == presses


def test_a_tap_with_bounce_and_no_reading_between_loses_no_release():
    edges = [(1.0, True), (1.002, False), (1.020, True)]
    assert play(edges)[1] == [(1.0, True), (1.002, False), (1.020, True)]
