"""What is known of a card from the moments of its callbacks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sound.beat import Beat

PERIOD = 240
PERIOD_S = 0.005
XRUN = 4


class Card:
    """Calls back as a card does, on a clock of its own."""

    def __init__(self, ppm=0):
        self.now_s = 100.0
        self.heard_s = 100.0
        self.period_s = PERIOD_S * (1 - ppm / 1e6)
        self.beat = Beat(48_000, lambda: self.now_s)

    def call(self, times=1, *, late_s=0.0, status=0):
        for _ in range(times):
            self.heard_s += self.period_s
            self.now_s = self.heard_s + late_s
            self.beat.note(PERIOD, status)

    def lose(self, seconds):
        """Stand still for so long, and say so in the next callback."""
        self.heard_s += seconds
        self.call(status=XRUN)


@pytest.mark.parametrize("ppm", [-400, 0, 400])
def test_what_a_card_lost_is_known_after_hours_on_any_clock(ppm):
    card = Card(ppm)
    card.call(200_000)
    card.lose(0.017)
    assert card.beat.lost_frames == pytest.approx(0.017 * 48_000, abs=5)
    assert card.beat.xruns == 1


def test_each_loss_is_counted_by_itself():
    card = Card()
    card.call(100)
    card.lose(0.017)
    card.call(100)
    card.lose(0.03)
    assert card.beat.lost_frames == pytest.approx(0.03 * 48_000, abs=5)


@given(st.lists(st.floats(0, 0.012), min_size=1, max_size=50))
def test_callbacks_that_are_late_have_lost_no_more_than_that(latenesses):
    card = Card()
    card.call(10)
    for late_s in latenesses:
        card.call(late_s=late_s)
    card.call(late_s=0.004, status=XRUN)
    assert card.beat.lost_frames <= 0.004 * 48_000 + 5


def test_a_stream_that_begins_with_a_fault_has_lost_nothing_yet():
    card = Card()
    card.now_s += 3.0
    card.call(status=XRUN)
    assert card.beat.lost_frames == 0
