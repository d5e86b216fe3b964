"""Tests of what is reported about streams that work, but not well."""

import logging
from typing import Any

import pytest

from appliance.audio.latency_steps import LatencySteps
from appliance.audio.stream_callbacks import (
    ADC_VALUES,
    INPUT_UNDERFLOW,
    STALL_S,
    StreamCounters,
)
from appliance.audio.stream_faults import (
    LOSING,
    MAX_ZEROS_S,
    NO_SAMPLES,
    SILENT,
    ZEROS_S,
    StreamFaults,
)
from appliance.core.events import Part, PartFound, PartLost
from appliance.core.fault_table import joined
from appliance.metrics.counters import AudioFault
from appliance.process.logs import FAULT_LINES
from appliance.sound_cards.devices import Direction
from tests.audio.fakes import Clock

NAMES: dict[Direction, Part] = {"microphone": Part.MICROPHONE, "speaker": Part.SPEAKER}


class Opened:
    """Statistics of an open duplex card whose callbacks have begun."""

    def __init__(self, notice="", status=0, card_volume_notice=lambda *_: ""):
        self.events: list[Any] = []
        self.clock = Clock()
        self.faults = StreamFaults(self._post, card_volume_notice)
        self.open("USB", notice)
        self.stream.note(status)
        self.see(is_gate_open=False)
        self.first, self.events = self.events, []

    def open(self, name, notice=""):
        """Open another stream, whose callbacks have not begun."""
        self.stream = StreamCounters(48_000, self.faults.totals, self.clock)
        self.counters = dict.fromkeys(NAMES, self.stream)
        self._found = {
            way: PartFound(part, name, notice) for way, part in NAMES.items()
        }

    def see(self, **facts):
        self.faults.look(self.counters, self._found, **facts)

    def count(self, direction, kind):
        return self.faults.totals[direction].faults[kind]

    def _post(self, event):
        self.events.append(event)

    def deliver(self, seconds, *, is_zero, is_gate_open=True, every_s=0.25):
        """Deliver zeros or sound for so long, and return the notices posted."""
        posted: dict[Part, str] = {}
        for _ in range(round(seconds / every_s)):
            self.clock.now_s += every_s
            self.stream.note(0)
            self.stream.note_sound(is_zero=is_zero)
            posted |= self.look(is_gate_open=is_gate_open)
        return posted

    def look(self, *, losing=(), is_gate_open=False):
        """Return the notices that are posted."""
        self.see(losing=losing, is_gate_open=is_gate_open)
        posted = [x for x in self.events if isinstance(x, PartFound)]
        self.events.clear()
        return {event.part: event.notice for event in posted}


def test_a_card_that_works_is_reported_once():
    opened = Opened()
    opened.stream.note_sound(is_zero=False)
    assert opened.look() == {}


def test_zeros_while_nobody_talks_are_no_trouble():
    """A microphone with a noise gate delivers them in each pause."""
    opened = Opened()
    opened.deliver(1, is_zero=False)
    assert opened.deliver(600, is_zero=True, is_gate_open=False) == {}
    assert opened.deliver(ZEROS_S - 1, is_zero=True) == {}
    assert opened.deliver(1, is_zero=False) == {}


def test_zeros_for_some_seconds_of_a_talk_are_a_trouble_until_there_is_sound():
    opened = Opened()
    opened.deliver(1, is_zero=False)
    assert opened.deliver(ZEROS_S + 1, is_zero=True) == {Part.MICROPHONE: SILENT}
    assert opened.deliver(60, is_zero=True, is_gate_open=False) == {}, "once"
    assert opened.deliver(1, is_zero=False) == {Part.MICROPHONE: ""}


def test_a_microphone_that_never_had_sound_is_reported_in_the_first_talk():
    opened = Opened()
    assert opened.deliver(600, is_zero=True, is_gate_open=False) == {}
    assert opened.deliver(ZEROS_S + 0.5, is_zero=True) == {Part.MICROPHONE: SILENT}


def test_a_silent_microphone_stays_silent_when_another_stream_is_opened():
    opened = Opened()
    assert opened.deliver(ZEROS_S + 1, is_zero=True) == {Part.MICROPHONE: SILENT}
    speaker = StreamCounters(48_000, opened.faults.totals, opened.clock)
    opened.counters["speaker"] = speaker
    assert opened.look() == {}


def test_a_microphone_muted_between_short_talks_is_reported():
    opened = Opened()
    reports: dict[Part, str] = {}
    opened.deliver(1, is_zero=False)
    for _ in range(2):
        reports |= opened.deliver(3, is_zero=True, is_gate_open=False)
        reports |= opened.deliver(3, is_zero=True)
    assert reports == {Part.MICROPHONE: SILENT}


def test_a_microphone_that_is_muted_often_is_reported_each_time():
    opened = Opened()
    for _ in range(10):
        opened.deliver(1, is_zero=False)
        reported = opened.deliver(MAX_ZEROS_S + 1, is_zero=True)
        assert reported == {Part.MICROPHONE: SILENT}


def test_the_event_says_that_the_microphone_is_silent():
    opened = Opened()
    opened.stream.note_sound(is_zero=True)
    for _ in range(2):
        opened.clock.now_s += ZEROS_S
        opened.stream.note(0)
        opened.see(is_gate_open=True)
    assert [event.is_silent for event in opened.events] == [True]


def test_a_silent_microphone_that_is_opened_again_is_reported_in_the_next_talk():
    opened = Opened()
    opened.deliver(ZEROS_S + 1, is_zero=True)
    opened.open("USB")
    assert opened.deliver(1, is_zero=True) == {Part.MICROPHONE: ""}
    assert opened.deliver(ZEROS_S + 1, is_zero=True) == {Part.MICROPHONE: SILENT}


def test_a_notice_about_the_levels_of_a_card_is_posted_and_withdrawn():
    notices: dict[tuple[str, str], str] = {}
    opened = Opened(card_volume_notice=lambda *about: notices.get(about, ""))
    notices["speaker", "USB"] = "too quiet"
    assert opened.look() == {Part.SPEAKER: "too quiet"}
    assert opened.look() == {}
    del notices["speaker", "USB"]
    assert opened.look() == {Part.SPEAKER: ""}


def test_a_noise_gate_in_an_endless_talk_causes_few_reports():
    opened, reports = Opened(), 0
    for _ in range(8640):
        reports += len(opened.deliver(9, is_zero=True, every_s=1))
        reports += len(opened.deliver(1, is_zero=False, every_s=1))
    assert 0 < reports <= 4


def test_a_microphone_without_samples_for_a_second_is_lost_until_it_delivers_some():
    opened = Opened()
    for _ in range(1 + round(STALL_S * 100)):
        opened.clock.now_s += 0.01
        opened.stream.note(INPUT_UNDERFLOW)
        opened.see(is_gate_open=False)
    assert opened.events == [PartLost(Part.MICROPHONE, "USB", NO_SAMPLES)]
    assert opened.stream.has_no_samples
    assert opened.count("microphone", AudioFault.STALL) == 1
    opened.stream.note(0)
    opened.see(is_gate_open=False)
    assert opened.events[1:] == [PartFound(Part.MICROPHONE, "USB")]


def test_a_microphone_without_samples_is_not_reported_as_working():
    opened = Opened(status=INPUT_UNDERFLOW)
    assert [event.part for event in opened.first] == [Part.SPEAKER]
    opened.stream.note(0)
    opened.see(is_gate_open=False)
    assert [event.part for event in opened.events] == [Part.MICROPHONE]


def test_a_card_that_loses_blocks_with_the_longest_buffer_is_a_trouble():
    opened = Opened(notice="not a USB card")
    opened.stream.note(4)
    trouble = joined(("not a USB card", LOSING))
    assert opened.look(losing=NAMES) == dict.fromkeys(NAMES.values(), trouble)
    assert opened.look() == dict.fromkeys(NAMES.values(), "not a USB card")


@pytest.mark.parametrize("direction", list(NAMES))
def test_old_losses_of_one_stream_do_not_hide_those_of_the_other(direction):
    faults, steps = StreamFaults(lambda _: None), LatencySteps(None)
    (other,) = NAMES.keys() - {direction}
    faults.totals[other].faults[AudioFault.XRUN] = 100
    steps.start(0.0)
    for second in range(4, 60):
        faults.count(direction, AudioFault.XRUN)
        losses = {way: faults.totals[way].losses for way in NAMES}
        if steps.update(losses, float(second), is_idle=False):
            break
    assert (steps.latency_step, steps.losing) == (1, {direction})
    assert faults.totals[direction].losses < 10


def test_a_stream_that_was_closed_has_no_trouble():
    opened = Opened()
    opened.stream.note(4)
    opened.counters = {}
    assert opened.look(losing=NAMES) == {}


def test_counts_are_kept_when_streams_are_closed_and_opened():
    opened = Opened()
    opened.stream.note(4, 5.0)
    opened.stream.note(0, 5.01)
    for count in range(2 * ADC_VALUES):
        opened.stream.note(0, 5.04 + 0.01 * count)
    opened.open("USB")
    opened.stream.note(4)
    assert opened.count("microphone", AudioFault.XRUN) == 2
    assert opened.count("microphone", AudioFault.DROP) == 2
    assert opened.count("speaker", AudioFault.DROP) == 0
    assert opened.faults.totals["microphone"].blocks == 4 + 2 * ADC_VALUES


def test_captured_samples_that_are_missing_are_no_fault_of_the_speaker():
    opened = Opened()
    opened.stream.note(INPUT_UNDERFLOW)
    opened.stream.note(0)
    assert opened.count("microphone", AudioFault.XRUN) == 1
    assert opened.count("speaker", AudioFault.XRUN) == 0
    totals = opened.faults.totals
    assert (totals["microphone"].losses, totals["speaker"].losses) == (1, 0)
    assert opened.look(losing=["microphone"]) == {Part.MICROPHONE: LOSING}


def test_only_a_card_that_is_not_listed_any_more_counts_as_unplugged():
    opened = Opened()
    for reason in ("it stopped", "it is busy"):
        opened.faults.lost("speaker", "USB", reason)
    opened.faults.note_listed({"USB", "HDMI"})
    assert opened.count("speaker", AudioFault.UNPLUG) == 0
    for _ in range(3):
        opened.faults.note_listed({"HDMI"})
    assert opened.count("speaker", AudioFault.UNPLUG) == 1
    assert opened.count("microphone", AudioFault.UNPLUG) == 1


def test_a_card_that_was_never_there_does_not_count_as_unplugged():
    faults = StreamFaults(lambda _: None)
    faults.lost("speaker", "USB", "it is not plugged in")
    faults.note_listed(set())
    assert faults.totals["speaker"].faults[AudioFault.UNPLUG] == 0


def test_a_loss_is_posted_again_only_if_its_reason_changes():
    opened = Opened()
    for reason in ("it stopped", "it stopped", "it is busy"):
        opened.faults.lost("speaker", "USB", reason)
    assert opened.events == [
        PartLost(Part.SPEAKER, "USB", "it stopped"),
        PartLost(Part.SPEAKER, "USB", "it is busy"),
    ]


def test_a_loose_contact_is_a_few_lines_in_the_log(caplog):
    caplog.set_level(logging.INFO)
    opened = Opened()
    for _ in range(1000):
        for direction in NAMES:
            opened.faults.lost(direction, "USB", "it stopped")
        opened.open("USB")
        opened.stream.note(0)
        opened.see(is_gate_open=False)
    assert len(opened.events) == 4000, "each is shown"
    assert 4 <= len(caplog.records) <= 2 * FAULT_LINES


def test_the_events_of_the_day_are_logged(caplog):
    caplog.set_level(logging.INFO)
    Opened().faults.lost("speaker", "USB", "it stopped")
    assert [record.levelname for record in caplog.records] == [
        "INFO",
        "INFO",
        "WARNING",
    ]
