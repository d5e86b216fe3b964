import dataclasses

import numpy as np
import pytest

from appliance.config import SoundConfig
from appliance.room.processing import Processing, processing
from tests.room.fakes import BLOCK, amplitude, tone

OFF = SoundConfig(
    echo_cancellation=False,
    noise_suppression=False,
    high_pass_filter=False,
    automatic_gain=False,
)
SILENCE = np.zeros(BLOCK, np.int16)
noise = np.random.default_rng(1)


def only(**switches):
    return processing(dataclasses.replace(OFF, **switches))


def processed(module, microphone, played, delay_ms=20):
    blocks = []
    for start in range(0, len(microphone), BLOCK):
        block = microphone[start : start + BLOCK].copy()
        module.process(block, played[start : start + BLOCK], delay_ms)
        blocks.append(block)
    return np.concatenate(blocks)


def test_with_everything_off_there_is_none():
    assert processing(OFF) is None


@pytest.mark.parametrize(
    "switch",
    ["echo_cancellation", "noise_suppression", "high_pass_filter", "automatic_gain"],
)
def test_each_switch_alone_is_enough(switch):
    assert isinstance(only(**{switch: True}), Processing)


def test_an_echo_is_cancelled():
    played = (noise.standard_normal(48_000 * 4) * 3000).astype(np.int16)
    echo = np.roll(played, 960) // 2
    cleaned = processed(only(echo_cancellation=True), echo, played)
    assert amplitude(cleaned[-48_000:]) < amplitude(echo[-48_000:]) / 10


def test_speech_without_an_echo_survives():
    speech = tone(300, 48_000 * 2)
    cleaned = processed(only(echo_cancellation=True), speech, np.zeros_like(speech))
    assert amplitude(cleaned[-48_000:]) > amplitude(speech) / 2


def test_noise_is_suppressed():
    hiss = (noise.standard_normal(48_000 * 3) * 500).astype(np.int16)
    cleaned = processed(only(noise_suppression=True), hiss, np.zeros_like(hiss))
    assert amplitude(cleaned[-48_000:]) < amplitude(hiss) / 2


def test_rumble_is_filtered():
    rumble = tone(20, 48_000 * 2)
    cleaned = processed(only(high_pass_filter=True), rumble, np.zeros_like(rumble))
    assert amplitude(cleaned[-48_000:]) < amplitude(rumble) / 4


def test_what_was_played_is_not_changed():
    played = tone(500, BLOCK)
    before = played.copy()
    only(echo_cancellation=True).process(SILENCE.copy(), played, 20)
    assert (played == before).all()


@pytest.mark.parametrize("delay_ms", [-50, 0, 499, 10_000])
def test_any_delay_is_taken(delay_ms):
    only(echo_cancellation=True).process(SILENCE.copy(), SILENCE, delay_ms)


def test_small_changes_of_the_delay_are_not_passed_on():
    module = only(echo_cancellation=True)
    passed_on: list[int] = []

    class Recorder:
        native = module._module
        set_stream_delay_ms = staticmethod(passed_on.append)

    module._module = Recorder()
    for delay_ms in (20, 21, 24, 25, 26, 30, 31, 32):
        module.process(SILENCE.copy(), SILENCE, delay_ms)
    assert passed_on == [20, 26, 32]
