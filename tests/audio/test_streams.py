"""Tests of the rates at which a card is opened, as one stream or as two."""

import time
from dataclasses import replace

import pytest

from appliance.audio.mixer import Mixer
from appliance.audio.streams import Streams
from appliance.errors import SoundError
from appliance.sound_cards.devices import Device
from tests.audio.fake_driver import FakeDriver
from tests.audio.fakes import Sink

CARD = Device(0, "USB Audio", 2, 2, 48_000)
BOTH, MICROPHONE, SPEAKER = {"microphone", "speaker"}, {"microphone"}, {"speaker"}


def opened(microphone_hz, speaker_hz, *, has_one_clock=False):
    """Return the streams and their rates on a card with these rates."""
    driver = FakeDriver()
    driver.rates_hz = {"microphone": microphone_hz, "speaker": speaker_hz}
    driver.has_one_clock = has_one_clock
    streams = Streams(driver, Mixer(), Sink())
    assert streams.open(CARD, CARD, 0.02) == {}
    assert set(streams.counters) == BOTH
    return driver.running_hz


def test_a_microphone_of_16_khz_does_not_make_the_speaker_play_at_16_khz():
    rates_hz = opened({16_000}, {16_000, 48_000})
    assert rates_hz == [(SPEAKER, 48_000), (MICROPHONE, 16_000)]


def test_a_speaker_of_16_khz_does_not_make_the_microphone_capture_at_16_khz():
    rates_hz = opened({16_000, 44_100}, {16_000})
    assert rates_hz == [(SPEAKER, 16_000), (MICROPHONE, 44_100)]


@pytest.mark.parametrize(
    ("microphone_hz", "speaker_hz", "common_hz"),
    [
        ({44_100}, {44_100, 48_000}, 44_100),
        ({16_000}, {16_000}, 16_000),
        ({16_000, 48_000}, {16_000, 48_000}, 48_000),
    ],
)
def test_a_common_rate_that_costs_no_quality_is_used_for_one_duplex_stream(
    microphone_hz, speaker_hz, common_hz
):
    assert opened(microphone_hz, speaker_hz) == [(BOTH, common_hz)]


def test_a_card_that_cannot_run_at_two_rates_is_opened_at_the_common_one():
    rates_hz = opened({16_000}, {16_000, 48_000}, has_one_clock=True)
    assert rates_hz == [(BOTH, 16_000)]


def test_a_card_without_a_common_rate_is_opened_as_two():
    rates_hz = opened({16_000}, {48_000})
    assert rates_hz == [(SPEAKER, 48_000), (MICROPHONE, 16_000)]


@pytest.mark.parametrize("is_split", [False, True])
def test_a_card_with_only_an_unusable_rate_is_not_said_to_be_in_use(is_split):
    driver = FakeDriver()
    driver.rates_hz = {"microphone": {22_050}, "speaker": {22_050}}
    card = replace(CARD, rate_hz=22_050)
    failures = Streams(driver, Mixer(), Sink()).open(
        card, card, 0.02, is_split=is_split
    )
    assert set(failures) == BOTH
    for failure in failures.values():
        assert failure.reason.startswith("it runs at 22050 Hz, but at none of 48000, ")
        assert failure.reason.endswith("Use another sound card.")


def test_a_card_that_is_refused_at_every_rate_may_be_in_use():
    driver = FakeDriver()
    driver.rates_hz = {"microphone": set(), "speaker": set()}
    failures = Streams(driver, Mixer(), Sink()).open(CARD, CARD, 0.02)
    assert set(failures) == BOTH
    for failure in failures.values():
        assert failure.reason.endswith("Is another program using it?")


class Refusing(FakeDriver):
    """Driver that opens streams of these directions and refuses to start them."""

    def __init__(self, *refused):
        super().__init__()
        self.refused = refused
        self.error = SoundError(CARD.name, "refused")

    def open(self, wanted, callback):
        stream = super().open(wanted, callback)
        if wanted.directions in self.refused:
            stream.start = self.refuse
        return stream

    def refuse(self):
        raise self.error


@pytest.mark.parametrize(
    ("refused", "failed"),
    [([BOTH], set()), ([BOTH, MICROPHONE], MICROPHONE), ([BOTH, SPEAKER], SPEAKER)],
)
def test_a_stream_that_is_not_started_does_not_keep_the_card_open(refused, failed):
    driver = Refusing(*refused)
    streams = Streams(driver, Mixer(), Sink())
    assert set(streams.open(CARD, CARD, 0.02)) == failed
    works = [way for way in (SPEAKER, MICROPHONE) if way != failed]
    assert [ways for ways, _ in driver.running_hz] == works
    streams.close()
    assert driver.running_hz == []


class Starting(FakeDriver):
    """Driver that records when its streams are started."""

    def __init__(self):
        super().__init__()
        self.started_s: list[float] = []

    def open(self, wanted, callback):
        stream = super().open(wanted, callback)
        stream.start = lambda: self.started_s.append(time.monotonic())
        return stream


@pytest.mark.parametrize("is_split", [False, True])
def test_the_time_that_opening_takes_does_not_count_as_time_without_callbacks(is_split):
    driver = Starting()
    streams = Streams(driver, Mixer(), Sink())
    assert streams.open(CARD, CARD, 0.02, is_split=is_split) == {}
    assert streams.counters["speaker"].at_s >= driver.started_s[0]
    assert streams.counters["microphone"].at_s >= driver.started_s[-1]


class Ending(FakeDriver):
    """Driver whose library crashes when it is asked for a rate."""

    def can(self, wanted):
        raise SoundError(wanted.device_name, "the sound library crashed")


@pytest.mark.parametrize("is_split", [False, True])
def test_a_library_that_ends_while_rates_are_asked_is_the_reason_of_both_losses(
    is_split,
):
    streams = Streams(Ending(), Mixer(), Sink())
    failures = streams.open(CARD, CARD, 0.02, is_split=is_split)
    assert {way: x.reason for way, x in failures.items()} == {
        "speaker": "the sound library crashed",
        "microphone": "the sound library crashed",
    }
