"""Tests of the selection of devices by name."""

from dataclasses import replace

import pytest

from appliance.errors import SoundError
from appliance.sound_cards.devices import Device, listed
from appliance.sound_cards.selected_devices import chosen, not_the_first, preference

USB = Device(
    "USB PnP Sound Device: Audio (hw:1,0)", 1, 2, 48_000, "Device", "0d8c:0014"
)
JABRA = Device("Jabra SPEAK 410 USB: Audio (hw:2,0)", 1, 2, 48_000, "USB", "0b0e:0412")
HDMI = Device("vc4-hdmi: MAI PCM (hw:0,0)", 0, 2, 48_000, "vc4hdmi", "")
DEFAULT = Device("default", 32, 32, 44_100)
ALL = (USB, JABRA, HDMI, DEFAULT)


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("jabra", JABRA),
        ("0b0e:0412", JABRA),
        ("0B0E:0412", JABRA),
        ("Device", USB),
        ("PnP", USB),
        ("default", DEFAULT),
    ],
)
def test_a_preferred_name_matches_part_of_a_name_an_alsa_id_or_a_usb_id(wanted, meant):
    assert chosen((wanted,), ALL, "microphone") is meant


def test_the_first_preferred_name_with_a_match_wins():
    assert chosen(("Anker", "PnP", "Jabra"), ALL, "speaker") is USB


def test_without_a_preferred_name_the_first_usb_card_is_taken_else_the_default():
    assert chosen((), ALL, "microphone") is USB
    assert chosen((), (HDMI, DEFAULT), "speaker") is DEFAULT
    assert chosen((), (HDMI,), "speaker") is HDMI


MICROPHONE_ONLY = Device("USB Mic: Audio (hw:3,0)", 1, 0, 48_000, "Mic", "1:1")
SPEAKER_ONLY = Device("USB Boom: Audio (hw:4,0)", 0, 2, 48_000, "Boom", "2:2")
HAT = Device("seeed-2mic-voicecard: HiFi (hw:5,0)", 2, 2, 48_000, "seeed", "")
PULSE = Device("pulse", 32, 32, 44_100)


def test_without_a_preferred_name_a_usb_card_with_both_directions_goes_first():
    assert chosen((), (MICROPHONE_ONLY, JABRA), "microphone") is JABRA
    assert chosen((), (SPEAKER_ONLY, JABRA), "speaker") is JABRA
    assert chosen((), (HDMI, SPEAKER_ONLY, HAT), "speaker") is SPEAKER_ONLY


@pytest.mark.parametrize("other", [HAT, PULSE, DEFAULT])
def test_hdmi_is_the_last_choice_without_a_preferred_name(other):
    assert chosen((), (HDMI, other), "speaker") is other


def test_a_duplex_card_goes_before_alsas_default_unless_there_is_a_sound_server():
    assert chosen((), (HDMI, DEFAULT, HAT), "speaker") is HAT
    assert chosen((), (HDMI, HAT, PULSE, DEFAULT), "speaker") is DEFAULT


def test_an_exact_match_goes_before_a_partial_one():
    assert chosen(("USB",), (USB, JABRA), "speaker") is JABRA
    plug = Device("sysdefault", 32, 32, 44_100)
    assert chosen(("default",), (plug, DEFAULT), "speaker") is DEFAULT


def test_a_notice_says_that_a_device_is_not_the_first_choice():
    assert preference(("Jabra", "PnP"), JABRA) == (0, True)
    assert not_the_first(("Jabra", "PnP"), JABRA, "speaker") == ""
    assert preference(("Jabra", "Device"), USB) == (1, False)
    assert not_the_first(("Jabra", "PnP"), USB, "speaker") == (
        'not "Jabra"; plug that one in, or change sound.speaker'
    )
    assert not_the_first((), USB, "speaker") == ""
    said = not_the_first((), HDMI, "speaker")
    assert said.startswith("not a USB card; plug one in")
    assert "sound.speaker" in said


def test_a_card_without_input_is_not_chosen_as_microphone():
    assert chosen(("hdmi", "Jabra"), ALL, "microphone") is JABRA


def test_the_error_for_a_missing_device_lists_the_available_ones_and_the_remedy():
    with pytest.raises(SoundError) as caught:
        chosen(("Anker",), ALL, "microphone")
    assert caught.value.part == "Anker"
    for part in ("Jabra SPEAK", "sound.microphone"):
        assert part in str(caught.value)


def test_the_error_without_any_card_asks_for_a_usb_card():
    with pytest.raises(SoundError, match="Plug in"):
        chosen((), (), "speaker")


def test_alsa_id_and_usb_id_are_read_for_a_hardware_device(tmp_path):
    card = tmp_path / "card1"
    card.mkdir()
    (card / "id").write_text("Device\n")
    (card / "usbid").write_text("0D8C:0014\n")
    found = [
        {
            "name": "USB PnP Sound Device: Audio (hw:1,0)",
            "max_input_channels": 1,
            "max_output_channels": 2,
            "default_samplerate": 48000.0,
        },
        {
            "name": "HDMI (hw:0,0)",
            "max_input_channels": 0,
            "max_output_channels": 8,
            "default_samplerate": 44100.0,
        },
    ]
    usb, hdmi = listed(found, tmp_path)
    assert usb == USB
    assert (hdmi.card_id, hdmi.usb_id) == ("", "")


def test_a_rate_that_is_no_number_is_unknown(tmp_path):
    device = {"name": "Odd", "max_input_channels": 1, "max_output_channels": 0}
    (odd,) = listed([device | {"default_samplerate": float("nan")}], tmp_path)
    assert odd.rate_hz == 0


def test_a_sound_server_is_recognised():
    assert DEFAULT.is_shared
    assert not USB.is_shared


@pytest.mark.parametrize(
    "wanted",
    [
        "USB PnP Sound Device: Audio (hw:1,0)",
        "USB PnP Sound Device: Audio (hw:7,3)",
        "usb pnp sound device: audio",
        "hw:CARD=Device,DEV=0",
        "plughw:Device",
    ],
)
def test_names_copied_from_other_tools_stay_valid_when_the_number_changes(wanted):
    assert chosen((wanted,), (JABRA, USB), "speaker") is USB


def test_two_cards_of_one_kind_are_told_apart_by_their_usb_port():
    ports = ("usb-0000:01:00.0-1.3", "usb-0000:01:00.0-1.30")
    first, second = (replace(USB, usb_port=port) for port in ports)
    assert chosen((ports[0],), (second, first), "speaker") is first
    assert chosen((ports[1],), (first, second), "speaker") is second


JACK = Device("bcm2835 Headphones: - (hw:0,0)", 0, 8, 48_000)
DAC = Device("snd_rpi_hifiberry_dac: HiFi (hw:1,0)", 0, 2, 48_000)


def test_without_a_sound_server_a_card_goes_before_alsas_default():
    assert chosen((), (HDMI, DEFAULT, JACK), "speaker") is JACK
    assert chosen((), (JACK, HDMI, DEFAULT, DAC), "speaker") is DAC


@pytest.mark.parametrize("device", [HAT, DAC])
def test_a_card_on_the_pin_header_needs_no_notice(device):
    assert not not_the_first((), device, "speaker")
    assert not_the_first((), device, "speaker", has_usb=True)


@pytest.mark.parametrize("device", [HDMI, JACK, DEFAULT, PULSE])
def test_onboard_outputs_and_sound_servers_have_a_notice_always(device):
    assert not_the_first((), device, "speaker")


PLUGINS = ("lavrate", "upmix", "speex", "jack", "front", "iec958", "usbstream")
"""PCMs of alsa-lib and libasound2-plugins that PortAudio lists beside the cards."""


def listed_with_kernel(folder, *names):
    """Return devices as PortAudio lists them on a machine whose kernel lists cards."""
    (folder / "cards").write_text(" 0 [vc4hdmi        ]: vc4-hdmi - vc4-hdmi\n")
    keys = {"max_input_channels": 2, "max_output_channels": 2}
    keys["default_samplerate"] = 48_000
    return listed([{"name": name} | keys for name in names], folder)


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("other", ["vc4-hdmi: MAI PCM (hw:0,0)", "default", "pulse"])
def test_a_plugin_is_never_preferred_to_a_card_or_a_sound_server(
    tmp_path, plugin, other
):
    found = listed_with_kernel(tmp_path, plugin, other)
    assert chosen((), found, "speaker").name == other
    assert chosen(("USB", "hdmi", other), found, "speaker").name == other
    assert chosen((plugin,), found, "speaker").name == plugin


def test_a_plugin_is_no_card_on_the_pin_header(tmp_path):
    (plugin,) = listed_with_kernel(tmp_path, "lavrate")
    assert plugin.is_shared
    assert not_the_first((), plugin, "speaker")
