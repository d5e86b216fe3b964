"""Tests of the choice of the card's buffer size."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.latency_steps import (
    CALM_MOST_S,
    CALM_S,
    SETTLED_S,
    SHAKY_S,
    SHAKY_XRUNS,
    LatencySteps,
)


def started():
    latency_steps = LatencySteps(4)
    latency_steps.start(0.0, is_other_card=True)
    return latency_steps


def climbed():
    latency_steps = started()
    assert latency_steps.has_moved(SHAKY_XRUNS + 1, SHAKY_S, is_idle=False)
    latency_steps.start(SHAKY_S, is_other_card=False)
    return latency_steps


def test_a_card_that_keeps_up_stays_on_the_shortest_buffer():
    latency_steps = started()
    assert not any(
        latency_steps.has_moved(SHAKY_XRUNS, float(now_s), is_idle=True)
        for now_s in range(10_000)
    )
    assert latency_steps.latency_step == 0


def test_repeated_xruns_lead_to_a_longer_buffer_even_during_a_talk():
    assert climbed().latency_step == 1


def test_xruns_during_start_up_do_not_count():
    latency_steps, looks = started(), 100
    for look in range(looks):
        now_s = look * 0.25
        xruns = min(look, round(SETTLED_S / 0.25))
        assert not latency_steps.has_moved(xruns, now_s, is_idle=True)


def test_a_card_without_xruns_gets_a_shorter_buffer_while_both_sides_are_silent():
    latency_steps = climbed()
    later_s = SHAKY_S + 2 * CALM_S
    assert not latency_steps.has_moved(0, later_s, is_idle=False)
    assert latency_steps.has_moved(0, later_s, is_idle=True)
    assert latency_steps.latency_step == 0


def test_an_xrun_restarts_the_wait_for_a_shorter_buffer():
    latency_steps = climbed()
    latency_steps.has_moved(1, SHAKY_S + 2 * CALM_S - 1, is_idle=True)
    assert not latency_steps.has_moved(1, SHAKY_S + 2 * CALM_S, is_idle=True)


def test_each_step_to_a_longer_buffer_doubles_the_wait_for_a_shorter_one():
    latency_steps, now_s = started(), 0.0
    waits = []
    for _ in range(12):
        now_s += SHAKY_S
        assert latency_steps.has_moved(SHAKY_XRUNS + 1, now_s, is_idle=False)
        latency_steps.start(now_s, is_other_card=False)
        calm_s = now_s
        while not latency_steps.has_moved(0, now_s, is_idle=True):
            now_s += 1
        latency_steps.start(now_s, is_other_card=False)
        waits.append(now_s - calm_s)
    assert waits[:3] == [2 * CALM_S, 4 * CALM_S, 8 * CALM_S]
    assert waits[-1] == CALM_MOST_S


def test_another_card_starts_with_the_shortest_buffer():
    latency_steps = climbed()
    latency_steps.start(20.0, is_other_card=True)
    assert latency_steps.latency_step == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 5000), st.booleans())))
def test_the_latency_step_is_always_in_range(story):
    latency_steps, now_s, xruns = started(), 0.0, 0
    for lost, wait_s, is_idle in story:
        xruns, now_s = xruns + lost, now_s + wait_s
        if latency_steps.has_moved(xruns, now_s, is_idle=is_idle):
            latency_steps.start(now_s, is_other_card=False)
            xruns = 0
        assert 0 <= latency_steps.latency_step < 4
