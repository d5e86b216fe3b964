"""Levels of virtual cards, read and set with the real libasound."""

import logging
import queue
import threading
import time
from contextlib import contextmanager

import pytest

from appliance.config import MixerConfig
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.process.logs import FAULT_LINES
from appliance.sound_cards import alsa_mixer
from appliance.sound_cards.alsa_mixer import loaded, opened
from appliance.sound_cards.card_volume import (
    LATER_S,
    CardVolumeSupervisor,
    card_volume_found,
)
from appliance.sound_cards.devices import Device, Direction
from tests.card.alsa_mixer import Control, Mixer, mixers_here

DEADLINE_S = 10.0
DEVICE = Device("USB PnP: Audio (hw:1,0)", 1, 2, 48_000, "Device")
NAME = DEVICE.stable_name
BOTH: dict[Direction, Device] = {"microphone": DEVICE, "speaker": DEVICE}
ALONE: dict[Direction, Device] = {"speaker": DEVICE}
OTHER: dict[Direction, Device] = {
    "speaker": Device("Other: Audio (hw:2,0)", 0, 2, 48_000, "Other")
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
HEARD = (
    Control("PCM Playback Volume", 30, 0, 32, -32, 1),
    Control("PCM Playback Switch", 1),
    Control("Mic Capture Volume", 12, 0, 16, 0, 1.5),
    Control("Mic Capture Switch", 1),
)
"""The same, loud enough."""


@pytest.fixture
def mixer(tmp_path):
    """Mixer of a virtual card, visible in this process."""
    made = Mixer(tmp_path, "Device")
    made.write(*FRESH)
    with mixers_here(tmp_path):
        yield made


class Watched(CardVolumeSupervisor):
    """Supervisor whose looks are counted."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.looks: queue.Queue[float] = queue.Queue()

    def _look(self, devices):
        wait_s = super()._look(devices)
        self.looks.put(wait_s)
        return wait_s

    def finish(self):
        """Wait until the card is neither new nor has a fault."""
        while self.looks.get(timeout=DEADLINE_S) != LATER_S:
            pass


@pytest.fixture
def supervise(mixer, monkeypatch):
    """Makes supervisors of the card's levels, and ends their threads."""
    module = CardVolumeSupervisor.__module__
    made: list[Watched] = []

    def make(*arguments, again_s=0.01, later_s=LATER_S, new_s=0.0):
        monkeypatch.setattr(f"{module}.AGAIN_S", again_s)
        monkeypatch.setattr(f"{module}.LATER_S", later_s)
        monkeypatch.setattr(f"{module}.NEW_S", new_s)
        made.append(Watched(*arguments))
        made[-1].start()
        return made[-1]

    yield make
    monkeypatch.setattr(f"{module}.AGAIN_S", DEADLINE_S)
    for levels in made:
        levels.end()


def test_percent_decibels_and_switches_are_those_of_the_card(mixer):
    assert card_volume_found(DEVICE, "speaker")[0] == (
        "Device: PCM 38 % (-20 dB) switched off"
    )
    words, advice = card_volume_found(DEVICE, "microphone")
    assert words == "Device: Mic 0 % (0 dB) switched off"
    assert "sset 'Mic' capture 80% cap" in advice
    mixer.write(Control("PCM Playback Volume", 3, 0, 4))
    assert card_volume_found(DEVICE, "speaker") == ("Device: PCM 75 %", "")


def test_the_configured_levels_are_set_and_switched_on_and_nothing_else(
    mixer, caplog, supervise
):
    caplog.set_level(logging.INFO)
    levels = supervise(MixerConfig(microphone=50, speaker=100))
    levels.apply(BOTH)
    levels.finish()
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
    levels.finish()
    assert len(caplog.records) == lines == 2, "only a change is logged"


def test_the_levels_are_set_again_after_the_sound_was_closed(mixer, supervise):
    levels = supervise(MixerConfig(speaker=100))
    for _ in range(2):
        mixer.write(*FRESH)
        levels.apply(ALONE)
        levels.finish()
        assert mixer.values()["PCM Playback Volume"] == 32
        levels.apply({})


class Usb:
    """Card on the USB, with a number that is new at each plugging in."""

    def __init__(self, folder):
        self._file = folder / DEVICE.card_id / "usbbus"
        self._file.parent.mkdir()
        self._number = 0
        self.plug_in()

    def plug_in(self):
        self._number += 1
        self._file.write_text(f"001/{self._number:03}\n")


def test_a_card_that_is_plugged_in_all_the_time_is_a_few_lines(
    mixer, caplog, supervise, tmp_path
):
    caplog.set_level(logging.INFO)
    usb = Usb(tmp_path)
    levels = supervise(MixerConfig(speaker=100), opened, tmp_path)
    for _ in range(FAULT_LINES + 2):
        mixer.write(*FRESH)
        usb.plug_in()
        levels.apply(ALONE)
        levels.finish()
        assert mixer.values()["PCM Playback Volume"] == 32
    assert len(caplog.records) == FAULT_LINES


def test_a_direction_that_is_not_configured_is_left_alone(mixer, supervise):
    levels = supervise(MixerConfig(speaker=75))
    levels.apply(BOTH)
    noticed(levels, "microphone", NAME, "its level is too low")
    levels.apply(ALONE)
    levels.finish()
    values = mixer.values()
    assert values["PCM Playback Volume"] == 24
    assert (values["Mic Capture Volume"], values["Mic Capture Switch"]) == (0, 0)


def until(condition):
    """Wait until it holds."""
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def noticed(levels, direction, name, expected):
    """Wait for a notice about this device that contains the expected words."""
    until(lambda: expected in levels.notice(direction, name))
    return levels.notice(direction, name)


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
    others.finish()
    assert others.notice("speaker", "Other: Audio") == ""
    assert capfd.readouterr().err == ""


def test_a_card_without_a_level_is_a_notice(mixer, supervise):
    mixer.write(Control("Bass Boost", 0))
    levels = supervise(MixerConfig(speaker=75))
    levels.apply(BOTH)
    noticed(levels, "speaker", NAME, "its mixer has no level for the speaker")
    assert levels.notice("microphone", NAME) == ""


def test_a_sound_server_whose_level_is_to_be_set_is_a_notice(mixer, supervise):
    server = Device("default", 32, 32, 48_000)
    levels = supervise(MixerConfig(speaker=75))
    levels.apply({"microphone": server, "speaker": server})
    noticed(levels, "speaker", "default", "sound.mixer cannot set")
    assert levels.notice("microphone", "default") == ""


def test_a_level_that_is_too_low_is_a_notice_until_it_is_raised(mixer, supervise):
    levels = supervise(None)
    levels.apply(BOTH)
    notice = noticed(levels, "speaker", NAME, "its level is too low: PCM 38 % (-20 dB)")
    assert "amixer -c Device sset 'PCM' playback 90% unmute" in notice
    noticed(levels, "microphone", NAME, "its level is too low: Mic 0 %")
    assert mixer.values()["PCM Playback Volume"] == 12, "it is only examined"
    mixer.write(*HEARD)
    levels.finish()
    assert not levels.notice("speaker", NAME)
    assert not levels.notice("microphone", NAME)


@pytest.mark.parametrize("config", [None, MixerConfig(microphone=0, speaker=10)])
def test_a_card_that_is_muted_on_itself_later_is_a_notice_until_it_is_not(
    mixer, supervise, config
):
    mixer.write(*HEARD)
    levels = supervise(config, later_s=0.02)
    levels.apply(BOTH)
    for _ in range(2):
        levels.looks.get(timeout=DEADLINE_S)
    mixer.write(HEARD[0], Control("PCM Playback Switch", 0), *HEARD[2:])
    notice = noticed(levels, "speaker", NAME, "switched off")
    assert "sset 'PCM' playback" in notice
    assert mixer.values()["PCM Playback Switch"] == 0, "it is only examined"
    assert levels.notice("microphone", NAME) == ""
    mixer.write(*HEARD)
    until(lambda: not levels.notice("speaker", NAME))


def test_a_card_that_is_reopened_stays_muted_until_it_is_plugged_in_again(
    mixer, supervise, tmp_path
):
    usb = Usb(tmp_path)
    config = MixerConfig(microphone=80, speaker=90)
    levels = supervise(config, opened, tmp_path)
    levels.apply(BOTH)
    levels.finish()
    muted = {"PCM Playback Switch": 1, "Mic Capture Switch": 0}
    mixer.write(*(Control(name, value) for name, value in muted.items()))
    Mixer(tmp_path, "Other").write(*FRESH)
    for devices in (BOTH, ALONE, OTHER, BOTH):
        levels.apply(devices)
        noticed(levels, "microphone", NAME, "switched off" if devices is BOTH else "")
        assert mixer.values() == muted
    usb.plug_in()
    until(lambda: all(mixer.values().values()))


def test_a_level_that_is_set_as_configured_is_not_too_low(mixer, supervise):
    levels = supervise(MixerConfig(microphone=0, speaker=10))
    levels.apply(BOTH)
    levels.finish()
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


def test_a_driver_that_does_not_answer_blocks_nobody_and_the_newest_card_is_set_then(
    mixer, supervise
):
    called, release = threading.Event(), threading.Event()
    calls: list[str] = []

    @contextmanager
    def hangs(card_id):
        calls.append(card_id)
        called.set()
        release.wait(DEADLINE_S)
        with opened("Device") as real:
            yield real

    levels = supervise(MixerConfig(speaker=75), hangs)
    levels.apply(OTHER)
    assert called.wait(DEADLINE_S)
    for devices in (OTHER, {}, ALONE):
        levels.apply(devices)
    assert calls == ["Other"]
    assert levels.notice("speaker", NAME) == ""
    release.set()
    levels.finish()
    assert calls[:2] == ["Other", "Device"]
    assert levels.notice("speaker", NAME) == ""
    assert mixer.values()["PCM Playback Volume"] == 24


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
    levels.finish()
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

    levels = supervise(MixerConfig(speaker=75), restored, new_s=0.5)
    levels.apply(ALONE)
    levels.finish()
    assert len(calls) > 1
    assert set(calls) == {75}


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

    levels = supervise(MixerConfig(speaker=75), refuses)
    levels.apply(ALONE)
    for _ in range(3):
        levels.looks.get(timeout=DEADLINE_S)
    noticed(levels, "speaker", NAME, "its mixer: Operation not permitted; unplug it")
