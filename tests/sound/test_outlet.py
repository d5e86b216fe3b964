"""Blocks leave two at a time, whatever was left out before."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.block import SILENCE
from appliance.sound.outlet import Outlet
from appliance.sound.trim import FIRST_BLOCKS


def block(value):
    return np.full(480, value, np.int16)


def connected():
    outlet = Outlet()
    sent: list[np.ndarray] = []
    outlet.connect(sent.append)
    return outlet, sent


def test_nothing_is_sent_before_there_is_a_track():
    outlet = Outlet()
    assert not outlet.send([SILENCE, SILENCE])
    assert outlet.blocks == 0


def test_half_a_packet_waits_for_its_other_half():
    outlet, sent = connected()
    assert not outlet.send([block(1000)])
    assert outlet.is_odd
    assert outlet.send([block(2000)])
    assert [int(one[0]) for one in sent] == [1000, 2000]
    assert not outlet.is_odd


def test_half_a_packet_of_one_track_is_nothing_to_the_next():
    outlet, _ = connected()
    outlet.send([block(1000)])
    later: list[np.ndarray] = []
    outlet.connect(later.append)
    outlet.send([block(2000), block(3000)])
    assert [int(one[0]) for one in later] == [2000, 3000]


def test_what_is_trimmed_is_one_block_and_everything_else_is_sent_in_order():
    outlet, sent = connected()
    packets = FIRST_BLOCKS // 2
    for _ in range(packets):
        outlet.send([SILENCE, SILENCE])
    assert outlet.is_odd
    outlet.send([block(1000)])
    outlet.send([block(2000), block(3000)])
    assert len(sent) == 2 * packets + 2
    assert [int(one[0]) for one in sent[-3:]] == [1000, 2000, 3000]


def test_what_the_card_has_lost_need_not_be_trimmed():
    outlet, sent = connected()
    outlet.lose(700)
    for _ in range(FIRST_BLOCKS):
        outlet.send([SILENCE, SILENCE])
    assert len(sent) == 2 * FIRST_BLOCKS


@given(st.lists(st.integers(1, 3), max_size=FIRST_BLOCKS))
def test_only_whole_packets_leave(sizes):
    outlet, sent = connected()
    for size in sizes:
        outlet.send([SILENCE] * size)
        assert len(sent) % 2 == 0
        assert outlet.blocks == len(sent)


def test_after_disconnecting_nothing_is_being_sent():
    outlet = Outlet()
    is_sending, may_end = threading.Event(), threading.Event()
    ends = []

    def slow(_):
        is_sending.set()
        may_end.wait(10)
        ends.append("sent")

    outlet.connect(slow)
    sender = threading.Thread(target=outlet.send, args=([SILENCE, SILENCE],))
    sender.start()
    assert is_sending.wait(10)
    leaver = threading.Thread(target=outlet.disconnect)
    leaver.start()
    may_end.set()
    leaver.join()
    assert ends == ["sent", "sent"]
    sender.join()


def test_an_error_of_the_encoder_is_not_swallowed():
    outlet = Outlet()

    def broken(_):
        raise ZeroDivisionError

    outlet.connect(broken)
    with pytest.raises(ZeroDivisionError):
        outlet.send([SILENCE, SILENCE])
