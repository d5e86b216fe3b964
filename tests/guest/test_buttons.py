"""Edges of the guest's simulated button."""

import pytest

from tests.guest.buttons import HELD_S, edges, is_one_talk


def test_a_press_without_bounces_has_two_edges_and_a_wait():
    assert [direction for _, direction in edges(0)] == ["down", "up", ""]


def test_a_press_that_bounces_ends_as_it_should():
    times = [at_s for at_s, _ in edges(2)]
    assert [direction for _, direction in edges(2)] == [
        *("down", "up", "down", "up", "down"),
        *("up", "down", "up", "down", "up"),
        "",
    ]
    assert times == sorted(times)
    assert times[5] - times[4] == pytest.approx(HELD_S)


@pytest.mark.parametrize(
    ("lamp", "is_one"),
    [
        ([(-0.05, 0), (0.03, 1), (1.3, 0)], True),
        ([(-0.05, 0), (0.03, 1)], False),
        ([(-0.05, 0)], False),
        ([(-0.05, 0), (0.03, 1), (0.3, 0)], False),
        ([(-0.05, 0), (0.5, 1), (1.3, 0)], False),
        ([(-0.05, 0), (0.03, 1), (0.3, 0), (0.5, 1), (1.3, 0)], False),
    ],
    ids=["good", "left on", "never on", "cut short", "late", "interrupted"],
)
def test_one_press_is_one_talk(lamp, is_one):
    assert is_one_talk(lamp) is is_one
