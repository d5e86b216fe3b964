"""Tests of the supervisor with a fake of PortAudio."""

import asyncio
import queue
import threading
from contextlib import ExitStack

import numpy as np
import pytest

from appliance.audio.adapter import AudioAdapter
from appliance.audio.capture_processing import CaptureProcessing
from appliance.audio.gate import Gate
from appliance.audio.latency_steps import LATENCY_STEPS_S
from appliance.audio.mixer import Mixer
from appliance.audio.stream_callbacks import INPUT_UNDERFLOW
from appliance.audio.supervisor import Supervisor
from appliance.config import Config, SoundConfig, TalkConfig, TalkMode
from appliance.core.commands import OpenGate, OpenSound
from appliance.core.events import Part, PartFound, PartLost
from appliance.errors import SoundError
from appliance.sound_cards.devices import Device
from appliance.sound_cards.selected_devices import SelectedDevices
from tests.audio.fake_driver import (
    DEADLINE_S,
    LOUD,
    Beating,
    FakeDriver,
    FarEnd,
    Steps,
    beat,
    running,
    supervising,
)
from tests.sound_cards.proc_asound import kernel

LOOKS = 40
"""Looks of the supervisor in ten seconds."""


def test_a_longer_buffer_is_opened_without_searching_for_cards_again():
    driver, steps = FakeDriver(), Steps()
    with running(driver, steps) as events:
        latency_s, callback = driver.opened.get(timeout=DEADLINE_S)
        assert latency_s == LATENCY_STEPS_S[0]
        beat(callback)
        parts = {events.get(timeout=DEADLINE_S).part for _ in range(2)}
        steps.must_move.set()
        latency_s, callback = driver.opened.get(timeout=DEADLINE_S)
        assert latency_s == LATENCY_STEPS_S[1]
        beat(callback)
        found = [events.get(timeout=DEADLINE_S) for _ in range(2)]
    assert all(isinstance(event, PartFound) for event in found)
    assert {event.part for event in found} == parts, "nothing was reported as lost"
    assert driver.searches == 1
    assert steps.cards == ["USB Audio"] * 2
    assert steps.changes == [False, True]


def is_seen(steps, *, is_idle):
    """Return whether one of the next looks of the supervisor finds this."""
    looks = (steps.looks.get(timeout=DEADLINE_S) for _ in range(LOOKS))
    return is_idle in looks


def next_looks(steps, count):
    """Return whether the supervisor finds this at each of its next looks."""
    return [steps.looks.get(timeout=DEADLINE_S) for _ in range(count)]


def test_with_a_gate_open_for_long_a_buffer_may_become_shorter_in_a_pause():
    driver, steps, gate = FakeDriver(), Steps(), Gate(0)
    gate.open()
    with supervising(driver, steps, gate=gate) as (supervisor, _):
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        supervisor.long_talk_s = 0.5
        with Beating(callback, level=5000):
            assert is_seen(steps, is_idle=False), "somebody speaks"
        with Beating(callback):
            assert is_seen(steps, is_idle=True)


def test_a_pause_for_thinking_in_a_talk_is_not_used_for_a_shorter_buffer():
    driver, steps, gate = FakeDriver(), Steps(), Gate(0)
    gate.open()
    with running(driver, steps, gate=gate):
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        with Beating(callback):
            assert next_looks(steps, 6) == [False] * 6
            gate.close(0)
            assert is_seen(steps, is_idle=True)


class OpeningSteps(Steps):
    """Latency steps that open the gate after looks that heard somebody for long."""

    def __init__(self, gate, long_s):
        super().__init__()
        self.gate = gate
        self.long_s = long_s
        self.heard_at_s: list[float] = []
        """Times of these looks; the last one opened the gate."""
        self.idle_at_s: queue.Queue[float] = queue.Queue()
        """Times of later looks that found it idle."""

    def update(self, losses, now_s, *, is_idle):
        if self.gate.is_open and is_idle:
            self.idle_at_s.put(now_s)
        if not self.gate.is_open:
            self.heard_at_s = [] if is_idle else [*self.heard_at_s, now_s]
            if not is_idle and now_s - self.heard_at_s[0] > self.long_s:
                self.gate.open()
        return super().update(losses, now_s, is_idle=is_idle)


def test_a_talk_after_a_long_one_of_the_far_end_is_a_short_one():
    driver, gate, mixer = FakeDriver(), Gate(0), Mixer()
    steps = OpeningSteps(gate, 2.0)
    talk = mixer.add("far")
    with supervising(driver, steps, gate=gate, mixer=mixer) as (supervisor, _):
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        stream = driver.streams.get(timeout=DEADLINE_S)
        supervisor.long_talk_s = steps.long_s
        with Beating(callback):
            for _ in range(3000):
                talk(LOUD)
                assert not stream.is_closed.wait(0.01)
                if gate.is_open:
                    break
            idle_at_s = steps.idle_at_s.get(timeout=DEADLINE_S)
    # The supervisor's own times: the gate was still closed after the last look but one.
    assert idle_at_s - steps.heard_at_s[-2] > supervisor.long_talk_s


def test_a_card_that_never_calls_back_is_reported_as_stopped():
    driver = FakeDriver()
    with running(driver, Steps()) as events:
        lost = events.get(timeout=DEADLINE_S)
        assert isinstance(lost, PartLost)
        assert "stopped" in lost.reason


def test_a_card_that_loses_sound_with_the_longest_buffer_is_reported():
    driver, steps = FakeDriver(), Steps()
    with running(driver, steps) as events:
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        beat(callback, status=2)
        assert not events.get(timeout=DEADLINE_S).notice.endswith("devices")
        events.get(timeout=DEADLINE_S)
        steps.losing = {"speaker"}
        beat(callback, status=2)
        found = events.get(timeout=DEADLINE_S)
    assert "loses sound" in found.notice


@pytest.mark.parametrize(
    ("config", "wanted", "part"),
    [
        (SoundConfig(microphone="none"), {"speaker"}, Part.SPEAKER),
        (SoundConfig(speaker="none"), {"microphone"}, Part.MICROPHONE),
    ],
)
def test_a_direction_that_is_configured_as_none_is_neither_opened_nor_missed(
    config, wanted, part
):
    driver = FakeDriver()
    with running(driver, Steps(), config=config) as events:
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        beat(callback)
        found = events.get(timeout=DEADLINE_S)
    assert (type(found), found.part) == (PartFound, part)
    assert driver.wanted == [wanted]
    assert events.empty()


def test_without_microphone_and_speaker_cards_are_never_searched():
    driver = FakeDriver()
    config = SoundConfig(microphone="none", speaker="none")
    with running(driver, Steps(), config=config) as events:
        pass
    assert not driver.searches
    assert events.empty()


def next_lost(events):
    while not isinstance(event := events.get(timeout=DEADLINE_S), PartLost):
        pass
    return event


def test_a_microphone_without_samples_is_lost_and_its_speaker_plays_on():
    driver = FakeDriver()
    with running(driver, Steps()) as events:
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        stream = driver.streams.get(timeout=DEADLINE_S)
        with Beating(callback, INPUT_UNDERFLOW):
            found, lost = (events.get(timeout=DEADLINE_S) for _ in range(2))
        is_closed = stream.is_closed.is_set()
    assert (type(found), found.part) == (PartFound, Part.SPEAKER)
    assert (type(lost), lost.part) == (PartLost, Part.MICROPHONE)
    assert "delivers nothing" in lost.reason
    assert not is_closed


def test_a_failure_of_the_sound_library_ends_every_stream_and_is_named():
    driver = FakeDriver()
    with running(driver, Steps()) as events:
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        stream = driver.streams.get(timeout=DEADLINE_S)
        with Beating(callback):
            assert isinstance(events.get(timeout=DEADLINE_S), PartFound)
            driver.broken = "the sound library crashed (SIGSEGV)"
            lost = next_lost(events)
            assert stream.is_closed.wait(DEADLINE_S)
        assert lost.reason == "the sound library crashed (SIGSEGV)"
        driver.opened.get(timeout=DEADLINE_S)
        assert not driver.is_closed.is_set()
    assert driver.is_closed.is_set()


TWO_CARDS = (("USB Speaker", 0, 2), ("USB Microphone", 1, 0))


def test_a_microphone_that_stops_does_not_interrupt_a_speaker_of_another_card():
    driver = FakeDriver(TWO_CARDS)
    with running(driver, Steps()) as events:
        _, speaker_callback = driver.opened.get(timeout=DEADLINE_S)
        speaker = driver.streams.get(timeout=DEADLINE_S)
        microphone = driver.streams.get(timeout=DEADLINE_S)
        assert (speaker.ways, microphone.ways) == ({"speaker"}, {"microphone"})
        with Beating(speaker_callback):
            lost = next_lost(events)
            assert microphone.is_closed.wait(DEADLINE_S)
            assert not speaker.is_closed.is_set()
    assert (lost.part, lost.name) == (Part.MICROPHONE, "USB Microphone")


def test_a_good_microphone_is_searched_at_once_while_the_far_end_talks_on(monkeypatch):
    monkeypatch.setattr(f"{Supervisor.__module__}.LONG_LIFE_S", 0.5)
    driver, far, gate = FakeDriver(TWO_CARDS), FarEnd(), Gate(0)
    gate.open()
    with running(driver, Steps(), mixer=far.mixer, gate=gate):
        (speaker, play), _ = both_running(driver)
        with Beating(play, before=far.talk):
            assert speaker.is_closed.wait(DEADLINE_S), "the search interrupts it"


def test_a_talk_is_not_interrupted_before_its_first_word_by_a_search():
    driver, steps, gate = FakeDriver(TWO_CARDS), Steps(), Gate(0)
    gate.open()
    with running(driver, steps, gate=gate) as events:
        _, (microphone, capture) = both_running(driver)
        with Beating(capture):
            assert next_lost(events).part is Part.SPEAKER
            next_looks(steps, 16)
            assert not microphone.is_closed.is_set()
            gate.close(0)
            assert microphone.is_closed.wait(DEADLINE_S)


class BusySpeaker(FakeDriver):
    """Driver whose speaker is in use at the first attempt to open it."""

    is_busy = True

    def open(self, wanted, callback):
        if wanted.speaker and self.is_busy:
            self.is_busy = False
            raise SoundError(wanted.device_name, "Device unavailable")
        return super().open(wanted, callback)


async def test_in_open_mode_a_missing_speaker_is_searched_in_the_first_pause():
    driver = BusySpeaker(TWO_CARDS)
    config = Config(talk=TalkConfig(mode=TalkMode.OPEN))
    processing = CaptureProcessing(None, None)
    async with AudioAdapter(
        config, lambda _: None, lambda: driver, processing
    ) as adapter:
        adapter.do(OpenSound())
        adapter.do(OpenGate())
        _, capture = await asyncio.to_thread(driver.opened.get, timeout=DEADLINE_S)
        with Beating(capture):
            while {"speaker"} not in driver.wanted:
                await asyncio.to_thread(driver.opened.get, timeout=DEADLINE_S)


def test_what_is_still_missing_is_posted_again_when_the_sound_is_opened_again():
    driver = FakeDriver(())
    with supervising(driver, Steps()) as (supervisor, events):
        missing = [events.get(timeout=DEADLINE_S) for _ in range(2)]
        supervisor.close()
        supervisor.open()
        assert [events.get(timeout=DEADLINE_S) for _ in range(2)] == missing
    assert {event.part for event in missing} == {Part.MICROPHONE, Part.SPEAKER}


def test_after_the_loss_of_one_of_two_cards_the_buffer_is_chosen_for_the_other():
    driver, steps = FakeDriver(TWO_CARDS), Steps()
    with running(driver, steps) as events:
        _, speaker_callback = driver.opened.get(timeout=DEADLINE_S)
        with Beating(speaker_callback):
            assert next_lost(events).part is Part.MICROPHONE
        assert steps.cards[0] == "USB Microphone and USB Speaker"
        assert steps.left_open == ["USB Speaker"]


def test_a_card_whose_duplex_stream_never_runs_is_opened_as_two():
    driver = FakeDriver()
    with running(driver, Steps()) as events:
        while driver.streams.get(timeout=DEADLINE_S).ways != {"speaker"}:
            driver.opened.get(timeout=DEADLINE_S)
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        with Beating(callback):
            while not isinstance(found := events.get(timeout=DEADLINE_S), PartFound):
                pass
    assert found.part is Part.SPEAKER


def test_the_open_devices_are_passed_and_none_only_when_the_sound_is_closed():
    driver, steps = FakeDriver(TWO_CARDS), Steps()
    devices: queue.Queue[dict[str, Device]] = queue.Queue()
    both = {"microphone": "USB Microphone", "speaker": "USB Speaker"}

    def passed():
        opened = devices.get(timeout=DEADLINE_S)
        return {way: device.name for way, device in opened.items()}

    with supervising(driver, steps, set_card_volumes=devices.put) as (supervisor, _):
        (_, play), (_, capture) = both_running(driver)
        with Beating(play), Beating(capture):
            assert passed() == both
            steps.must_move.set()
            (_, play), _ = both_running(driver)
        with Beating(play):
            assert passed() == both
            assert passed() == {"speaker": "USB Speaker"}
            assert passed() == both
            driver.broken = "the sound library crashed (SIGSEGV)"
            assert passed() == both, "they may be muted, which no crash ends"
        supervisor.close()
        while passed():
            pass


def test_earcons_from_before_the_card_is_opened_are_not_played_and_later_ones_are():
    driver, mixer = FakeDriver(), Mixer()
    tone = np.full(480, 5000, np.float32)
    mixer.play(tone)
    with running(driver, Steps(), mixer=mixer):
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        assert not any(beat(callback))
        mixer.play(tone)
        assert any(beat(callback))


class Slow(FakeDriver):
    """Driver that asks a card for its rates until the test lets it end."""

    def __init__(self):
        super().__init__()
        self.is_asked = threading.Event()
        self.may_end = threading.Event()

    def can(self, wanted):
        self.is_asked.set()
        self.may_end.wait(DEADLINE_S)
        return super().can(wanted)


def test_a_long_search_is_no_hang_as_long_as_its_calls_end():
    driver = Slow()
    with supervising(driver, Steps()) as (supervisor, _):
        assert driver.is_asked.wait(DEADLINE_S)
        stale_s = supervisor.heartbeat_s
        driver.answered_at_s = answered_at_s = stale_s + 100.0
        assert supervisor.heartbeat_s == answered_at_s
        driver.may_end.set()


class Hanging(FakeDriver):
    """Driver that hangs, and is killed, when it opens some directions."""

    def __init__(self, *directions, cards=(("USB Audio", 2, 2),)):
        super().__init__(cards)
        self.hangs = set(directions)

    def open(self, wanted, callback):
        if self.broken or wanted.directions & self.hangs:
            if not self.broken:
                self.wanted.append(wanted.directions)
            self.broken = "does not answer"
            raise SoundError(wanted.device_name, self.broken)
        return super().open(wanted, callback)


class HangingUntil(Hanging):
    """Driver that hangs until the test lets it be killed."""

    def __init__(self, *directions, cards):
        super().__init__(*directions, cards=cards)
        self.is_hanging = threading.Event()
        self.may_end = threading.Event()

    def open(self, wanted, callback):
        try:
            return super().open(wanted, callback)
        except SoundError:
            self.is_hanging.set()
            assert self.may_end.wait(DEADLINE_S)
            raise


def test_a_direction_that_hung_is_opened_after_the_sound_was_closed_and_opened():
    driver = HangingUntil("speaker", cards=TWO_CARDS)
    with supervising(driver, Steps()) as (supervisor, _):
        assert driver.is_hanging.wait(DEADLINE_S)
        driver.hangs.clear()
        supervisor.close()
        supervisor.open()
        driver.may_end.set()
        (first, _), (second, _) = both_running(driver)
    assert (first.ways, second.ways) == ({"speaker"}, {"microphone"})
    assert driver.searches == 2


class HangingClose(Hanging):
    """Driver that hangs, and is killed, when it closes a stream."""

    def open(self, wanted, callback):
        stream = super().open(wanted, callback)
        stream.close = self.hang
        return stream

    def hang(self):
        self.broken = "does not answer"


def test_a_hang_when_a_stream_is_closed_for_a_new_buffer_is_not_one_of_opening():
    driver, steps = HangingClose(), Steps()
    with running(driver, steps) as events:
        stream = driver.streams.get(timeout=DEADLINE_S)
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        with Beating(callback):
            steps.must_move.set()
            assert next_lost(events).reason == "does not answer"
        again = driver.streams.get(timeout=DEADLINE_S)
    assert stream.ways == again.ways == {"microphone", "speaker"}


@pytest.mark.parametrize("well", ["microphone", "speaker"])
@pytest.mark.parametrize(
    "cards",
    [
        [("USB Audio", 2, 2)],
        [("USB Mic: Audio (hw:1,0)", 1, 0), ("USB Box: Audio (hw:2,0)", 0, 2)],
    ],
)
def test_a_direction_that_hangs_leaves_the_other_one_to_work(well, cards):
    (hanging,) = {"microphone", "speaker"} - {well}
    driver = Hanging(hanging, cards=cards)
    with running(driver, Steps()) as events, ExitStack() as beating:
        while True:
            stream = driver.streams.get(timeout=DEADLINE_S)
            _, callback = driver.opened.get(timeout=DEADLINE_S)
            beating.enter_context(Beating(callback))
            if {hanging} in stream.wanted_before:
                break
        found = events.get(timeout=DEADLINE_S)
        while not isinstance(found, PartFound):
            assert found.reason == "does not answer"
            assert "hw:" not in found.name
            found = events.get(timeout=DEADLINE_S)
        assert found.part is Part(well)
        assert not stream.is_closed.is_set()
        driver.hangs.clear()
        assert stream.is_closed.wait(DEADLINE_S), "it is tried again"
        assert driver.streams.get(timeout=DEADLINE_S).ways


class HangingDuplex(Hanging):
    """Driver that hangs when it opens both directions as one stream."""

    def open(self, wanted, callback):
        if self.broken or wanted.directions == self.hangs:
            return super().open(wanted, callback)
        return FakeDriver.open(self, wanted, callback)


def both_running(driver):
    """Return the next two streams that are not duplex, and their callbacks."""
    return [
        (
            driver.streams.get(timeout=DEADLINE_S),
            driver.opened.get(timeout=DEADLINE_S)[1],
        )
        for _ in range(2)
    ]


def test_a_card_that_was_split_is_one_stream_again_after_a_while():
    driver = HangingDuplex("microphone", "speaker")
    with supervising(driver, Steps()) as (supervisor, _):
        (speaker, play), (microphone, capture) = both_running(driver)
        assert (speaker.ways, microphone.ways) == ({"speaker"}, {"microphone"})
        driver.hangs.clear()
        with Beating(play), Beating(capture):
            supervisor.duplex_retry_s = 0.1
            assert speaker.is_closed.wait(DEADLINE_S)
            duplex = driver.streams.get(timeout=DEADLINE_S)
        assert duplex.ways == {"speaker", "microphone"}
        assert supervisor.duplex_retry_s > 0.1
    assert driver.searches == 2, "the cards are not searched for it"


def test_a_card_stays_split_when_another_program_plays_a_sound(tmp_path):
    machine = kernel(tmp_path)
    machine.add(0, "vc4-hdmi", "vc4hdmi", "pcm0p")
    machine.run(99, ("/usr/bin/pulseaudio",))
    choice = SelectedDevices(SoundConfig(), machine.alsa)
    driver, steps = HangingDuplex("microphone", "speaker"), Steps()
    with running(driver, steps, choice=choice):
        (_, play), (_, capture) = both_running(driver)
        machine.use(0, "pcm0p", 99)
        with Beating(play), Beating(capture):
            steps.must_move.set()
            both_running(driver)
    assert driver.wanted.count({"microphone", "speaker"}) == 1


def test_a_card_that_is_split_is_not_interrupted_while_somebody_talks():
    driver, steps, far = HangingDuplex("microphone", "speaker"), Steps(), FarEnd()
    with supervising(driver, steps, mixer=far.mixer) as (supervisor, _):
        (speaker, play), (_, capture) = both_running(driver)
        driver.hangs.clear()
        with Beating(capture):
            with Beating(play, before=far.talk):
                assert is_seen(steps, is_idle=False)
                supervisor.duplex_retry_s = 0.1
                assert next_looks(steps, 6) == [False] * 6
                assert not speaker.is_closed.is_set()
            with Beating(play, before=far.listen):
                assert speaker.is_closed.wait(DEADLINE_S), "after the talk"
