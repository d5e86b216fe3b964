"""Tests of the supervisor with a fake of PortAudio."""

import queue
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from appliance.audio.gate import Gate
from appliance.audio.latency_steps import LATENCY_STEPS_S
from appliance.audio.mixer import Mixer
from appliance.audio.portaudio import ANY_CARD
from appliance.audio.stream_callbacks import INPUT_UNDERFLOW, STALL_S
from appliance.audio.supervisor import Supervisor
from appliance.config import SoundConfig
from appliance.core.events import Part, PartFound, PartLost
from appliance.errors import SoundError
from appliance.sound_cards.devices import Device
from tests.audio.fake_driver import (
    DEADLINE_S,
    Beating,
    FakeDriver,
    FarEnd,
    Steps,
    beat,
    running,
    supervising,
)

LOOKS = 40
"""Looks of the supervisor in ten seconds."""
TWO_CARDS = (("USB Speaker", 0, 2), ("USB Microphone", 1, 0))


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
    assert parts == {Part.MICROPHONE, Part.SPEAKER}
    assert events.empty(), "nothing was reported as lost"
    assert driver.searches == 1
    assert steps.changes == [False, True]


def is_seen(steps, *, is_idle):
    """Return whether one of the next looks of the supervisor finds this."""
    looks = (steps.looks.get(timeout=DEADLINE_S) for _ in range(LOOKS))
    return is_idle in looks


def next_looks(steps, count):
    """Return whether the supervisor finds this at each of its next looks."""
    return [steps.looks.get(timeout=DEADLINE_S) for _ in range(count)]


def test_while_the_gate_is_open_a_buffer_may_become_shorter_in_a_long_pause(
    monkeypatch,
):
    monkeypatch.setattr(f"{Supervisor.__module__}.PAUSE_S", 1.0)
    driver, steps, gate = FakeDriver(), Steps(), Gate(0)
    gate.open()
    with running(driver, steps, gate=gate):
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        with Beating(callback, level=5000):
            assert is_seen(steps, is_idle=False), "somebody speaks"
        with Beating(callback):
            assert is_seen(steps, is_idle=True)


def test_a_short_pause_in_a_talk_is_not_used_for_a_shorter_buffer():
    driver, steps, gate = FakeDriver(), Steps(), Gate(0)
    gate.open()
    with running(driver, steps, gate=gate):
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        with Beating(callback):
            assert next_looks(steps, 6) == [False] * 6
            gate.close(0)
            assert is_seen(steps, is_idle=True)


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


def next_found(events):
    while not isinstance(event := events.get(timeout=DEADLINE_S), PartFound):
        pass
    return event


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


def test_a_microphone_without_samples_is_opened_again_if_the_far_end_never_pauses(
    monkeypatch,
):
    monkeypatch.setattr(f"{Supervisor.__module__}.LONGEST_S", 0.0)
    monkeypatch.setattr(f"{Supervisor.__module__}.LONGEST_WAIT_S", 2.0)
    driver, far = FakeDriver(), FarEnd()
    with running(driver, Steps(), mixer=far.mixer):
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        stream = driver.streams.get(timeout=DEADLINE_S)
        with Beating(callback, INPUT_UNDERFLOW, before=far.talk):
            assert not stream.is_closed.wait(1.5), "there may be a pause"
            assert stream.is_closed.wait(DEADLINE_S)


class Failing(FakeDriver):
    """Driver whose searches fail, except for the first one."""

    def devices(self):
        if self.searches:
            self.searches += 1
            raise SoundError(ANY_CARD, "does not answer")
        return super().devices()


def test_a_speaker_whose_microphone_is_dead_plays_on_while_searches_fail(monkeypatch):
    monkeypatch.setattr(f"{Supervisor.__module__}.LONGEST_S", 0.0)
    driver = Failing()
    with running(driver, Steps()) as events:
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        stream = driver.streams.get(timeout=DEADLINE_S)
        with Beating(callback, INPUT_UNDERFLOW):
            assert next_lost(events).part is Part.MICROPHONE
            while driver.searches < 3:
                assert not stream.is_closed.wait(0.01)


class Halting(queue.SimpleQueue[str]):
    """Inbox of a thread that stands still once, together with the whole process."""

    must_halt, is_over = threading.Event(), threading.Event()

    def get(self, block=True, timeout=None):
        if self.must_halt.is_set():
            self.must_halt.clear()
            time.sleep(STALL_S + 0.5)
            self.is_over.set()
            raise queue.Empty
        return super().get(block, timeout)


def test_a_stop_of_the_whole_process_is_no_stop_of_the_card(monkeypatch):
    monkeypatch.setattr(f"{Supervisor.__module__}.SimpleQueue", Halting)
    driver, steps = FakeDriver(), Steps()
    with running(driver, steps) as events:
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        with Beating(callback):
            next_found(events), next_found(events)
            Halting.must_halt.set()
        assert Halting.is_over.wait(DEADLINE_S)
        with Beating(callback):
            next_looks(steps, 4)
    assert events.empty()


def test_a_failure_of_the_sound_library_ends_its_stream_and_is_named():
    driver = FakeDriver()
    with running(driver, Steps()) as events:
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        stream = driver.streams.get(timeout=DEADLINE_S)
        with Beating(callback):
            assert isinstance(events.get(timeout=DEADLINE_S), PartFound)
            stream.reason = "the sound library crashed (SIGSEGV)"
            lost = next_lost(events)
            assert stream.is_closed.wait(DEADLINE_S)
        assert lost.reason == "the sound library crashed (SIGSEGV)"
        driver.opened.get(timeout=DEADLINE_S)
        assert not driver.is_closed.is_set()
    assert driver.is_closed.is_set()


def both_running(driver):
    """Return the next two streams, and their callbacks, which are called from then."""
    speaker = driver.streams.get(timeout=DEADLINE_S)
    _, play = driver.opened.get(timeout=DEADLINE_S)
    beat(play)
    microphone = driver.streams.get(timeout=DEADLINE_S)
    _, capture = driver.opened.get(timeout=DEADLINE_S)
    beat(capture)
    return (speaker, play), (microphone, capture)


def test_a_microphone_that_stops_and_is_searched_does_not_interrupt_the_speaker():
    driver = FakeDriver(TWO_CARDS)
    with running(driver, Steps()) as events:
        (speaker, play), (microphone, capture) = both_running(driver)
        assert (speaker.ways, microphone.ways) == ({"speaker"}, {"microphone"})
        with Beating(play):
            lost = next_lost(events)
            assert microphone.is_closed.wait(DEADLINE_S)
            again = driver.streams.get(timeout=DEADLINE_S)
            _, capture = driver.opened.get(timeout=DEADLINE_S)
            with Beating(capture):
                found = next_found(events)
            assert not speaker.is_closed.is_set()
    assert again.ways == {"microphone"}
    assert (lost.part, lost.name) == (Part.MICROPHONE, "USB Microphone")
    assert found.part is Part.MICROPHONE


def test_a_better_card_is_opened_in_a_pause():
    driver, gate = FakeDriver((("HDMI", 0, 2), *TWO_CARDS[1:])), Gate(0)
    gate.open()
    config = SoundConfig(speaker=("USB Speaker", "HDMI"))
    with running(driver, Steps(), config=config, gate=gate):
        (speaker, play), (_, capture) = both_running(driver)
        with Beating(play), Beating(capture):
            driver.cards = (*driver.cards, *TWO_CARDS[:1])
            before = driver.searches
            while driver.searches < before + 2:
                assert not speaker.is_closed.wait(0.01), "somebody may talk"
            gate.close(0)
            assert speaker.is_closed.wait(DEADLINE_S)
        assert driver.streams.get(timeout=DEADLINE_S).names == {"USB Speaker"}


class Refusing(FakeDriver):
    """Driver of a card that is listed and cannot be opened."""

    def __init__(self):
        super().__init__((("Second", 2, 2),))
        self.refused = 0

    def open(self, wanted, callback, instead_of=None):
        if wanted.device_name == "First":
            self.refused += 1
            raise SoundError(wanted.device_name, "no space left on device")
        return super().open(wanted, callback, instead_of)


def test_a_better_card_that_cannot_be_opened_interrupts_the_other_one_more_rarely(
    monkeypatch,
):
    later_s = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + later_s[0])
    monkeypatch.setattr(f"{Supervisor.__module__}.time", clock)
    monkeypatch.setattr(f"{Supervisor.__module__}.LONGEST_S", 1.0)
    driver, both = Refusing(), ("First", "Second")
    config = SoundConfig(microphone=both, speaker=both)
    with running(driver, Steps(), config=config) as events:
        _, callback = driver.opened.get(timeout=DEADLINE_S)
        with Beating(callback):
            next_found(events)
            driver.cards = (*driver.cards, ("First", 2, 2))
            _, callback = driver.opened.get(timeout=DEADLINE_S)
        assert next_lost(events).name == "First"
        with Beating(callback):
            assert {next_found(events).name for _ in range(2)} == {"Second"}
            later_s[0] = 86_400.0
            _, callback = driver.opened.get(timeout=DEADLINE_S)
        with Beating(callback):
            refused, searches = driver.refused, driver.searches
            while driver.searches < searches + 2:
                time.sleep(0.01)
            assert (driver.refused, driver.opened.empty()) == (refused, True)


def test_a_card_that_comes_for_the_missing_direction_is_opened_for_both():
    driver, far = FakeDriver((("HDMI", 0, 2),)), FarEnd()
    config = SoundConfig(speaker=("USB Audio", "HDMI"))
    with running(driver, Steps(), config=config, mixer=far.mixer):
        assert driver.streams.get(timeout=DEADLINE_S).ways == {"speaker"}
        _, play = driver.opened.get(timeout=DEADLINE_S)
        with Beating(play, before=far.talk):
            driver.cards = (*driver.cards, ("USB Audio", 2, 2))
            duplex = driver.streams.get(timeout=DEADLINE_S)
        assert duplex.ways == {"microphone", "speaker"}


def test_what_is_still_missing_is_posted_again_when_the_sound_is_opened_again():
    driver = FakeDriver(())
    with supervising(driver, Steps()) as (supervisor, events):
        missing = [events.get(timeout=DEADLINE_S) for _ in range(2)]
        supervisor.close()
        supervisor.open()
        assert [events.get(timeout=DEADLINE_S) for _ in range(2)] == missing
    assert {event.part for event in missing} == {Part.MICROPHONE, Part.SPEAKER}


def test_a_card_whose_duplex_stream_never_runs_is_opened_as_two():
    driver = FakeDriver()
    with running(driver, Steps()) as events:
        assert driver.streams.get(timeout=DEADLINE_S).ways == {"speaker", "microphone"}
        driver.opened.get(timeout=DEADLINE_S)
        both_running(driver)
        found = [next_found(events) for _ in range(2)]
    assert {event.part for event in found} == {Part.MICROPHONE, Part.SPEAKER}


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
        with Beating(play):
            while (opened := passed()) == both:
                pass
            assert opened == {"speaker": "USB Speaker"}
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
