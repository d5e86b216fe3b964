"""Blocks leave two at a time, whatever was left out before."""

import threading

import numpy as np
import pytest

from appliance.audio.dtx_schedule import PERIOD, TOGETHER
from appliance.audio.encoder_feed import EncoderFeed
from appliance.audio.jitter_priming import (
    FAINT,
    FAINT_BLOCKS,
    FIRST_STEP_BLOCKS,
    HUSH_BLOCKS,
    SPELLS,
    STEPS,
)
from appliance.pcm import SILENCE


def block(value):
    return np.full(480, value, np.int16)


LOUD = block(9000)


def connected():
    outlet = EncoderFeed()
    sent: list[np.ndarray] = []
    outlet.connect(sent.append)
    return outlet, sent


def test_nothing_is_sent_before_there_is_a_track():
    outlet = EncoderFeed()
    assert not outlet.send([(SILENCE, SILENCE)])
    assert outlet.blocks == 0


def test_packets_are_sent_in_order():
    outlet, sent = connected()
    assert outlet.send([(block(1000), block(2000)), (block(3000), block(4000))])
    assert [int(one[0]) for one in sent] == [1000, 2000, 3000, 4000]
    assert outlet.packets == 2


@pytest.mark.parametrize("tracks", [1, 2])
def test_each_new_track_is_silent_then_faint_and_only_what_left_is_counted(tracks):
    outlet = EncoderFeed()
    for _ in range(tracks):
        before = outlet.blocks
        sent: list[np.ndarray] = []
        outlet.connect(sent.append)
        outlet.send([(SILENCE, SILENCE)] * FAINT_BLOCKS)
        assert outlet.blocks - before == len(sent) == 2 * FAINT_BLOCKS - HUSH_BLOCKS
        assert sent[0] is FAINT
        assert sent[-1] is SILENCE


def test_while_something_faint_is_sent_no_packet_may_come_late():
    outlet, _ = connected()
    for _ in range(FAINT_BLOCKS // 2):
        outlet.send([(SILENCE, SILENCE)])
        outlet.learn(outlet.packets, outlet.packets)
        assert outlet.late_packets == 0
        assert not outlet.is_curious


def test_after_the_last_step_no_packet_may_come_late_though_the_pace_is_known():
    """The next may be one of those that are not silence any more."""
    outlet, sent = connected()
    left, is_lazy = 0, []
    for _ in range(STEPS):
        before = outlet.blocks
        while outlet.blocks < before + 2 * FIRST_STEP_BLOCKS:
            outlet.send([(SILENCE, SILENCE)])
            left += outlet.packets % PERIOD < TOGETHER
            if outlet.is_curious:
                outlet.learn(outlet.packets, left)
            is_lazy.append(outlet.late_packets > 0)
        outlet.step()
    assert sum(is_lazy[-PERIOD:]) > PERIOD / 2
    assert outlet.late_packets == 0
    outlet.send([(SILENCE, SILENCE)])
    assert sent[-1] is FAINT
    for _ in range(SPELLS[-1][1]):
        outlet.send([(SILENCE, SILENCE)])
        assert outlet.late_packets == 0 or sent[-1] is SILENCE


def test_half_a_block_is_to_be_left_out_until_that_was_done():
    outlet, _ = connected()
    outlet.send([(SILENCE, SILENCE)] * FIRST_STEP_BLOCKS)
    assert outlet.is_step_due
    assert outlet.step()
    assert not outlet.is_step_due
    assert not outlet.step(), "somebody was quicker"


def test_after_disconnecting_nothing_is_being_sent():
    outlet = EncoderFeed()
    is_sending, may_end = threading.Event(), threading.Event()
    ends = []

    def slow(_):
        is_sending.set()
        may_end.wait(10)
        ends.append("sent")

    outlet.connect(slow)
    sender = threading.Thread(target=outlet.send, args=([(LOUD, LOUD)],))
    sender.start()
    assert is_sending.wait(10)
    leaver = threading.Thread(target=outlet.disconnect)
    leaver.start()
    may_end.set()
    leaver.join()
    assert ends == ["sent", "sent"]
    sender.join()


def test_an_error_of_the_encoder_is_not_swallowed():
    outlet = EncoderFeed()

    def broken(_):
        raise ZeroDivisionError

    outlet.connect(broken)
    with pytest.raises(ZeroDivisionError):
        outlet.send([(LOUD, LOUD)])
