"""Levels of virtual cards, read and set with the real libasound."""

import json
import logging
import queue
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from appliance.config import MixerConfig
from appliance.core import fault_table
from appliance.doctor.sound_cards import print_devices
from appliance.errors import SoundError
from appliance.process.logs import FAULT_LINES
from appliance.sound_cards import alsa_mixer
from appliance.sound_cards.alsa_mixer import loaded, opened
from appliance.sound_cards.card_volume import (
    AGAIN_S,
    LATER_S,
    CardVolumeSupervisor,
    card_volume_found,
    device_volumes,
)
from appliance.sound_cards.devices import Device, Direction
from tests.card.alsa_mixer import Control, Mixer, mixers_here

DEADLINE_S = 10.0
MADE: list[CardVolumeSupervisor] = []
"""The supervisors of the test that runs."""
DEVICE = Device(0, "USB PnP: Audio (hw:1,0)", 1, 2, 48_000, "Device")
NAME = DEVICE.stable_name
BOTH: dict[Direction, Device] = {"microphone": DEVICE, "speaker": DEVICE}
ALONE: dict[Direction, Device] = {"speaker": DEVICE}
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


@pytest.fixture
def supervise(mixer, monkeypatch):
    """Makes supervisors of the card's levels, and ends their threads."""
    module = CardVolumeSupervisor.__module__

    def make(*arguments, again_s=AGAIN_S, later_s=LATER_S, looks=1):
        monkeypatch.setattr(f"{module}.AGAIN_S", again_s)
        monkeypatch.setattr(f"{module}.LATER_S", later_s)
        monkeypatch.setattr(f"{module}.LOOKS", looks)
        MADE.append(CardVolumeSupervisor(*arguments))
        return MADE[-1]

    yield make
    for levels in MADE:
        levels.apply({})
    MADE.clear()
    for thread in threading.enumerate():
        if thread.name == "card levels":
            thread.join(DEADLINE_S)
            assert not thread.is_alive()


def finish():
    """Wait until the levels have been set, and none has a fault."""
    end_s = time.monotonic() + DEADLINE_S
    while not all(levels.is_settled for levels in MADE):
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_percent_decibels_and_switches_are_those_of_the_card(mixer):
    assert card_volume_found(DEVICE, "speaker")[0] == (
        "Device: PCM 38 % (-20 dB) switched off"
    )
    words, advice = card_volume_found(DEVICE, "microphone")
    assert words == "Device: Mic 0 % (0 dB) switched off"
    assert "sset 'Mic' capture 80% cap" in advice
    mixer.write(Control("PCM Playback Volume", 3, 0, 4))
    assert card_volume_found(DEVICE, "speaker") == ("Device: PCM 75 %", "")


def test_the_list_of_cards_has_the_levels_of_each_direction(mixer, capsys):
    only_heard = replace(OTHER["speaker"], card_id="Device")
    assert device_volumes(only_heard) == "speaker level PCM 38 % (-20 dB) switched off"
    assert device_volumes(OTHER["speaker"]) == ""
    print_devices((DEVICE, OTHER["speaker"]), device_volumes, as_json=False)
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(
        "; microphone level Mic 0 % (0 dB) switched off"
        "; speaker level PCM 38 % (-20 dB) switched off"
    )
    assert "level" not in second
    print_devices((DEVICE,), device_volumes, as_json=True)
    assert "PCM 38 %" in json.loads(capsys.readouterr().out)[0]["levels"]


def test_the_configured_levels_are_set_and_switched_on_and_nothing_else(
    mixer, caplog, supervise
):
    caplog.set_level(logging.INFO)
    levels = supervise(MixerConfig(microphone=50, speaker=100))
    levels.apply(BOTH)
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
    levels.apply(BOTH)
    finish()
    assert len(caplog.records) == lines == 2, "only a change is logged"


def test_a_card_that_is_plugged_in_all_the_time_is_a_few_lines(
    mixer, caplog, supervise
):
    caplog.set_level(logging.INFO)
    levels = supervise(MixerConfig(speaker=100))
    for _ in range(FAULT_LINES + 2):
        levels.apply({})
        mixer.write(*FRESH)
        levels.apply(ALONE)
        finish()
        assert mixer.values()["PCM Playback Volume"] == 32
    assert len(caplog.records) == FAULT_LINES


def test_a_direction_that_is_not_configured_is_left_alone(mixer, supervise):
    levels = supervise(MixerConfig(speaker=75))
    levels.apply(BOTH)
    noticed(levels, "microphone", NAME, "its level is too low")
    levels.apply({})
    finish()
    values = mixer.values()
    assert values["PCM Playback Volume"] == 24
    assert (values["Mic Capture Volume"], values["Mic Capture Switch"]) == (0, 0)


def noticed(levels, direction, name, expected):
    """Wait for a notice about this device that contains the expected words."""
    end_s = time.monotonic() + DEADLINE_S
    while expected not in (notice := levels.notice(direction, name)):
        assert time.monotonic() < end_s, notice
        time.sleep(0.005)
    return notice


def test_a_card_without_a_mixer_is_a_notice_only_if_a_level_is_to_be_set(
    mixer, capfd, supervise
):
    levels = supervise(MixerConfig(speaker=75))
    levels.apply(OTHER)
    notice = noticed(levels, "speaker", "Other: Audio", "its mixer: No such device")
    assert "unplug it" in notice
    assert levels.notice("speaker", "USB PnP: Audio") == ""
    levels.apply({})
    others = supervise(None)
    others.apply(OTHER)
    finish()
    assert others.notice("speaker", "Other: Audio") == ""
    assert capfd.readouterr().err == ""


def test_a_card_without_a_level_is_a_notice(mixer, supervise):
    mixer.write(Control("Bass Boost", 0))
    levels = supervise(MixerConfig(speaker=75))
    levels.apply(BOTH)
    noticed(levels, "speaker", NAME, "its mixer has no level for the speaker")
    assert levels.notice("microphone", NAME) == ""


def test_a_sound_server_whose_level_is_to_be_set_is_a_notice(mixer, supervise):
    server = Device(0, "default", 32, 32, 48_000)
    levels = supervise(MixerConfig(speaker=75))
    levels.apply({"microphone": server, "speaker": server})
    finish()
    assert "sound.mixer cannot set" in levels.notice("speaker", "default")
    assert levels.notice("microphone", "default") == ""


def test_a_level_that_is_too_low_is_a_notice_until_it_is_raised(mixer, supervise):
    levels = supervise(None, again_s=0.01)
    levels.apply(BOTH)
    notice = noticed(levels, "speaker", NAME, "its level is too low: PCM 38 % (-20 dB)")
    assert "amixer -c Device sset 'PCM' playback 90% unmute" in notice
    noticed(levels, "microphone", NAME, "its level is too low: Mic 0 %")
    assert mixer.values()["PCM Playback Volume"] == 12, "it is only examined"
    mixer.write(
        Control("PCM Playback Volume", 30, 0, 32, -32, 1),
        Control("PCM Playback Switch", 1),
        Control("Mic Capture Volume", 12, 0, 16, 0, 1.5),
        Control("Mic Capture Switch", 1),
    )
    finish()
    assert not levels.notice("speaker", NAME)
    assert not levels.notice("microphone", NAME)


@pytest.mark.parametrize("config", [None, MixerConfig(microphone=0, speaker=10)])
def test_a_card_that_is_muted_on_itself_later_is_a_notice_until_it_is_not(
    mixer, supervise, config
):
    heard = (
        Control("PCM Playback Volume", 30, 0, 32, -32, 1),
        Control("PCM Playback Switch", 1),
        Control("Mic Capture Volume", 12, 0, 16, 0, 1.5),
        Control("Mic Capture Switch", 1),
    )
    mixer.write(*heard)
    levels = supervise(config, again_s=0.01, later_s=0.01)
    levels.apply(BOTH)
    finish()
    mixer.write(*heard[:1], Control("PCM Playback Switch", 0), *heard[2:])
    notice = noticed(levels, "speaker", NAME, "switched off")
    assert "sset 'PCM' playback" in notice
    assert mixer.values()["PCM Playback Switch"] == 0, "it is only examined"
    assert levels.notice("microphone", NAME) == ""
    mixer.write(*heard)
    finish()
    assert levels.notice("speaker", NAME) == ""


def test_a_card_that_is_reopened_stays_muted_until_it_is_plugged_in_again(
    mixer, supervise, tmp_path
):
    looks: queue.Queue[str] = queue.Queue()

    @contextmanager
    def watched(card_id):
        with opened(card_id) as real:
            yield real
        looks.put(card_id)

    usb = tmp_path / DEVICE.card_id / "usbbus"
    usb.parent.mkdir()
    usb.write_text("001/005\n")
    config = MixerConfig(microphone=80, speaker=90)
    levels = supervise(config, watched, tmp_path, again_s=0.01)
    levels.apply(BOTH)
    finish()
    muted = {"PCM Playback Switch": 1, "Mic Capture Switch": 0}
    mixer.write(*(Control(name, value) for name, value in muted.items()))
    Mixer(tmp_path, "Other").write(*FRESH)
    other = dict.fromkeys(BOTH, replace(DEVICE, card_id="Other"))
    for devices in (BOTH, ALONE, other, BOTH):
        levels.apply(devices)
        while not looks.empty():
            looks.get()
        for _ in range(4 if devices is BOTH else 1):
            looks.get(timeout=DEADLINE_S)
        assert mixer.values() == muted
    usb.write_text("001/006\n")
    levels.apply(BOTH)
    finish()
    assert mixer.values() == {"PCM Playback Switch": 1, "Mic Capture Switch": 1}


def test_another_card_does_not_prolong_the_setting_of_a_card_that_came_before(
    mixer, supervise, tmp_path
):
    config = MixerConfig(microphone=80, speaker=90)
    levels = supervise(config, again_s=0.05, later_s=0.05, looks=10)
    microphone: dict[Direction, Device] = {"microphone": DEVICE}
    Mixer(tmp_path, "Other").write(*FRESH)
    muted = Control("Mic Capture Switch", 0)
    levels.apply(microphone)
    end_s = time.monotonic() + DEADLINE_S
    while not levels.notice("microphone", NAME):
        assert time.monotonic() < end_s
        levels.apply(microphone | OTHER)
        levels.apply(microphone)
        mixer.write(muted)
        time.sleep(0.1)


def test_a_level_that_is_set_as_configured_is_not_too_low(mixer, supervise):
    levels = supervise(MixerConfig(microphone=0, speaker=10))
    levels.apply(BOTH)
    finish()
    assert not levels.notice("speaker", NAME)
    assert not levels.notice("microphone", NAME)


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


def test_a_driver_that_does_not_answer_blocks_nobody(mixer, supervise):
    called, release = threading.Event(), threading.Event()
    calls: list[str] = []

    @contextmanager
    def hangs(card_id):
        calls.append(card_id)
        called.set()
        release.wait(DEADLINE_S)
        with opened(card_id) as real:
            yield real

    levels = supervise(MixerConfig(speaker=75), hangs)
    for _ in range(5):
        levels.apply(ALONE)
    assert called.wait(DEADLINE_S)
    assert calls == ["Device"]
    assert levels.notice("speaker", NAME) == ""
    release.set()
    finish()
    assert levels.notice("speaker", NAME) == ""
    assert mixer.values()["PCM Playback Volume"] == 24


def test_a_card_that_comes_while_another_is_being_set_gets_its_level(mixer, supervise):
    called, release = threading.Event(), threading.Event()
    calls: list[str] = []

    @contextmanager
    def waits(card_id):
        calls.append(card_id)
        called.set()
        release.wait(DEADLINE_S)
        with opened("Device") as real:
            yield real

    levels = supervise(MixerConfig(speaker=75), waits)
    levels.apply(OTHER)
    assert called.wait(DEADLINE_S)
    levels.apply(ALONE)
    release.set()
    finish()
    assert calls == ["Other", "Device"]
    levels.apply(OTHER)
    finish()
    assert calls == ["Other", "Device", "Other"]


def test_an_error_of_the_kernel_does_not_end_the_setting_of_levels(mixer, supervise):
    faults = [OSError(19, "No such device")]

    @contextmanager
    def fails_once(card_id):
        if faults:
            raise faults.pop()
        with opened(card_id) as real:
            yield real

    levels = supervise(MixerConfig(speaker=75), fails_once, again_s=0.5)
    levels.apply(ALONE)
    noticed(levels, "speaker", NAME, "its mixer: No such device")
    finish()
    assert levels.notice("speaker", NAME) == ""
    assert mixer.values()["PCM Playback Volume"] == 24


def test_the_level_of_a_new_card_is_set_again_for_a_while_as_the_system_restores_it(
    supervise,
):
    calls: list[int] = []

    class Restored:
        def controls(self):
            return (alsa_mixer.Control("PCM", "speaker", 38, -20.0),)

        def set(self, _wanted, percent):
            calls.append(percent)
            return True

    @contextmanager
    def restored(_card_id):
        yield Restored()

    levels = supervise(MixerConfig(speaker=75), restored, again_s=0.01, looks=3)
    levels.apply(ALONE)
    finish()
    assert calls == [75] * 3


def test_a_card_that_refuses_its_level_is_a_notice(supervise):
    class Refusing:
        def controls(self):
            return (alsa_mixer.Control("PCM", "speaker", 38, -20.0),)

        def set(self, wanted, _percent):
            reason = fault_table.MIXER_FAILED.text(error="Operation not permitted")
            raise SoundError(wanted.name, reason)

    @contextmanager
    def refuses(_card_id):
        yield Refusing()

    levels = supervise(MixerConfig(speaker=75), refuses, again_s=60)
    levels.apply(ALONE)
    noticed(levels, "speaker", NAME, "its mixer: Operation not permitted; unplug it")
