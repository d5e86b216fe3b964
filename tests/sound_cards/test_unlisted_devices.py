"""Tests of the card list, with cards that PortAudio cannot open."""

import os
from pathlib import Path

import pytest

from appliance.config import SoundConfig
from appliance.sound_cards.devices import AlsaCards, Device
from appliance.sound_cards.selected_devices import SelectedDevices, unlisted_error
from tests.sound_cards.proc_asound import JABRA, kernel, speakerphone


@pytest.fixture
def machine(tmp_path):
    return speakerphone(tmp_path)


def test_a_user_whose_process_has_ended_is_named_by_its_process_id(machine):
    machine.use(1, "pcm0p", 4711)
    machine.use(1, "pcm0c", 4711)
    *_, jabra = machine.alsa.unlisted()
    assert jabra.obstacle == "in use by another program (pid 4711)"


def test_the_choice_reports_the_program_that_uses_the_wanted_card(machine):
    machine.use(1, "pcm0p", 99)
    hdmi = Device("vc4-hdmi: Audio (hw:0,0)", 0, 2, 48_000)
    hidden = machine.alsa.unlisted((hdmi,))
    busy = unlisted_error(("Jabra",), hidden, "speaker")
    assert busy is not None
    assert "in use by pulseaudio (pid 99). Stop that program." in str(busy)
    assert unlisted_error(("Anker",), hidden, "speaker") is None


@pytest.mark.parametrize("vanishing", ["card1", "pcm0c"])
def test_a_card_that_is_unplugged_while_the_cards_are_listed_is_left_out(
    machine, monkeypatch, vanishing
):
    """Its folder is gone between the listing of the folder above and of itself."""
    scandir = os.scandir

    def scan(folder="."):
        if Path(folder).name == vanishing:
            monkeypatch.undo()
            machine.remove(1)
        return scandir(folder)

    choice = SelectedDevices(SoundConfig(), machine.alsa)
    monkeypatch.setattr(os, "scandir", scan)
    choice.choose(())
    assert not (machine.cards / "card1").exists()


def test_a_sound_server_of_the_configuration_may_start_at_any_time(tmp_path):
    machine = kernel(tmp_path)
    machine.add(0, "vc4-hdmi", "vc4hdmi", "pcm0p")
    preferred = SoundConfig(microphone="none", speaker=("pulse", "hdmi"))
    choice = SelectedDevices(preferred, machine.alsa)
    hdmi = Device("vc4-hdmi: Audio (hw:0,0)", 0, 2, 48_000)
    choice.use({"speaker": hdmi})
    assert choice.is_better_listed()


JABRA_FIRST = SoundConfig(microphone=("Jabra",), speaker=("Jabra", "hdmi"))


def test_a_better_card_counts_as_listed_only_if_no_program_uses_it(machine):
    choice = SelectedDevices(JABRA_FIRST, machine.alsa)
    hdmi = Device("vc4-hdmi: Audio (hw:0,0)", 0, 2, 48_000)
    machine.use(1, "pcm0p", 99)
    found, missing = choice.choose((hdmi,))
    assert found == {"speaker": hdmi}
    assert "ptt-appliance (pid 812)" in str(missing["microphone"])
    choice.use(found)
    assert not choice.is_best
    assert choice.found()["speaker"].notice == (
        f"not {JABRA}: Audio, in use by pulseaudio (pid 99); stop that program"
    )
    assert not choice.is_better_listed()
    machine.free(1, "pcm0p")
    assert choice.is_better_listed()
    choice.choose((hdmi,))
    assert choice.found()["speaker"].notice == (
        'not "Jabra"; plug that one in, or change sound.speaker'
    )


def test_no_card_is_better_than_the_first_choice(machine):
    choice = SelectedDevices(JABRA_FIRST, machine.alsa)
    jabra = Device(f"{JABRA}: Audio (hw:1,0)", 1, 2, 48_000)
    found, _ = choice.choose((jabra,))
    choice.use(found)
    assert choice.is_best
    machine.free(1, "pcm0p")
    assert not choice.is_better_listed()


def test_without_alsas_list_a_better_card_is_assumed_possible(tmp_path):
    choice = SelectedDevices(JABRA_FIRST, AlsaCards(tmp_path, tmp_path))
    assert choice.is_better_listed()


def test_a_free_card_for_a_missing_direction_is_an_improvement(tmp_path):
    """Without one, a search would only interrupt the direction that works."""
    machine = kernel(tmp_path)
    choice = SelectedDevices(SoundConfig(), machine.alsa)
    machine.add(1, "USB Speaker", "Speaker", "pcm0p", usb_id="0d8c:0014")
    speaker = Device("USB Speaker: Audio (hw:1,0)", 0, 2, 48_000, "Speaker", "a:b")
    choice.use({"speaker": speaker})
    assert not choice.is_better_listed()
    machine.add(2, "USB Microphone", "Microphone", "pcm0c", usb_id="0d8c:0015")
    assert choice.is_better_listed()
    machine.use(2, "pcm0c", 77)
    assert not choice.is_better_listed()


def test_a_card_whose_name_only_contains_the_wanted_id_is_a_second_choice(tmp_path):
    machine = kernel(tmp_path)
    machine.add(1, "USB PnP", "Device", "pcm0p", usb_id="0d8c:0014")
    machine.add(2, JABRA, "USB", "pcm0p", usb_id="0b0e:0412")
    machine.run(99, ("/usr/bin/pulseaudio",))
    machine.use(2, "pcm0p", 99)
    config = SoundConfig(microphone="none", speaker=("USB",))
    choice = SelectedDevices(config, machine.alsa)
    partly = Device("USB PnP: Audio (hw:1,0)", 0, 2, 48_000, "Device")
    found, _ = choice.choose((partly,))
    choice.use(found)
    assert not choice.is_best
    assert choice.found()["speaker"].notice == (
        f"not {JABRA}: Audio, in use by pulseaudio (pid 99); stop that program"
    )
    assert not choice.is_better_listed()
    machine.free(2, "pcm0p")
    assert choice.is_better_listed()
