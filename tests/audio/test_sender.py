"""Tests of the sender: what reaches the encoder for what the card delivers."""

import queue
import threading

import numpy as np
import pytest

from appliance.audio.capture_processing import CaptureProcessing
from appliance.audio.gate import Gate
from appliance.audio.idle import IDLE_PERIODS
from appliance.audio.mixer import Mixer
from appliance.audio.sender import (
    IDLE_S,
    MAX_INSERTED_PACKETS,
    MAX_WAITING_PACKETS,
    MISSING_AFTER_S,
    PACKET_BLOCKS,
    PACKET_S,
    Sender,
)
from appliance.core.events import FirstBlockSent, LevelsMeasured, TailEnded
from appliance.pcm import SILENCE
from tests.audio.fakes import Path, Processor

DEADLINE_S = 10.0
SKIPPED = IDLE_PERIODS // PACKET_BLOCKS
"""Packets that are skipped in a row."""


def block(value):
    return np.full(480, value, np.int16)


def last_samples(sent):
    return [int(one[-1]) for one in sent]


@pytest.fixture
def path():
    path = Path()
    path.fall_silent()
    return path


def test_a_closed_gate_sends_silence_and_an_open_one_the_captured_sound(path):
    assert last_samples(path.put(500)) == [0, 0]
    path.sender.open_gate(path.clock.now_s)
    assert last_samples(path.put(500)) == [500, 500]


def test_opening_and_closing_are_posted_after_they_took_effect(path):
    path.sender.open_gate(path.clock.now_s - 0.005)
    path.put(1)
    (flowed,) = (x for x in path.events if isinstance(x, FirstBlockSent))
    assert flowed.access_s == pytest.approx(0.025)
    path.sender.close_gate(tail_ms=0)
    path.put(1)
    assert isinstance(path.events[-1], TailEnded)


def test_the_microphone_gain_amplifies_the_sent_sound(path):
    path.sender.set_gain(6.0)
    path.sender.open_gate(0.0)
    assert last_samples(path.put(1000))[-1] == pytest.approx(1995, abs=3)


def test_the_queue_to_a_slow_encoder_is_bounded_and_drops_are_counted(path):
    for _ in range(2 * (MAX_WAITING_PACKETS + 5)):
        path.sender.put(block(1), SILENCE)
    assert path.sender.overflows == 5
    assert path.sender.depth_s == MAX_WAITING_PACKETS * PACKET_S


def test_half_a_packet_from_before_a_reopening_is_discarded(path):
    path.sender.open_gate(0.0)
    path.sender.put(block(100), SILENCE)
    path.sender.set_delay(10)
    assert last_samples(path.put(200)) == [200, 200]


def test_nothing_is_sent_after_disconnecting(path):
    path.sender.encoder_feed.disconnect()
    path.sender.put(block(1), SILENCE)
    path.sender.put(block(1), SILENCE)
    path.sender.run_waiting()
    assert path.sent == []


def test_after_the_card_is_closed_the_levels_are_those_of_silence(path):
    path.sender.open_gate(0.0)
    for _ in range(20):
        path.put(8000)
    path.sender.close_gate(tail_ms=0)
    path.put(8000)
    assert levels(path)[-1].is_voice
    path.sender.encoder_feed.disconnect()
    for _ in range(3):
        path.clock.now_s += 0.1
        path.sender.send_silence()
    assert levels(path)[-1] == LevelsMeasured(-96, -96, is_voice=False)
    assert not path.sender.meter.is_voice
    count = len(levels(path))
    for _ in range(20):
        path.put(8000)
    assert len(levels(path)) > count, "the same level is posted again"


def levels(path):
    return [event for event in path.events if isinstance(event, LevelsMeasured)]


def test_silence_is_sent_for_the_time_in_which_the_card_delivers_nothing(path):
    path.clock.now_s += 0.2
    path.sender.send_silence()
    sent = path.taken()
    assert len(sent) == round(0.2 / PACKET_S) * PACKET_BLOCKS
    assert not any(one.any() for one in sent)
    assert not path.sender.is_idle, "the thread looks often until sound comes"


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


def test_silence_for_a_missing_card_is_sent_packet_by_packet_until_it_is_settled(path):
    path.put(5000)
    path.clock.now_s += 0.2001
    path.sender.send_silence()
    at_once = []
    for _ in range(40):
        path.taken()
        path.clock.now_s += PACKET_S
        path.sender.send_silence()
        at_once.append(len(path.taken()) // PACKET_BLOCKS)
    assert at_once[:5] == [1] * 5
    assert sorted(at_once[-8:]) == [0] * 6 + [4] * 2, "Opus sends hardly any of it"


def test_silence_in_a_talk_is_sent_packet_by_packet(path):
    path.sender.open_gate(0.0)
    path.put(5000)
    path.clock.now_s += 0.5001
    path.sender.send_silence()
    for _ in range(5):
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


def test_each_interruption_of_a_talk_in_which_silence_is_sent_is_counted(path):
    path.clock.now_s += 1.0
    path.sender.send_silence()
    assert path.sender.underflows == 0, "nobody talks"
    path.sender.open_gate(path.clock.now_s)
    path.clock.now_s += 0.1
    path.sender.send_silence()
    assert path.sender.underflows == 1, "a talk begins in it"
    for _ in range(2):
        path.put(1000)
        for _ in range(3):
            path.clock.now_s += 0.1
            path.sender.send_silence()
    assert path.sender.underflows == 3


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
    path.sender.run_waiting()
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


def test_no_silence_is_sent_by_a_thread_that_stood_still_itself(path):
    path.clock.now_s += 0.2
    path.sender.send_silence(late_s=0.1)
    assert path.taken() == []


def test_while_both_sides_are_silent_four_packets_are_sent(path):
    assert path.sender.is_idle
    path.sender.skip_packets(SKIPPED)
    assert path.taken() == [], "the card's thread waits for no encoder"
    assert len(path.put(10)) == (SKIPPED + 1) * PACKET_BLOCKS
    assert path.sender.is_idle


def test_nothing_is_processed_for_nobody(path):
    path.sender.encoder_feed.disconnect()
    path.clock.now_s += 60.0
    path.sender.send_silence()
    assert path.sender.is_idle, "nothing was processed"
    path.sender.encoder_feed.connect(path.sent.append)
    path.sender.send_silence()
    assert path.taken() == []


def test_no_extra_silence_is_sent_while_packets_are_skipped(path):
    """Also if the card's thread is a little late."""
    path.sender.skip_packets(SKIPPED)
    path.taken()
    path.clock.now_s += IDLE_S + 0.9 * MISSING_AFTER_S
    path.sender.send_silence()
    # The window's packets were sent on time; the card's thread has counted them.
    assert len(path.taken()) == SKIPPED * PACKET_BLOCKS
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
    path.sender.close_gate(0)
    # Opus sends ten of them, and lateness would be jitter for the receivers.
    for _ in range(10):
        path.put(0)
        assert not path.sender.is_idle


def test_a_press_ends_the_skipping_of_packets(path):
    path.mixer.idle_window.open()
    path.sender.open_gate(0.0)
    assert path.mixer.idle_window.is_over
    assert not path.sender.is_idle
    assert any(one.any() for one in path.put(1000))


def test_a_voice_near_the_box_is_no_reason_to_process_without_any_processing(path):
    for _ in range(100):
        path.put(3000)
    assert path.sender.meter.is_voice
    assert path.sender.is_idle


def test_a_level_at_the_border_of_two_steps_is_posted_once(path):
    path.events.clear()
    for count in range(400):
        path.put(432 + 3 * (count % 7))
    levels = [x for x in path.events if isinstance(x, LevelsMeasured)]
    assert len(levels) == 1


def test_a_remote_voice_ends_the_skipping_of_packets(path):
    path.put(1000, played=block(1))
    assert not path.sender.is_idle


def test_packets_skipped_while_silence_is_sent_are_not_lost(path):
    """The thread of the card counts them meanwhile."""

    class Meanwhile(int):
        def __radd__(self, other):
            path.clock.now_s += 10.0
            path.sender.send_silence()
            return int(other) + int(self)

    path.sender.skip_packets(SKIPPED)
    path.sender.skip_packets(Meanwhile(2 * MAX_INSERTED_PACKETS))
    path.put(0)
    # The silence sent meanwhile stands for some of them.
    packets = path.packets + SKIPPED + 2 * MAX_INSERTED_PACKETS
    assert path.sender.encoder_feed.blocks == PACKET_BLOCKS * packets


def test_the_noise_suppressor_adapts_in_place_of_a_skipped_block():
    processor = Processor()
    path = Path(cleaner=processor)
    path.fall_silent()
    processor.cleaned = 0
    path.sender.put(SILENCE, SILENCE)
    path.sender.put(block(10), SILENCE)
    path.sender.run_waiting()
    assert processor.cleaned == 2
    assert not SILENCE.any()


def test_skipping_begins_only_at_a_packet_boundary(path):
    path.sender.put(block(0), SILENCE)
    assert not path.sender.is_idle


def test_with_a_pre_roll_no_packet_is_skipped():
    path = Path(gate=Gate(20))
    path.fall_silent()
    assert not path.sender.is_idle


@pytest.mark.parametrize("wanted_dbfs", [-54, -42])
def test_levels_are_posted_while_packets_are_skipped(path, wanted_dbfs):
    for _ in range(12):
        path.put(round(32_768 * 10 ** (wanted_dbfs / 20)))
        if path.sender.is_idle:
            path.sender.skip_packets(SKIPPED)
    levels = [x for x in path.events if isinstance(x, LevelsMeasured)]
    assert levels[-1].microphone_dbfs == pytest.approx(wanted_dbfs, abs=3)


def test_the_end_tone_sounds_only_after_the_gate_has_closed(path):
    tone = np.full(480, 4000, np.float32)
    path.sender.open_gate(0.0)
    path.put(5000)
    path.sender.close_gate(tail_ms=40)
    path.sender.play_at_end(tone)
    path.put(5000)
    assert path.mixer.next() is None
    for _ in range(3):
        path.put(5000)
    assert path.mixer.next() is not None


def test_the_end_tone_of_a_talk_that_goes_on_is_not_played(path):
    path.sender.open_gate(0.0)
    path.sender.close_gate(tail_ms=200)
    path.sender.play_at_end(np.full(480, 4000, np.float32))
    path.sender.open_gate(0.0)
    path.put(5000)
    path.sender.close_gate(0)
    path.put(0)
    assert path.mixer.next() is None


def test_an_earcon_that_the_microphone_hears_is_removed_from_the_sent_sound(path):
    """20 dB of coupling: without removal as loud as speech."""
    at = np.arange(480 * 14) / 48_000
    tone = 600 * np.sin(2 * np.pi * 880 * at + 0.7)
    speech = 3000 * np.sin(2 * np.pi * 310 * at)
    path.sender.open_gate(0.0)
    path.put(0)
    path.sender.remove_tone(880.0, 0.36)
    blocks = (speech + tone).astype(np.int16).reshape(-1, 480)
    for one in blocks:
        path.sender.put(one.copy(), SILENCE)
        path.sender.run_waiting()
    sent = np.concatenate(path.taken()).astype(float)
    left = np.abs(np.fft.rfft(sent * np.hanning(len(sent))))
    hz = np.fft.rfftfreq(len(sent), 1 / 48_000)
    peak = {x: left[np.abs(hz - x) < 15].max() for x in (310, 880)}
    assert peak[880] < peak[310] / 5 / 10, "20 dB less than it was"
    whole = np.abs(np.fft.rfft(speech * np.hanning(len(speech))))
    assert peak[310] == pytest.approx(whole.max(), rel=0.1)


def test_the_removal_of_an_earcon_ends_with_its_echo(path):
    path.sender.open_gate(0.0)
    path.sender.remove_tone(1000.0, 0.36)
    path.clock.now_s += 1.0
    path.put(0)
    tone = (3000 * np.sin(2 * np.pi * np.arange(480) / 48)).astype(np.int16)
    path.sender.put(tone.copy(), SILENCE)
    path.sender.put(tone.copy(), SILENCE)
    path.taken()
    path.sender.run_waiting()
    assert (path.taken()[0] == tone).all()


class Running:
    """Sender with its thread."""

    def __init__(self, cleaner=None):
        self.sent: queue.Queue[np.ndarray] = queue.Queue()
        processing = CaptureProcessing(None, cleaner)
        self.sender = Sender(Gate(0), Mixer(), lambda _: None, processing)
        self.sender.encoder_feed.connect(lambda one: self.sent.put(one.copy()))

    def __enter__(self):
        self.sender.start()
        return self

    def __exit__(self, *_):
        self.sender.close()


def test_the_thread_sends_silence_while_the_card_delivers_no_blocks():
    with Running() as running:
        sent = [running.sent.get(timeout=DEADLINE_S) for _ in range(12)]
    assert not any(one.any() for one in sent)


def test_an_exception_of_the_noise_suppressor_is_not_swallowed():
    died = threading.Event()
    before = threading.excepthook
    threading.excepthook = lambda _: died.set()

    class Broken:
        def clean(self, _):
            raise RuntimeError

    try:
        Running(Broken()).sender.start()
        assert died.wait(DEADLINE_S)
    finally:
        threading.excepthook = before


def test_a_new_track_starts_at_a_packet_boundary():
    running = Running()
    feed = running.sender.encoder_feed
    values: list[list[int]] = [[], []]
    joins, ends = threading.Event(), threading.Event()

    def before(one):
        values[0].append(int(one[-1]))
        # A track connects in the middle of a packet and must wait for its end.
        if len(values[0]) == 1:
            threading.Thread(target=connect).start()

    def after(one):
        values[1].append(int(one[-1]))
        if values[1][-1] == 4000:
            ends.set()

    def connect():
        feed.connect(after)
        joins.set()

    running.sender.open_gate(0.0)
    feed.connect(before)
    for value in (1000, 2000):
        running.sender.put(block(value), SILENCE)
    with running:
        assert joins.wait(DEADLINE_S)
        for value in (3000, 4000):
            running.sender.put(block(value), SILENCE)
        assert ends.wait(DEADLINE_S)
    assert next(value for value in values[1] if value) == 3000
    assert values[0] == [1000, 2000]
