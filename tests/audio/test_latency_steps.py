"""How long a buffer a card is given."""

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
    ladder = LatencySteps(4)
    ladder.start(0.0, is_other_card=True)
    return ladder


def climbed():
    ladder = started()
    assert ladder.has_moved(SHAKY_XRUNS + 1, SHAKY_S, is_idle=False)
    ladder.start(SHAKY_S, is_other_card=False)
    return ladder


def test_a_card_that_keeps_up_stays_on_the_shortest_buffer():
    ladder = started()
    assert not any(
        ladder.has_moved(SHAKY_XRUNS, float(now_s), is_idle=True)
        for now_s in range(10_000)
    )
    assert ladder.rung == 0


def test_a_card_that_loses_blocks_is_given_more_even_in_mid_talk():
    assert climbed().rung == 1


def test_what_is_lost_while_the_box_starts_does_not_count():
    ladder, looks = started(), 100
    for look in range(looks):
        now_s = look * 0.25
        xruns = min(look, round(SETTLED_S / 0.25))
        assert not ladder.has_moved(xruns, now_s, is_idle=True)


def test_a_card_that_has_become_calm_comes_down_when_nobody_speaks():
    ladder = climbed()
    later_s = SHAKY_S + 2 * CALM_S
    assert not ladder.has_moved(0, later_s, is_idle=False)
    assert ladder.has_moved(0, later_s, is_idle=True)
    assert ladder.rung == 0


def test_a_loss_starts_the_wait_for_calm_anew():
    ladder = climbed()
    ladder.has_moved(1, SHAKY_S + 2 * CALM_S - 1, is_idle=True)
    assert not ladder.has_moved(1, SHAKY_S + 2 * CALM_S, is_idle=True)


def test_a_card_that_climbs_again_and_again_waits_longer_each_time():
    ladder, now_s = started(), 0.0
    waits = []
    for _ in range(12):
        now_s += SHAKY_S
        assert ladder.has_moved(SHAKY_XRUNS + 1, now_s, is_idle=False)
        ladder.start(now_s, is_other_card=False)
        calm_s = now_s
        while not ladder.has_moved(0, now_s, is_idle=True):
            now_s += 1
        ladder.start(now_s, is_other_card=False)
        waits.append(now_s - calm_s)
    assert waits[:3] == [2 * CALM_S, 4 * CALM_S, 8 * CALM_S]
    assert waits[-1] == CALM_MOST_S


def test_another_card_starts_at_the_bottom():
    ladder = climbed()
    ladder.start(20.0, is_other_card=True)
    assert ladder.rung == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 5000), st.booleans())))
def test_the_rung_is_always_one_that_there_is(story):
    ladder, now_s, xruns = started(), 0.0, 0
    for lost, wait_s, is_idle in story:
        xruns, now_s = xruns + lost, now_s + wait_s
        if ladder.has_moved(xruns, now_s, is_idle=is_idle):
            ladder.start(now_s, is_other_card=False)
            xruns = 0
        assert 0 <= ladder.rung < 4
