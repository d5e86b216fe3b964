"""Tests of silence for skipped packets and a missing card, and of the encoder feed."""

import threading

import pytest

from appliance.audio.driver import IDLE_PERIODS
from appliance.audio.dtx_silence import MAX_INSERTED_PACKETS, MISSING_AFTER_S
from appliance.audio.sender import EncoderFeed
from appliance.pcm import PACKET_BLOCKS, PACKET_S, SILENCE, SILENT_PACKET, Block
from tests.audio.fakes import SKIPPED, Clock, Path, block, last_samples, process


def test_new_streams_do_not_begin_with_skipped_packets(path):
    path.sender.set_delay(20)
    assert not path.sender.is_idle


def test_silence_is_sent_for_the_time_in_which_the_card_delivers_nothing(path):
    path.clock.now_s += 0.2
    path.sender.send_silence()
    sent = path.taken()
    assert len(sent) == round(0.2 / PACKET_S) * PACKET_BLOCKS
    assert not any(one.any() for one in sent)


@pytest.mark.parametrize("latency_ms", [0, 15, 25, 35, 60])
def test_the_silence_of_a_long_interruption_is_as_long_as_it(path, latency_ms):
    """Too much of it would stay in the receivers' buffers and delay all speech."""
    path.sender.set_delay(latency_ms)
    path.sender.open_gate(0.0)
    path.put(0)
    missing_s = 0.0
    # The thread looks as soon as silence is due, each time a little late.
    look_s = MISSING_AFTER_S + 2 * latency_ms / 1000 + 0.0003
    while missing_s < 10.0:
        path.clock.now_s += look_s
        missing_s += look_s
        path.sender.send_silence()
    sent_s = len(path.taken()) * 0.01
    assert missing_s - 0.2 <= sent_s <= missing_s - latency_ms / 1000


def test_silence_for_a_missing_card_begins_as_soon_as_it_is_due(path):
    """Receivers lengthen their buffers by the lateness of a single packet."""
    path.sender.set_delay(20)
    path.sender.open_gate(0.0)
    path.put(5000)
    due_s = MISSING_AFTER_S + 2 * 0.02
    path.clock.now_s += due_s - 0.001
    path.sender.send_silence()
    assert path.taken() == []
    path.clock.now_s += 0.002
    path.sender.send_silence()
    assert len(path.taken()) == int((due_s - 0.02) / PACKET_S) * PACKET_BLOCKS


@pytest.mark.parametrize("is_talk", [False, True])
def test_silence_for_a_missing_card_is_sent_packet_by_packet(path, is_talk):
    """Opus sends few, but receivers lengthen their buffers if those are late."""
    if is_talk:
        path.sender.open_gate(0.0)
    path.put(5000)
    path.clock.now_s += 0.5001
    path.sender.send_silence()
    for _ in range(40):
        path.taken()
        path.clock.now_s += PACKET_S
        path.sender.send_silence()
        assert len(path.taken()) == PACKET_BLOCKS


def test_silence_is_not_sent_for_what_the_card_still_holds(path):
    """Otherwise each interruption would add the card's buffer to the delay."""
    path.sender.set_delay(60)
    path.sender.open_gate(0.0)
    path.put(0)
    path.clock.now_s += 0.305
    path.sender.send_silence()
    assert len(path.taken()) == 12 * PACKET_BLOCKS


def test_silence_sent_after_a_long_stop_of_the_process_is_bounded(path):
    path.sender.open_gate(0.0)
    path.put(0)
    path.clock.now_s += 60.0
    path.sender.send_silence()
    assert len(path.taken()) == MAX_INSERTED_PACKETS * PACKET_BLOCKS


def test_sound_after_an_interruption_is_sent_completely(path):
    path.sender.open_gate(0.0)
    path.put(100)
    path.clock.now_s += 0.3
    path.sender.send_silence()
    path.taken()
    sent = [value for n in range(2, 6) for value in last_samples(path.put(100 * n))]
    assert sent == [200, 200, 300, 300, 400, 400, 500, 500]


def waiting(path, values):
    """Let packets arrive at once that had waited for this process."""
    for value in values:
        path.sender.put(block(value), SILENCE)
        path.sender.put(block(value), SILENCE)
    process(path.sender)
    return last_samples(path.taken())


def test_sound_that_arrives_after_silence_was_sent_for_it_adds_no_delay(path):
    path.sender.open_gate(0.0)
    path.put(100)
    path.clock.now_s += 0.12
    path.sender.send_silence()
    inserted = len(path.taken())
    assert inserted == 6 * PACKET_BLOCKS
    sent = waiting(path, [200, 300, 400, 500, 600, 700])
    assert inserted + len(sent) == 7 * PACKET_BLOCKS, "one packet more has arrived"
    assert last_samples(path.put(800)) == [800, 800]
    assert waiting(path, [900]) == [900, 900], "later lateness is no reason to drop"


def test_skipped_packets_for_which_silence_was_sent_add_no_delay(path):
    path.sender.skip_packets(SKIPPED)
    path.put(0)
    path.clock.now_s += 0.2
    path.sender.send_silence()
    inserted = len(path.taken()) // PACKET_BLOCKS
    path.sender.skip_packets(SKIPPED)
    assert path.put(0) == [], "it and all skipped ones are among the inserted"
    assert inserted > SKIPPED


def test_a_card_that_is_back_loses_nothing_to_the_silence_sent_before(path):
    path.sender.open_gate(0.0)
    path.put(100)
    path.clock.now_s += 0.3
    path.sender.send_silence()
    path.taken()
    assert [last_samples(path.put(n))[0] for n in (200, 300)] == [200, 300]
    assert waiting(path, [400, 500]) == [400, 400, 500, 500]


@pytest.mark.parametrize("still_s", [0.0, 0.1])
def test_no_silence_is_sent_by_a_thread_that_stood_still_itself(still_s):
    class Still(Clock):
        def __call__(self):
            self.now_s += still_s
            return self.now_s

    path = Path(clock=Still())
    path.clock.now_s += 0.2
    path.sender.process_next()
    assert bool(path.taken()) == (not still_s)


def test_while_both_sides_are_silent_four_packets_are_sent(path):
    assert path.sender.is_idle
    path.sender.skip_packets(SKIPPED)
    assert path.taken() == [], "the card's thread waits for no encoder"
    assert len(path.put(10)) == (SKIPPED + 1) * PACKET_BLOCKS
    assert path.sender.is_idle


def test_no_extra_silence_is_sent_while_packets_are_skipped(path):
    """Also if the card's thread is a little late."""
    path.clock.now_s += 0.01 * IDLE_PERIODS + 0.9 * MISSING_AFTER_S
    path.sender.send_silence()
    # The window's packets were sent on time; the card's thread has counted them.
    assert len(path.taken()) == SKIPPED * PACKET_BLOCKS
    path.sender.skip_packets(SKIPPED)
    assert len(path.put(0)) == PACKET_BLOCKS


def test_in_an_idle_window_silence_is_sent_on_time_and_not_twice(path):
    """Receivers would lengthen their buffers by its lateness, for the next talk too."""
    feed = path.sender.encoder_feed
    for _ in range(20):
        before = feed.blocks
        begun_s = path.clock.now_s
        sent_ms = []
        for count in range(7):
            path.clock.now_s = begun_s + 0.01 * (count + 1)
            path.sender.send_silence()
            sent_ms.append((feed.blocks - before) * 10)
        assert sent_ms == [0, 0, 20, 20, 40, 40, 60], "10 ms late at most"
        path.sender.skip_packets(SKIPPED)
        path.clock.now_s = begun_s + 0.06
        path.put(0)
        assert feed.blocks - before == 80 // 10


def test_a_press_in_an_idle_window_adds_no_delay_to_the_talk(path):
    feed = path.sender.encoder_feed
    before, begun_s = feed.blocks, path.clock.now_s
    path.clock.now_s += 0.031
    path.sender.send_silence()
    path.sender.open_gate(path.clock.now_s)
    path.sender.skip_packets(1)
    path.clock.now_s = begun_s + 0.02
    assert last_samples(path.put(5000)) == [0, 0, 5000, 5000]
    assert feed.blocks - before == 4


@pytest.mark.parametrize("is_pressed", [False, True])
def test_silence_that_comes_late_and_was_not_skipped_is_not_sent_twice(
    path, is_pressed
):
    feed = path.sender.encoder_feed
    before, begun_s = feed.blocks, path.clock.now_s
    for count in range(1, 11):
        path.clock.now_s = begun_s + 0.04 * count - 0.005
        path.sender.send_silence()
        if is_pressed and count == 10:
            path.sender.open_gate(path.clock.now_s)
        path.clock.now_s = begun_s + 0.04 * count - 0.02
        path.put(5000)
    assert feed.blocks - before == (10 + is_pressed) * 2, "speech is never left out"


def test_a_card_that_is_lost_in_an_idle_window_is_replaced_on_time(path):
    feed = path.sender.encoder_feed
    before, begun_s = feed.blocks, path.clock.now_s
    while path.clock.now_s < begun_s + 2.0:
        path.clock.now_s += 0.01
        path.sender.send_silence()
    sent_s = (feed.blocks - before) * 0.01
    assert 1.9 <= sent_s <= 2.0


def test_the_first_packets_of_a_silence_are_not_skipped(path):
    path.sender.open_gate(0.0)
    path.put(5000)
    path.sender.gate.close(0)
    # Opus sends ten of them, and lateness would be jitter for the receivers.
    for _ in range(10):
        path.put(0)
        assert not path.sender.is_idle


def test_nothing_is_sent_before_a_track_is_connected():
    feed = EncoderFeed()
    assert not feed.send([SILENT_PACKET])
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
    sender = threading.Thread(target=feed.send, args=([SILENT_PACKET],))
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
        feed.send([SILENT_PACKET])
