"""Tests of the encoder feed: whole packets in every state of the priming."""

import threading

import numpy as np
import pytest

from appliance.audio.dtx_schedule import PERIOD, SENT_PER_PERIOD
from appliance.audio.encoder_feed import EncoderFeed
from appliance.audio.jitter_priming import (
    FIRST_STEP_BLOCKS,
    NO_PACKET_BLOCKS,
    SPELLS,
    STEPS,
    TONE,
    TONE_BLOCKS,
)
from appliance.pcm import SILENCE


def block(value):
    return np.full(480, value, np.int16)


LOUD = block(9000)


def connected():
    encoder_feed = EncoderFeed()
    sent: list[np.ndarray] = []
    encoder_feed.connect(sent.append)
    return encoder_feed, sent


def test_nothing_is_sent_before_a_track_is_connected():
    encoder_feed = EncoderFeed()
    assert not encoder_feed.send([(SILENCE, SILENCE)])
    assert encoder_feed.blocks == 0


def test_packets_are_sent_in_order():
    encoder_feed, sent = connected()
    assert encoder_feed.send([(block(1000), block(2000)), (block(3000), block(4000))])
    assert [int(one[0]) for one in sent] == [1000, 2000, 3000, 4000]
    assert encoder_feed.packets == 2


@pytest.mark.parametrize("tracks", [1, 2])
def test_each_new_track_starts_with_a_pause_and_the_tone_and_counts_sent_blocks(
    tracks,
):
    encoder_feed = EncoderFeed()
    for _ in range(tracks):
        before = encoder_feed.blocks
        sent: list[np.ndarray] = []
        encoder_feed.connect(sent.append)
        encoder_feed.send([(SILENCE, SILENCE)] * TONE_BLOCKS)
        assert (
            encoder_feed.blocks - before
            == len(sent)
            == 2 * TONE_BLOCKS - NO_PACKET_BLOCKS
        )
        assert sent[0] is TONE
        assert sent[-1] is SILENCE


def test_no_packet_may_be_late_while_the_priming_tone_is_sent():
    encoder_feed, _ = connected()
    for _ in range(TONE_BLOCKS // 2):
        encoder_feed.send([(SILENCE, SILENCE)])
        encoder_feed.learn(encoder_feed.packets, encoder_feed.packets)
        assert encoder_feed.late_packets == 0
        assert not encoder_feed.wants_stats


def test_no_packet_may_be_late_right_after_the_last_delay_step():
    """The next packet may contain the priming tone."""
    encoder_feed, sent = connected()
    left, is_lazy = 0, []
    for _ in range(STEPS):
        before = encoder_feed.blocks
        while encoder_feed.blocks < before + 2 * FIRST_STEP_BLOCKS:
            encoder_feed.send([(SILENCE, SILENCE)])
            left += encoder_feed.packets % PERIOD < SENT_PER_PERIOD
            if encoder_feed.wants_stats:
                encoder_feed.learn(encoder_feed.packets, left)
            is_lazy.append(encoder_feed.late_packets > 0)
        encoder_feed.step()
    assert sum(is_lazy[-PERIOD:]) > PERIOD / 2
    assert encoder_feed.late_packets == 0
    encoder_feed.send([(SILENCE, SILENCE)])
    assert sent[-1] is TONE
    for _ in range(SPELLS[-1][1]):
        encoder_feed.send([(SILENCE, SILENCE)])
        assert encoder_feed.late_packets == 0 or sent[-1] is SILENCE


def test_a_delay_step_stays_due_until_it_is_taken():
    encoder_feed, _ = connected()
    encoder_feed.send([(SILENCE, SILENCE)] * FIRST_STEP_BLOCKS)
    assert encoder_feed.is_drop_due
    assert encoder_feed.step()
    assert not encoder_feed.is_drop_due
    assert not encoder_feed.step(), "another thread took the step"


def test_after_disconnecting_no_send_is_running():
    encoder_feed = EncoderFeed()
    is_sending, may_end = threading.Event(), threading.Event()
    ends = []

    def slow(_):
        is_sending.set()
        may_end.wait(10)
        ends.append("sent")

    encoder_feed.connect(slow)
    sender = threading.Thread(target=encoder_feed.send, args=([(LOUD, LOUD)],))
    sender.start()
    assert is_sending.wait(10)
    leaver = threading.Thread(target=encoder_feed.disconnect)
    leaver.start()
    may_end.set()
    leaver.join()
    assert ends == ["sent", "sent"]
    sender.join()


def test_an_error_of_the_encoder_is_not_swallowed():
    encoder_feed = EncoderFeed()

    def broken(_):
        raise ZeroDivisionError

    encoder_feed.connect(broken)
    with pytest.raises(ZeroDivisionError):
        encoder_feed.send([(LOUD, LOUD)])
