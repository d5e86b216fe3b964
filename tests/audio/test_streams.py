"""Tests of the opening of cards, as one stream or as two."""

import threading
import time
from typing import Any

import pytest

from appliance.audio.streams import STOPPED, Streams
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.sound_cards.devices import Device, Direction
from tests.audio.fake_driver import FakeDriver, beat
from tests.audio.fakes import Sink, counters

CARD = Device("USB Audio", 2, 2, 48_000)
OTHER = Device("Desk Mic", 1, 0, 48_000)
WANTED: dict[Direction, Device] = {"speaker": CARD, "microphone": CARD}
BOTH, MICROPHONE, SPEAKER = {"microphone", "speaker"}, {"microphone"}, {"speaker"}


class Beating(FakeDriver):
    """Driver that refuses some streams, and calls others back once, unless silent."""

    def __init__(self, refused=(), silent=()):
        super().__init__()
        self.refused = refused
        self.silent = silent
        self.running = []

    def open(self, wanted, callback, instead_of=None):
        if wanted.directions in self.refused:
            raise SoundError(wanted.device_name, "refused")
        stream = super().open(wanted, callback, instead_of)
        self.running.append(stream)
        _, made = self.opened.get()
        if wanted.directions not in self.silent:
            beat(made)
        return stream

    @property
    def open_ways(self):
        return [x.ways for x in self.running if not x.is_closed.is_set()]


def streams_of(driver):
    """Return streams of which none is open."""
    _, totals = counters()
    sender: Any = Sink()
    return Streams(driver, sender, totals)


def test_both_directions_of_one_card_are_one_stream():
    driver = Beating()
    streams = streams_of(driver)
    assert streams.open(WANTED, 0.02) == {}
    assert driver.open_ways == [BOTH]
    assert streams.devices == WANTED
    assert streams.counters["speaker"] is streams.counters["microphone"]


@pytest.mark.parametrize("how", ["refused", "silent"])
@pytest.mark.parametrize(
    ("bad", "failed"),
    [([BOTH], set()), ([BOTH, MICROPHONE], MICROPHONE), ([BOTH, SPEAKER], SPEAKER)],
)
def test_a_card_whose_duplex_stream_does_not_run_is_opened_as_two(how, bad, failed):
    driver = Beating(**{how: bad})
    streams = streams_of(driver)
    reason = {"refused": "refused", "silent": STOPPED}[how]
    for expected in {"refused": [failed], "silent": [BOTH, failed]}[how]:
        failures = {way: x.reason for way, x in streams.open(WANTED, 0.02).items()}
        assert failures == dict.fromkeys(expected, reason)
    works = [way for way in (SPEAKER, MICROPHONE) if way != failed]
    assert driver.open_ways == works
    streams.close(list(streams.devices))
    assert driver.open_ways == []


class OneClock(Beating):
    """Driver whose card has a better rate for one direction, but not for each."""

    def open(self, wanted, callback, instead_of=None):
        is_low = wanted.directions == BOTH and wanted.is_any_rate
        if wanted.directions != SPEAKER and not is_low:
            reason = fault_table.CARD_RATES.text(rates="48000")
            raise SoundError(wanted.device_name, reason)
        return super().open(wanted, callback, instead_of)


def test_a_card_that_cannot_run_at_two_rates_is_opened_at_the_common_one():
    driver = OneClock()
    streams = streams_of(driver)
    assert streams.open(WANTED, 0.02) == {}
    assert driver.open_ways == [BOTH]
    assert streams.change(0.04) == {}
    assert driver.open_ways == [BOTH]


def test_two_streams_get_another_buffer_each():
    driver = Beating()
    streams = streams_of(driver)
    streams.open({"speaker": CARD}, 0.02)
    streams.open({"microphone": OTHER}, 0.02)
    assert streams.change(0.04) == {}
    assert driver.open_ways == [SPEAKER, MICROPHONE]
    assert streams.devices == {"speaker": CARD, "microphone": OTHER}


def test_a_direction_that_comes_later_does_not_interrupt_the_other():
    driver = Beating()
    streams = streams_of(driver)
    assert streams.open({"speaker": CARD}, 0.02) == {}
    assert streams.open({"microphone": OTHER}, 0.02) == {}
    assert driver.open_ways == [SPEAKER, MICROPHONE]
    assert streams.devices == {"speaker": CARD, "microphone": OTHER}
    assert streams.close(["microphone"]) == MICROPHONE
    assert driver.open_ways == [SPEAKER]


def test_a_duplex_stream_is_closed_in_both_directions():
    streams = streams_of(Beating())
    streams.open(WANTED, 0.02)
    assert streams.close(["microphone"]) == BOTH
    assert streams.devices == streams.counters == {}


def test_a_stream_that_has_ended_or_does_not_call_back_has_stopped():
    driver = Beating()
    streams = streams_of(driver)
    streams.open({"speaker": CARD}, 0.02)
    streams.open({"microphone": OTHER}, 0.02)
    assert streams.stopped() == {}
    driver.running[1].reason = "the sound library crashed"
    assert streams.stopped() == {"microphone": "the sound library crashed"}
    streams.counters["speaker"].at_s -= 2.0
    assert streams.stopped()["speaker"] == STOPPED


class Ending(FakeDriver):
    """Driver whose stream ends before it calls back."""

    def open(self, wanted, callback, instead_of=None):
        stream = super().open(wanted, callback, instead_of)
        threading.Timer(0.05, setattr, (stream, "reason", "crashed")).start()
        return stream


def test_a_stream_that_ends_before_it_calls_back_is_named_at_once():
    begun_s = time.monotonic()
    (failure,) = streams_of(Ending()).open({"speaker": CARD}, 0.02).values()
    assert failure.reason == "crashed"
    assert time.monotonic() - begun_s < 0.9
