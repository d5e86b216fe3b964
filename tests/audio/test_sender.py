"""Tests of the sender, block by block."""

import queue
import threading
from typing import Any

import numpy as np
import pytest

from appliance.audio.dsp import BLOCK_FRAMES
from appliance.audio.encoder_feed import PACKET_BLOCKS, EncoderFeed
from appliance.audio.gate import Gate
from appliance.audio.jitter_priming import (
    FIRST_STEP_BLOCKS,
    PAUSE_BLOCKS,
    SPELLS,
    STEPS,
)
from appliance.audio.mixer import Mixer
from appliance.audio.processing import CaptureProcessing
from appliance.audio.sender import (
    MAX_INSERTED,
    MAX_SKIPPED,
    MAX_WAITING,
    PACKET_S,
    Sender,
)
from appliance.audio.sender import PATIENCE_S as CARD_PATIENCE_S
from appliance.core.events import TailEnded, TalkFlowed
from appliance.pcm import SILENCE

PATIENCE_S = 10.0


LOUD = np.full(240, 5000, np.int16).tobytes()
QUIET = np.full(240, 20, np.int16).tobytes()
LONG_PACKETS = FIRST_STEP_BLOCKS + STEPS * PAUSE_BLOCKS


def empty(sent):
    return [sent.get() for _ in range(sent.qsize())]


class Rig:
    """Sender with an open gate, and everything it sent."""

    def __init__(self, cleaner=None):
        self.events: queue.Queue[Any] = queue.Queue()
        self.sent: queue.Queue[Any] = queue.Queue()
        self.encoder_feed = EncoderFeed()
        processing = CaptureProcessing(None, cleaner)
        self.sender = Sender(
            Gate(0), Mixer(), self.encoder_feed, self.events.put, processing
        )
        self.encoder_feed.connect(lambda block: self.sent.put(block.copy()))
        # Long after joining, when the priming is over.
        self.encoder_feed.send([(SILENCE, SILENCE)] * LONG_PACKETS)
        for _ in range(STEPS):
            self.encoder_feed.send([(SILENCE, SILENCE)] * PAUSE_BLOCKS)
            self.encoder_feed.step()
        self.encoder_feed.send([(SILENCE, SILENCE)] * SPELLS[-1][1])
        empty(self.sent)

    def __enter__(self):
        self.sender.start()
        return self

    def __exit__(self, *_):
        self.sender.close()

    def next(self):
        return self.sent.get(timeout=PATIENCE_S)


def block(value):
    return np.full(BLOCK_FRAMES, value, np.int16)


@pytest.fixture
def rig():
    with Rig() as made:
        yield made


def test_silence_is_sent_while_the_card_delivers_no_blocks(rig):
    assert not any(rig.next().any() for _ in range(12))


def test_a_burst_of_late_packets_is_dropped_where_silence_was_already_sent():
    rig = Rig()
    rig.sender.open_gate(0.0)
    rig.sender._late_audio.grow(2 * PACKET_BLOCKS, 0.04)
    for value in range(1, 9):
        rig.sender.put(block(value * 100), SILENCE)
    with rig:
        loud = [sent for sent in (rig.next() for _ in range(4)) if sent.any()]
    assert [int(sent[-1]) for sent in loud] == [500, 600, 700, 800]


def test_speech_after_a_long_gap_is_sent_completely():
    rig = Rig()
    rig.sender.open_gate(0.0)
    rig.sender._late_audio.grow(300, 3.0)
    for value in range(1, 7):
        rig.sender.put(block(value * 100), SILENCE)
    with rig:
        sent = [rig.next() for _ in range(6)]
    assert [int(one[-1]) for one in sent] == [100, 200, 300, 400, 500, 600]


def test_the_queue_to_a_slow_encoder_is_bounded_and_drops_are_counted():
    rig = Rig()
    for _ in range(2 * (MAX_WAITING + 5)):
        rig.sender.put(block(1), SILENCE)
    assert rig.sender.overflows == 10
    assert rig.sender.depth_s == MAX_WAITING * PACKET_S


def silent():
    """Rig without a running thread, after a long silence."""
    rig = Rig()
    rig.sender._processing._activity._warm_up_blocks = 0
    hear(rig, 0)
    return rig


def hear(rig, value, played=SILENCE):
    """Put a packet and process it as the thread does."""
    for _ in range(PACKET_BLOCKS):
        rig.sender.put(block(value), played)
    return run_waiting(rig)


def run_waiting(rig):
    """Process the queue as the thread does."""
    while not rig.sender._queue.empty():
        rig.sender._take(rig.sender._queue.get())
    return empty(rig.sent)


def rest(rig):
    """Skip packets as the card's thread does; return how many."""
    packets = 0
    while spare := rig.sender.idle_packets:
        rig.sender.skip_packets(spare)
        packets += spare
    return packets


def test_while_both_sides_are_silent_one_packet_in_ten_is_processed():
    rig = silent()
    before = rig.encoder_feed.blocks
    assert rest(rig) == MAX_SKIPPED
    assert rig.encoder_feed.blocks - before == MAX_SKIPPED * PACKET_BLOCKS
    assert not any(one.any() for one in hear(rig, 10))
    assert rest(rig) == MAX_SKIPPED


@pytest.mark.parametrize("has_press", [True, False])
def test_a_press_or_a_remote_voice_ends_the_skipping_of_packets(has_press):
    rig = silent()
    rig.sender._mixer.idle_window.open()
    if has_press:
        rig.sender.open_gate(0.0)
        assert rig.sender._mixer.idle_window.is_over
        assert not rig.sender.idle_packets
    sent = hear(rig, 1000, SILENCE if has_press else block(1))
    assert not rig.sender.idle_packets
    assert any(one.any() for one in sent) == has_press


def test_skipping_begins_only_at_a_packet_boundary():
    rig = silent()
    assert rig.sender.idle_packets == 1
    rig.sender.put(block(0), SILENCE)
    assert not rig.sender.idle_packets


def test_with_a_pre_roll_no_packet_is_skipped():
    rig = Rig()
    rig.sender._gate = Gate(20)
    for _ in range(3):
        hear(rig, 1)
        assert not rig.sender.idle_packets
    rig.sender.open_gate(0.0)
    sent = hear(rig, 2)
    assert [int(one[-1]) for one in sent] == [1, 1]


def test_a_card_that_stops_while_packets_are_skipped_is_replaced_by_as_much_silence():
    rig = silent()
    rig.sender.skip_packets(1)
    before = rig.encoder_feed.blocks
    rig.sender._put_s -= 2 * CARD_PATIENCE_S
    rig.sender._filled_s -= 2 * CARD_PATIENCE_S
    rig.sender._send_silence()
    missing = 2 * round(CARD_PATIENCE_S / PACKET_S)
    assert rig.encoder_feed.blocks - before == missing * PACKET_BLOCKS
    assert not rig.sender.idle_packets, "it is looked at until sound comes again"


def test_silence_sent_after_a_long_stop_of_the_process_is_bounded():
    rig = silent()
    before = rig.encoder_feed.blocks
    rig.sender._put_s -= 60.0
    rig.sender._filled_s -= 60.0
    rig.sender._send_silence()
    assert rig.encoder_feed.blocks - before <= MAX_INSERTED * PACKET_BLOCKS


def test_no_extra_silence_is_sent_while_packets_are_skipped():
    rig = silent()
    rig.sender.skip_packets(1)
    before = rig.encoder_feed.blocks
    rig.sender._send_silence()
    assert rig.encoder_feed.blocks == before


@pytest.mark.parametrize("before", range(20))
def test_levels_are_posted_while_packets_are_skipped(before):
    rig = silent()
    rig.sender._meter.skip(before)
    for wanted_dbfs, value in ((-54, 60), (-48, 130)):
        for _ in range(12):
            hear(rig, value)
            hear(rig, value)
            rest(rig)
        while not rig.events.empty():
            told = rig.events.get_nowait()
        assert told.microphone_dbfs == pytest.approx(wanted_dbfs, abs=3)


def test_nothing_is_sent_after_disconnecting(rig):
    rig.next()
    rig.encoder_feed.disconnect()
    empty(rig.sent)
    rig.sender.put(block(1), SILENCE)
    with pytest.raises(queue.Empty):
        rig.sent.get(timeout=0.2)


def test_opening_and_closing_of_the_gate_are_posted_after_they_took_effect(rig):
    rig.sender.open_gate(0.0)
    assert isinstance(rig.events.get(timeout=PATIENCE_S), TalkFlowed)
    rig.sender.close_gate(tail_ms=0)
    assert isinstance(rig.events.get(timeout=PATIENCE_S), TailEnded)


def test_an_exception_of_the_noise_suppressor_is_not_swallowed():
    died = threading.Event()
    before = threading.excepthook
    threading.excepthook = lambda _: died.set()

    class Broken:
        def clean(self, _):
            raise RuntimeError

    try:
        rig = Rig(Broken())
        rig.sender.start()
        assert died.wait(PATIENCE_S)
    finally:
        threading.excepthook = before


def test_the_microphone_gain_amplifies_the_sent_sound(rig):
    rig.sender.set_gain(6.0)
    rig.sender.open_gate(0.0)
    rig.events.get(timeout=PATIENCE_S)
    while not (sent := rig.next()).any():
        rig.sender.put(block(1000), SILENCE)
    while int(sent[-1]) == 0:
        rig.sender.put(block(1000), SILENCE)
        sent = rig.next()
    assert int(sent[-1]) == pytest.approx(1995, abs=3)


def test_a_new_track_starts_at_a_packet_boundary():
    rig = Rig()
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
        rig.encoder_feed.connect(after)
        joins.set()

    rig.sender.open_gate(0.0)
    rig.encoder_feed.connect(before)
    for value in (1000, 2000):
        rig.sender.put(block(value), SILENCE)
    with rig:
        assert joins.wait(PATIENCE_S)
        for value in (3000, 4000):
            rig.sender.put(block(value), SILENCE)
        assert ends.wait(PATIENCE_S)
    first = next(value for value in values[1] if value)
    assert first == 3000
    assert values[0] == [1000, 2000]


def test_half_a_packet_from_before_a_reopening_is_discarded():
    rig = Rig()
    rig.sender.open_gate(0.0)
    rig.sender.put(block(100), SILENCE)
    rig.sender.set_delay(10)
    for value in (200, 300):
        rig.sender.put(block(value), SILENCE)
    with rig:
        assert [int(rig.next()[-1]) for _ in range(2)] == [200, 300]


def due(gate):
    """Sender with a due delay step."""
    rig = Rig()
    rig.sender._gate = gate
    rig.encoder_feed.connect(lambda _: None)
    rig.encoder_feed.send([(SILENCE, SILENCE)] * FIRST_STEP_BLOCKS)
    return rig


def test_a_due_delay_step_drops_half_a_block_of_inaudible_sound_once():
    rig = due(Gate(0))
    assert rig.sender.may_drop(LOUD)
    assert not rig.sender.may_drop(LOUD)


@pytest.mark.parametrize("pre_roll_ms", [0, 100])
def test_a_delay_step_drops_only_silence_while_the_gate_is_open_or_has_a_pre_roll(
    pre_roll_ms,
):
    rig = due(Gate(pre_roll_ms))
    if not pre_roll_ms:
        rig.sender.open_gate(0.0)
    assert not rig.sender.may_drop(LOUD)
    assert rig.sender.may_drop(QUIET)
