"""Tests of the rates at which a card is opened, as one stream or as two."""

import pytest

from appliance.audio.devices import Device
from appliance.audio.mixer import Mixer
from appliance.audio.streams import Streams
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
    assert set(streams.clocks) == BOTH
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
