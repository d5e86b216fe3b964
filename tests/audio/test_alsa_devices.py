"""Tests of the card list, with cards that PortAudio cannot open."""

import json
import os

import pytest

from appliance.audio.alsa_devices import (
    all_devices,
    card_name,
    in_use,
    line,
    print_devices,
)
from appliance.audio.device_choice import DeviceChoice
from appliance.audio.device_wishes import Device, chosen
from appliance.audio.driver import PeriodCallback, Stream, StreamRequest
from appliance.config import SoundConfig
from appliance.errors import SoundError
from tests.audio.proc_asound import kernel

JABRA = "Jabra SPEAK 410 USB"
OUR_COMMAND = ("/opt/venv/bin/python", "/opt/venv/bin/ptt-appliance", "run")


class Listing:
    """Driver that lists the given devices and opens none."""

    def __init__(self, *found: tuple[str, int, int]) -> None:
        self._found = found

    def devices(self):
        keys = "name", "max_input_channels", "max_output_channels"
        rate = {"default_samplerate": 48_000.0}
        return [dict(zip(keys, facts, strict=True)) | rate for facts in self._found]

    answered_at_s = 0.0

    def renew(self) -> None:
        """Find no new cards."""

    def failure(self) -> str:
        return ""

    def close(self) -> None:
        """Do nothing."""

    def can(self, wanted: StreamRequest) -> bool:
        return False

    def open(self, wanted: StreamRequest, callback: PeriodCallback) -> Stream:
        raise SoundError(wanted.device_name, "nothing can be opened")


@pytest.fixture
def machine(tmp_path):
    """Raspberry Pi with HDMI and a speakerphone opened by the service."""
    made = kernel(tmp_path)
    made.add(0, "vc4-hdmi", "vc4hdmi", "pcm0p")
    made.add(1, JABRA, "USB", "pcm0p", "pcm0c", usb_id="0B0E:0412")
    made.run(812, OUR_COMMAND, 815)
    made.run(99, ("/usr/bin/pulseaudio", "--daemonize"))
    made.use(1, "pcm0p", 815)
    made.use(1, "pcm0c", 815)
    return made


def devices_of(machine, *found):
    return all_devices(Listing(*found), machine.cards, machine.processes)


def test_a_card_in_use_by_the_service_is_listed_with_the_service_as_user(machine):
    _, jabra = devices_of(machine, ("vc4-hdmi: Audio (hw:0,0)", 0, 2))
    assert line(jabra) == (
        f'"{JABRA}: Audio": microphone and speaker, USB, 0b0e:0412, '
        "usb-0000:01:00.0-1.1, "
        "in use by ptt-appliance (pid 812)"
    )


def test_the_doctor_accepts_a_card_in_use_by_the_service(machine):
    devices = devices_of(machine, ("vc4-hdmi: Audio (hw:0,0)", 0, 2))
    said = f"{JABRA}: Audio, in use by ptt-appliance (pid 812)"
    assert card_name((), "speaker", devices) == (said, "")
    assert card_name(("jabra",), "microphone", devices) == (said, "")


def test_the_doctor_rejects_a_card_in_use_by_another_program_and_names_it(machine):
    machine.use(1, "pcm0p", 99)
    devices = devices_of(machine, (f"{JABRA}: Audio (hw:1,0)", 1, 0))
    assert card_name((), "microphone", devices) == (f"{JABRA}: Audio", "")
    with pytest.raises(SoundError, match=r"in use by pulseaudio \(pid 99\)\. Stop"):
        card_name((), "speaker", devices)


def test_an_unused_card_that_cannot_be_opened_is_reported_as_such(machine):
    machine.free(1, "pcm0p")
    machine.free(1, "pcm0c")
    with pytest.raises(SoundError, match="Audio: cannot be opened now"):
        card_name((), "speaker", devices_of(machine))


def test_the_doctor_accepts_the_only_card_of_a_box(tmp_path):
    machine = kernel(tmp_path)
    machine.add(0, "vc4-hdmi", "vc4hdmi", "pcm0p")
    machine.add(1, "seeed-2mic-voicecard", "seeed", "pcm0p", "pcm0c")
    hat = ("seeed-2mic-voicecard: Audio (hw:1,0)", 2, 2)
    devices = devices_of(machine, ("vc4-hdmi: Audio (hw:0,0)", 0, 2), hat)
    found = card_name((), "speaker", devices)
    assert found == ("seeed-2mic-voicecard: Audio", "")


def test_the_doctor_reports_a_second_choice(machine):
    devices = devices_of(machine, ("vc4-hdmi: Audio (hw:0,0)", 0, 2))
    wishes = ("Anker", "hdmi")
    assert card_name(wishes, "speaker", devices) == (
        "vc4-hdmi: Audio",
        'not "Anker"; plug that one in, or change sound.speaker',
    )


def test_a_user_whose_process_has_ended_is_named_by_its_process_id(machine):
    machine.use(1, "pcm0p", 4711)
    machine.use(1, "pcm0c", 4711)
    *_, jabra = devices_of(machine)
    assert jabra.obstacle == "in use by another program (pid 4711)"


def test_the_choice_reports_the_program_that_uses_the_wanted_card(machine):
    machine.use(1, "pcm0p", 99)
    hdmi = Device(0, "vc4-hdmi: Audio (hw:0,0)", 0, 2, 48_000)
    where = machine.cards, machine.processes
    busy = in_use(("Jabra",), (hdmi,), "speaker", *where)
    assert busy is not None
    assert "in use by pulseaudio (pid 99). Stop that program." in str(busy)
    assert in_use(("Anker",), (hdmi,), "speaker", *where) is None


def test_a_printed_name_does_not_contain_the_card_number(machine, capsys):
    devices = devices_of(machine, ("vc4-hdmi: Audio (hw:0,0)", 0, 2))
    print_devices(devices, as_json=False)
    printed = capsys.readouterr().out
    assert "hw:" not in printed
    assert printed.startswith('"vc4-hdmi: Audio": speaker, 48000 Hz, vc4hdmi\n')
    print_devices(devices, as_json=True)
    as_json = json.loads(capsys.readouterr().out)
    assert [device["name"] for device in as_json] == [
        "vc4-hdmi: Audio",
        f"{JABRA}: Audio",
    ]


def test_the_names_printed_for_two_cards_of_one_kind_choose_each_of_them(
    tmp_path, capsys
):
    machine = kernel(tmp_path)
    for number, card_id in ((1, "Device"), (2, "Device_1")):
        machine.add(number, "USB PnP", card_id, "pcm0p", usb_id="0d8c:0014")
    found = devices_of(
        machine, ("USB PnP: Audio (hw:1,0)", 0, 2), ("USB PnP: Audio (hw:2,0)", 0, 2)
    )
    print_devices(found, as_json=False)
    printed = capsys.readouterr().out.splitlines()
    names = [said.split('"')[1] for said in printed]
    assert names == ["usb-0000:01:00.0-1.1", "usb-0000:01:00.0-1.2"]
    assert all("USB PnP: Audio" in said for said in printed)
    assert tuple(chosen((name,), found, "speaker") for name in names) == found


def test_a_change_of_users_or_cards_is_seen_and_our_own_use_is_not(tmp_path):
    machine = kernel(tmp_path)
    machine.add(1, "USB PnP", "Device", "pcm0p", usb_id="0d8c:0014")
    choice = DeviceChoice(SoundConfig(), machine.cards, machine.processes)
    free = choice.list_cards()
    machine.run(99, ("/usr/bin/pulseaudio",))
    machine.use(1, "pcm0p", 99)
    assert choice.list_cards() != free
    machine.run(os.getpid(), ("/usr/bin/python", "demo"), 4242)
    machine.use(1, "pcm0p", 4242)
    assert choice.list_cards() == free
    machine.add(2, "Camera", "Camera", "pcm0c")
    assert choice.list_cards() != free


def test_a_sound_server_of_the_wish_list_may_start_at_any_time(tmp_path):
    machine = kernel(tmp_path)
    machine.add(0, "vc4-hdmi", "vc4hdmi", "pcm0p")
    wishes = SoundConfig(microphone="none", speaker=("pulse", "hdmi"))
    choice = DeviceChoice(wishes, machine.cards, machine.processes)
    hdmi = Device(0, "vc4-hdmi: Audio (hw:0,0)", 0, 2, 48_000)
    choice.use({"speaker": hdmi}, {"speaker"})
    assert choice.is_better_listed()


def test_a_machine_without_cards_gets_advice_to_plug_one_in(tmp_path, capsys):
    print_devices(devices_of(kernel(tmp_path)), as_json=False)
    assert "Plug in a USB sound card" in capsys.readouterr().err


JABRA_FIRST = SoundConfig(microphone=("Jabra",), speaker=("Jabra", "hdmi"))


def test_a_better_card_counts_as_listed_only_if_no_program_uses_it(machine):
    choice = DeviceChoice(JABRA_FIRST, machine.cards, machine.processes)
    hdmi = Device(0, "vc4-hdmi: Audio (hw:0,0)", 0, 2, 48_000)
    machine.use(1, "pcm0p", 99)
    found, missing = choice.choose((hdmi,))
    assert found == {"speaker": hdmi}
    assert "ptt-appliance (pid 812)" in str(missing["microphone"])
    choice.use(found, found)
    assert not choice.is_best
    assert choice.notice("speaker") == (
        f"not {JABRA}: Audio, in use by pulseaudio (pid 99); stop that program"
    )
    assert not choice.is_better_listed()
    machine.free(1, "pcm0p")
    assert choice.is_better_listed()
    choice.choose((hdmi,))
    assert choice.notice("speaker") == (
        'not "Jabra"; plug that one in, or change sound.speaker'
    )


def test_no_card_is_better_than_the_first_choice(machine):
    choice = DeviceChoice(JABRA_FIRST, machine.cards, machine.processes)
    jabra = Device(0, f"{JABRA}: Audio (hw:1,0)", 1, 2, 48_000)
    found, _ = choice.choose((jabra,))
    choice.use(found, found)
    assert choice.is_best
    machine.free(1, "pcm0p")
    assert not choice.is_better_listed()


def test_without_alsas_list_a_better_card_is_assumed_possible(tmp_path):
    assert DeviceChoice(JABRA_FIRST, tmp_path, tmp_path).is_better_listed()


def test_a_free_card_for_a_missing_direction_is_an_improvement(tmp_path):
    """Without one, a search would only interrupt the direction that works."""
    machine = kernel(tmp_path)
    choice = DeviceChoice(SoundConfig(), machine.cards, machine.processes)
    machine.add(1, "USB Speaker", "Speaker", "pcm0p", usb_id="0d8c:0014")
    speaker = Device(0, "USB Speaker: Audio (hw:1,0)", 0, 2, 48_000, "Speaker", "a:b")
    choice.use({"speaker": speaker}, {"speaker"})
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
    choice = DeviceChoice(config, machine.cards, machine.processes)
    partly = Device(0, "USB PnP: Audio (hw:1,0)", 0, 2, 48_000, "Device")
    found, _ = choice.choose((partly,))
    choice.use(found, found)
    assert not choice.is_best
    assert choice.notice("speaker") == (
        f"not {JABRA}: Audio, in use by pulseaudio (pid 99); stop that program"
    )
    assert not choice.is_better_listed()
    machine.free(2, "pcm0p")
    assert choice.is_better_listed()
