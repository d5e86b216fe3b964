"""The link with delay, jitter, loss and stalls."""

import os
import random

import pytest

from tests.link.middle import Direction, Quality

EVERY_S = 0.02
COUNT = 20_000


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def direction(pipe):
    return Direction(-1, pipe[1], random.Random())


def due_s(direction, count=COUNT):
    """Pass packets and return when they are due, with the time they came."""
    for n in range(count):
        direction.take(b"", n * EVERY_S)
    return [at_s for at_s, _ in direction.queue]


def test_a_link_without_delay_delivers_at_once(direction, pipe):
    direction.take(b"one", 5.0)
    direction.deliver(5.0)
    assert os.read(pipe[0], 10) == b"one"


def test_a_packet_is_not_delivered_early(direction, pipe):
    direction.change(Quality(base_ms=30), 0.0, "1")
    direction.take(b"one", 5.0)
    direction.deliver(5.029)
    assert direction.queue
    direction.deliver(5.031)
    assert not direction.queue
    assert direction.late_s == pytest.approx(0.001)


def test_jitter_delays_and_keeps_the_order(direction):
    direction.change(Quality(base_ms=15, jitter_ms=60), 0.0, "1")
    found = due_s(direction)
    assert found == sorted(found)
    delays = [at_s - n * EVERY_S for n, at_s in enumerate(found)]
    assert 0.0149 < min(delays) < 0.02
    assert 0.07 < max(delays) < 0.0751


@pytest.mark.parametrize("share", [0.005, 0.03, 0.2])
def test_the_share_of_lost_packets_is_as_ordered(direction, share):
    direction.change(Quality(loss=share, burst=2.0), 0.0, "1")
    due_s(direction)
    assert direction.dropped / COUNT == pytest.approx(share, rel=0.25)


def test_losses_come_in_bursts_of_the_ordered_length(direction):
    direction.change(Quality(loss=0.05, burst=2.5), 0.0, "1")
    arrived = {round(at_s / EVERY_S) for at_s in due_s(direction)}
    lost = [n for n in range(COUNT) if n not in arrived]
    bursts = sum(n - 1 in arrived for n in lost)
    assert len(lost) / bursts == pytest.approx(2.5, rel=0.15)


def test_the_same_seed_repeats_the_same_link(direction):
    quality = Quality(jitter_ms=20, loss=0.05, stall_ms=50)
    found = []
    for seed in ("1", "1", "2"):
        link = Direction(-1, -1, random.Random())
        link.change(quality, 0.0, seed)
        found.append(due_s(link))
    assert found[0] == found[1] != found[2]


def test_a_stall_holds_packets_and_loses_none(direction):
    direction.stall(1.0)
    found = due_s(direction, 100)
    assert len(found) == 100
    assert found[:50] == [1.0] * 50
    assert found[60] == pytest.approx(60 * EVERY_S)


def test_stalls_come_by_themselves(direction):
    direction.change(Quality(stall_ms=50, stall_every_s=2.0), 0.0, "1")
    held = [at_s - n * EVERY_S for n, at_s in enumerate(due_s(direction))]
    assert max(held) <= 0.0751
    # 50 ms of 2 s, which hold between two and three packets for half of that.
    assert sum(x > 0.0001 for x in held) / COUNT == pytest.approx(0.025, rel=0.4)


def test_a_gap_loses_everything_while_it_lasts(direction):
    direction.interrupt(1.0)
    found = due_s(direction, 100)
    assert found[0] == pytest.approx(1.0)
    assert direction.dropped == 50
