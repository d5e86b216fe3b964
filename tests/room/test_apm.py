"""Which of LiveKit's audio processing is switched on."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from livekit import rtc

from appliance.config import SoundConfig
from appliance.room.apm import (
    ApmEchoCanceller,
    ApmNoiseSuppressor,
    echo_canceller,
    voice_cleaner,
)
from tests.room.fakes import BLOCK, amplitude, tone

OFF = SoundConfig(
    echo_cancellation=False,
    noise_suppression=False,
    high_pass_filter=False,
    automatic_gain=False,
)
SILENCE = np.zeros(BLOCK, np.int16)
noise = np.random.default_rng(1)


def only(switch: str) -> SoundConfig:
    on: dict[str, Any] = {switch: True}
    return dataclasses.replace(OFF, **on)


def cancelled(microphone, played, delay_ms=20):
    module = ApmEchoCanceller()

    def cancel(block, at):
        module.cancel(block, played[at : at + BLOCK], delay_ms)

    return in_blocks(cancel, microphone)


def cleaned(microphone, switch):
    module = ApmNoiseSuppressor(only(switch))
    return in_blocks(lambda block, _: module.clean(block), microphone)


def in_blocks(change, samples):
    blocks = []
    for start in range(0, len(samples), BLOCK):
        block = samples[start : start + BLOCK].copy()
        change(block, start)
        blocks.append(block)
    return np.concatenate(blocks)


def test_with_everything_off_there_is_no_processing():
    assert voice_cleaner(OFF) is None
    assert echo_canceller(OFF) is None


def test_a_box_without_microphone_or_speaker_has_no_useless_processing():
    listener, announcer = SoundConfig(microphone="none"), SoundConfig(speaker="none")
    assert voice_cleaner(listener) is None
    assert echo_canceller(listener) is None
    assert echo_canceller(announcer) is None
    assert voice_cleaner(announcer) is not None


@pytest.mark.parametrize(
    "switch", ["noise_suppression", "high_pass_filter", "automatic_gain"]
)
def test_each_switch_enables_the_noise_suppressor(switch):
    config = only(switch)
    assert isinstance(voice_cleaner(config), ApmNoiseSuppressor)
    assert echo_canceller(config) is None


def test_echo_cancellation_is_separate():
    config = only("echo_cancellation")
    assert isinstance(echo_canceller(config), ApmEchoCanceller)
    assert voice_cleaner(config) is None


def test_an_echo_is_cancelled():
    played = (noise.standard_normal(48_000 * 4) * 3000).astype(np.int16)
    echo = np.roll(played, 960) // 2
    rest = cancelled(echo, played)
    assert amplitude(rest[-48_000:]) < amplitude(echo[-48_000:]) / 10


def test_speech_without_an_echo_survives():
    speech = tone(300, 48_000 * 2)
    rest = cancelled(speech, np.zeros_like(speech))
    assert amplitude(rest[-48_000:]) > amplitude(speech) / 2


def test_noise_is_suppressed():
    hiss = (noise.standard_normal(48_000 * 3) * 500).astype(np.int16)
    rest = cleaned(hiss, "noise_suppression")
    assert amplitude(rest[-48_000:]) < amplitude(hiss) / 2


def test_rumble_is_filtered():
    rumble = tone(20, 48_000 * 2)
    rest = cleaned(rumble, "high_pass_filter")
    assert amplitude(rest[-48_000:]) < amplitude(rumble) / 4


def test_the_played_block_is_not_changed():
    played = tone(500, BLOCK)
    before = played.copy()
    ApmEchoCanceller().cancel(SILENCE.copy(), played, 20)
    assert (played == before).all()


@pytest.mark.parametrize("delay_ms", [-50, 0, 499, 10_000])
def test_any_delay_is_accepted(delay_ms):
    ApmEchoCanceller().cancel(SILENCE.copy(), SILENCE, delay_ms)


def test_small_changes_of_the_delay_are_not_passed_on():
    passed_on: list[int] = []

    class Recorder(rtc.AudioProcessingModule):
        def set_stream_delay_ms(self, delay_ms: int) -> None:
            passed_on.append(delay_ms)

    canceller = ApmEchoCanceller(Recorder(echo_cancellation=True))
    passed_on.clear()
    for delay_ms in (40, 41, 44, 45, 46, 50, 51, 52):
        canceller.cancel(SILENCE.copy(), SILENCE, delay_ms)
    assert passed_on == [40, 46, 52]
