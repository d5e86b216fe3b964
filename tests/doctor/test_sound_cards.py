"""Tests of the list of cards, and of the card that the doctor names."""

import json
from collections.abc import Callable

import pytest

from appliance.audio.driver import PeriodCallback, Stream, StreamRequest
from appliance.doctor.devices import all_devices, line, print_devices
from appliance.doctor.hardware import card_name
from appliance.errors import SoundError
from appliance.sound_cards.selected_devices import chosen
from tests.sound_cards.proc_asound import JABRA, kernel, speakerphone


class Listing:
    """Driver that lists the given devices and opens none."""

    def __init__(self, *found: tuple[str, int, int]) -> None:
        self._found = found

    def devices(self):
        keys = "name", "max_input_channels", "max_output_channels"
        rate = {"default_samplerate": 48_000.0}
        return [dict(zip(keys, facts, strict=True)) | rate for facts in self._found]

    def close(self) -> None:
        """Do nothing."""

    def open(
        self,
        wanted: StreamRequest,
        callback: Callable[[int], PeriodCallback],
        instead_of: Stream | None = None,
    ) -> Stream:
        raise SoundError(wanted.device_name, "nothing can be opened")


@pytest.fixture
def machine(tmp_path):
    return speakerphone(tmp_path)


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
    preferred = ("Anker", "hdmi")
    assert card_name(preferred, "speaker", devices) == (
        "vc4-hdmi: Audio",
        'not "Anker"; plug that one in, or change sound.speaker',
    )


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


def test_a_machine_without_cards_gets_advice_to_plug_one_in(tmp_path, capsys):
    print_devices(devices_of(kernel(tmp_path)), as_json=False)
    assert "Plug in a USB sound card" in capsys.readouterr().err
