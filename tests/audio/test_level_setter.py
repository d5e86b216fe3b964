"""Levels of virtual cards, read and set with the real libasound."""

import json
import logging
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest

from appliance.audio.alsa_mixer import loaded, opened
from appliance.audio.card_levels import LevelSetter, device_levels, levels_found
from appliance.audio.device_list import print_devices
from appliance.audio.devices import Device, Direction
from appliance.config import MixerConfig
from appliance.errors import SoundError
from appliance.process.logs import FAULT_LINES
from tests.card.alsa_mixer import Control, Mixer, mixers_here

DEADLINE_S = 10.0
DEVICE = Device(0, "USB PnP: Audio (hw:1,0)", 1, 2, 48_000, "Device")
BOTH: dict[Direction, Device] = {"microphone": DEVICE, "speaker": DEVICE}
OTHER: dict[Direction, Device] = {
    "speaker": Device(1, "Other: Audio (hw:2,0)", 0, 2, 48_000, "Other")
}
FRESH = (
    Control("PCM Playback Volume", 12, 0, 32, -32, 1),
    Control("PCM Playback Switch", 0),
    Control("Mic Capture Volume", 0, 0, 16, 0, 1.5),
    Control("Mic Capture Switch", 0),
    Control("Mic Playback Volume", 3, 0, 16, 0, 1.5),
    Control("Mic Playback Switch", 0),
    Control("Auto Gain Control", 0),
)
"""A USB card with a sidetone after the first start of the system."""


@pytest.fixture
def mixer(tmp_path):
    """Mixer of a virtual card, visible in this process."""
    made = Mixer(tmp_path, "Device")
    made.write(*FRESH)
    with mixers_here(tmp_path):
        yield made


def finish():
    """Wait until the levels have been set."""
    for thread in threading.enumerate():
        if thread.name == "card levels":
            thread.join(DEADLINE_S)


def test_percent_decibels_and_switches_are_those_of_the_card(mixer):
    assert levels_found(DEVICE, "speaker")[0] == (
        "Device: PCM 38 % (-20 dB) switched off"
    )
    words, advice = levels_found(DEVICE, "microphone")
    assert words == "Device: Mic 0 % (0 dB) switched off"
    assert "sset 'Mic' capture 80% cap" in advice
    mixer.write(Control("PCM Playback Volume", 3, 0, 4))
    assert levels_found(DEVICE, "speaker") == ("Device: PCM 75 %", "")


def test_the_list_of_cards_has_the_levels_of_each_direction(mixer, capsys):
    only_heard = replace(OTHER["speaker"], card_id="Device")
    assert device_levels(only_heard) == "speaker level PCM 38 % (-20 dB) switched off"
    assert device_levels(OTHER["speaker"]) == ""
    print_devices((DEVICE, OTHER["speaker"]), device_levels, as_json=False)
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(
        "; microphone level Mic 0 % (0 dB) switched off"
        "; speaker level PCM 38 % (-20 dB) switched off"
    )
    assert "level" not in second
    print_devices((DEVICE,), device_levels, as_json=True)
    assert "PCM 38 %" in json.loads(capsys.readouterr().out)[0]["levels"]


def test_the_configured_levels_are_set_and_switched_on_and_nothing_else(mixer, caplog):
    caplog.set_level(logging.INFO)
    setter = LevelSetter(MixerConfig(microphone=50, speaker=100))
    setter.set(BOTH)
    finish()
    assert mixer.values() == {
        "PCM Playback Volume": 32,
        "PCM Playback Switch": 1,
        "Mic Capture Volume": 8,
        "Mic Capture Switch": 1,
        "Mic Playback Volume": 3,
        "Mic Playback Switch": 0,
        "Auto Gain Control": 0,
    }
    lines = len(caplog.records)
    setter.set(BOTH)
    finish()
    assert len(caplog.records) == lines == 2, "only a change is logged"


def test_a_card_that_is_plugged_in_all_the_time_is_a_few_lines(mixer, caplog):
    caplog.set_level(logging.INFO)
    setter = LevelSetter(MixerConfig(speaker=100))
    for _ in range(FAULT_LINES + 2):
        mixer.write(*FRESH)
        setter.set(BOTH)
        finish()
        assert mixer.values()["PCM Playback Volume"] == 32
    assert len(caplog.records) == FAULT_LINES


def test_a_direction_that_is_not_configured_is_left_alone(mixer):
    LevelSetter(MixerConfig(speaker=75)).set(BOTH)
    finish()
    values = mixer.values()
    assert values["PCM Playback Volume"] == 24
    assert (values["Mic Capture Volume"], values["Mic Capture Switch"]) == (0, 0)


def test_a_card_without_a_mixer_is_one_line_in_the_log_and_none_on_stderr(
    mixer, caplog, capfd
):
    setter = LevelSetter(MixerConfig(speaker=75))
    for _ in range(3):
        setter.set(OTHER)
        finish()
    (line,) = [x for x in caplog.records if x.levelno >= logging.WARNING]
    assert "Other: its mixer: No such device" in line.getMessage()
    assert capfd.readouterr().err == ""


def test_a_card_without_a_level_is_one_line_in_the_log(mixer, caplog):
    mixer.write(Control("Bass Boost", 0))
    LevelSetter(MixerConfig(speaker=75)).set(BOTH)
    finish()
    (line,) = [x for x in caplog.records if x.levelno >= logging.WARNING]
    assert "no level for the speaker" in line.getMessage()


def test_an_unplugged_card_is_an_error_in_words(mixer):
    with (
        pytest.raises(SoundError, match="Nothing: its mixer: No such device"),
        opened("Nothing"),
    ):
        pass


@pytest.mark.parametrize("name", ["libnothing.so.1", "libc.so.6"])
def test_a_library_that_is_missing_or_another_one_is_an_error_in_words(name):
    with pytest.raises(
        SoundError, match=f"{name}: .* Install it: sudo apt install libportaudio2"
    ):
        loaded(name)


def test_a_driver_that_does_not_answer_blocks_nobody(mixer, caplog):
    called, release = threading.Event(), threading.Event()
    calls: list[str] = []

    @contextmanager
    def hangs(card_id):
        calls.append(card_id)
        called.set()
        release.wait(DEADLINE_S)
        with opened(card_id) as real:
            yield real

    setter = LevelSetter(MixerConfig(speaker=75), hangs)
    for _ in range(5):
        setter.set(BOTH)
    assert called.wait(DEADLINE_S)
    assert calls == ["Device"]
    release.set()
    finish()
    warnings = [x for x in caplog.records if x.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "does not answer" in warnings[0].getMessage()
    assert mixer.values()["PCM Playback Volume"] == 24


def test_a_card_that_comes_while_another_is_being_set_gets_its_level(mixer):
    called, release = threading.Event(), threading.Event()
    calls: list[str] = []

    @contextmanager
    def waits(card_id):
        calls.append(card_id)
        called.set()
        release.wait(DEADLINE_S)
        with opened("Device") as real:
            yield real

    setter = LevelSetter(MixerConfig(speaker=75), waits)
    setter.set(OTHER)
    assert called.wait(DEADLINE_S)
    setter.set(BOTH)
    release.set()
    finish()
    assert calls == ["Other", "Device"]
    setter.set(OTHER)
    finish()
    assert calls == ["Other", "Device", "Other"]


def test_an_error_of_the_kernel_does_not_end_the_setting_of_levels(mixer, caplog):
    faults = [OSError(19, "No such device")]

    @contextmanager
    def fails_once(card_id):
        if faults:
            raise faults.pop()
        with opened(card_id) as real:
            yield real

    setter = LevelSetter(MixerConfig(speaker=75), fails_once)
    setter.set(BOTH)
    finish()
    assert "No such device" in caplog.text
    setter.set(BOTH)
    finish()
    assert mixer.values()["PCM Playback Volume"] == 24
