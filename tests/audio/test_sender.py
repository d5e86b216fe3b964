"""Tests of the sender: what reaches the encoder for what the card delivers."""

import queue
import threading

import numpy as np
import pytest

from appliance.audio.echo_cancellation import CaptureProcessing, EchoReference
from appliance.audio.gate import Gate
from appliance.audio.mixer import Mixer
from appliance.audio.sender import MAX_WAITING_PACKETS, Sender
from appliance.core.events import FirstBlockSent, LevelsMeasured, TailEnded
from appliance.metrics.counters import AudioFault
from appliance.pcm import PACKET_S, SILENCE
from tests.audio.fakes import (
    NOTHING,
    SKIPPED,
    Clock,
    Path,
    Processor,
    block,
    last_samples,
    playback_callback,
    process,
)

DEADLINE_S = 10.0


def test_a_closed_gate_sends_silence_and_an_open_one_the_captured_sound(path):
    assert last_samples(path.put(500)) == [0, 0]
    path.sender.open_gate(path.clock.now_s)
    assert last_samples(path.put(500)) == [500, 500]


def test_opening_and_closing_are_posted_after_they_took_effect(path):
    path.sender.open_gate(path.clock.now_s - 0.005)
    path.put(1)
    (flowed,) = (x for x in path.events if isinstance(x, FirstBlockSent))
    assert flowed.access_s == pytest.approx(0.025)
    path.sender.gate.close(tail_ms=0)
    path.put(1)
    assert isinstance(path.events[-1], TailEnded)


def test_the_microphone_gain_amplifies_the_sent_sound(path):
    path.sender.set_gain(6.0)
    path.sender.open_gate(0.0)
    assert last_samples(path.put(1000))[-1] == pytest.approx(1995, abs=3)


def test_the_queue_to_a_slow_encoder_is_bounded_and_drops_are_counted(path):
    for _ in range(2 * (MAX_WAITING_PACKETS + 5)):
        path.sender.put(block(1), SILENCE)
    assert path.sender.faults[AudioFault.OVERFLOW] == 5
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
    process(path.sender)
    assert path.sent == []


def test_after_the_card_is_closed_the_levels_are_those_of_silence(path):
    path.sender.open_gate(0.0)
    for _ in range(20):
        path.put(8000)
    path.sender.gate.close(tail_ms=0)
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


@pytest.mark.parametrize("had_microphone", [False, True])
def test_a_box_without_a_microphone_shows_the_level_of_its_speaker(had_microphone):
    clock = Clock()
    mixer = Mixer(now_s=clock)
    path = Path(mixer=mixer, clock=clock)
    path.sender.encoder_feed.disconnect()
    if had_microphone:
        for _ in range(20):
            path.put(8000)
    card = playback_callback(mixer, EchoReference(0.01, path.clock), path.counters)
    talk = mixer.add("ann")

    def pass_a_second(level):
        for _ in range(100):
            talk(block(level))
            path.clock.now_s += 0.01
            card.call(NOTHING, memoryview(bytearray(1920)), 0, 0.0, 0)
            path.sender.send_silence()
        return levels(path)[-1]

    before = len(levels(path))
    playing = pass_a_second(8000)
    assert playing.speaker_dbfs == pytest.approx(-12, abs=3)
    assert (playing.microphone_dbfs, playing.is_voice) == (-96, False)
    assert len(levels(path)) - before <= 5, "five times a second"
    assert pass_a_second(0) == LevelsMeasured(-96, -96, is_voice=False)
    count = len(levels(path))
    pass_a_second(0)
    assert len(levels(path)) == count, "silence is posted once"


def levels(path):
    return [event for event in path.events if isinstance(event, LevelsMeasured)]


def test_each_interruption_of_a_talk_in_which_silence_is_sent_is_counted(path):
    path.clock.now_s += 1.0
    path.sender.send_silence()
    assert path.sender.faults[AudioFault.UNDERFLOW] == 0, "nobody talks"
    path.sender.open_gate(path.clock.now_s)
    path.clock.now_s += 0.1
    path.sender.send_silence()
    assert path.sender.faults[AudioFault.UNDERFLOW] == 1, "a talk begins in it"
    for _ in range(2):
        path.put(1000)
        for _ in range(3):
            path.clock.now_s += 0.1
            path.sender.send_silence()
    assert path.sender.faults[AudioFault.UNDERFLOW] == 3


def test_silence_in_place_of_a_missing_card_does_not_count_as_sent_sound(path):
    path.sender.open_gate(path.clock.now_s)
    path.clock.now_s += 0.1
    path.sender.send_silence()
    assert path.taken()
    assert not any(isinstance(event, FirstBlockSent) for event in path.events)
    path.put(1000)
    assert any(isinstance(event, FirstBlockSent) for event in path.events)


def test_nothing_is_processed_for_nobody(path):
    path.sender.encoder_feed.disconnect()
    path.clock.now_s += 60.0
    path.sender.send_silence()
    assert path.sender.is_idle, "nothing was processed"
    path.sender.encoder_feed.connect(path.sent.append)
    path.sender.send_silence()
    assert path.taken() == []


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


@pytest.mark.parametrize("is_open", [False, True])
def test_the_noise_suppressor_adapts_in_place_of_a_skipped_block(is_open):
    """But not to the first 10 ms of a talk, which it gets themselves."""
    processor = Processor()
    path = Path(cleaner=processor)
    path.fall_silent()
    processor.cleaned = 0
    if is_open:
        path.sender.open_gate(0.0)
    path.sender.put(SILENCE, SILENCE)
    path.sender.put(block(10), SILENCE)
    process(path.sender)
    assert processor.cleaned == (1 if is_open else 2)
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
    path.sender.gate.close(tail_ms=40)
    path.sender.play_at_end(tone)
    path.put(5000)
    assert path.mixer.next() is None
    for _ in range(3):
        path.put(5000)
    assert path.mixer.next() is not None


def test_the_end_tone_of_a_talk_that_goes_on_is_not_played(path):
    path.sender.open_gate(0.0)
    path.sender.gate.close(tail_ms=200)
    path.sender.play_at_end(np.full(480, 4000, np.float32))
    path.sender.open_gate(0.0)
    path.put(5000)
    path.sender.gate.close(0)
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
        process(path.sender)
    sent = np.concatenate(path.taken()).astype(float)
    left = np.abs(np.fft.rfft(sent * np.hanning(len(sent))))
    hz = np.fft.rfftfreq(len(sent), 1 / 48_000)
    peak = {x: left[np.abs(hz - x) < 15].max() for x in (310, 880)}
    assert peak[880] < peak[310] / 5 / 10, "20 dB less than it was"
    whole = np.abs(np.fft.rfft(speech * np.hanning(len(speech))))
    assert peak[310] == pytest.approx(whole.max(), rel=0.1)


def test_an_earcon_that_waits_for_a_speaker_is_dropped_when_the_gate_opens(path):
    path.sender.play_at_end(np.full(480, 4000, np.float32))
    path.sender.open_gate(0.0)
    assert path.mixer.next() is None


def test_the_removal_of_an_earcon_ends_with_its_echo(path):
    path.sender.open_gate(0.0)
    path.sender.remove_tone(1000.0, 0.36)
    path.clock.now_s += 1.0
    path.put(0)
    tone = (3000 * np.sin(2 * np.pi * np.arange(480) / 48)).astype(np.int16)
    path.sender.put(tone.copy(), SILENCE)
    path.sender.put(tone.copy(), SILENCE)
    path.taken()
    process(path.sender)
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
        running = Running(Broken())
        running.sender.start()
        for _ in range(2):
            running.sender.put(block(1), SILENCE)
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
