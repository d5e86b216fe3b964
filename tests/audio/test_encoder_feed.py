"""Tests of the encoder feed: whole packets to the track that is connected."""

import threading

import pytest

from appliance.audio.encoder_feed import EncoderFeed
from appliance.pcm import SILENCE, Block
from tests.audio.fakes import block

LOUD = block(9000)


def test_nothing_is_sent_before_a_track_is_connected():
    feed = EncoderFeed()
    assert not feed.send([(SILENCE, SILENCE)])
    assert feed.blocks == 0


def test_packets_are_sent_in_order_and_counted():
    feed = EncoderFeed()
    sent: list[Block] = []
    feed.connect(sent.append)
    assert feed.send([(block(1000), block(2000)), (block(3000), block(4000))])
    assert [int(one[0]) for one in sent] == [1000, 2000, 3000, 4000]
    assert feed.blocks == 4


def test_after_disconnecting_no_send_is_running():
    feed = EncoderFeed()
    is_sending, may_end = threading.Event(), threading.Event()
    ends = []

    def slow(_):
        is_sending.set()
        may_end.wait(10)
        ends.append("sent")

    feed.connect(slow)
    sender = threading.Thread(target=feed.send, args=([(LOUD, LOUD)],))
    sender.start()
    assert is_sending.wait(10)
    leaver = threading.Thread(target=feed.disconnect)
    leaver.start()
    may_end.set()
    leaver.join()
    assert ends == ["sent", "sent"]
    sender.join()


def test_an_error_of_the_encoder_is_not_swallowed():
    feed = EncoderFeed()

    def broken(_):
        raise ZeroDivisionError

    feed.connect(broken)
    with pytest.raises(ZeroDivisionError):
        feed.send([(LOUD, LOUD)])
