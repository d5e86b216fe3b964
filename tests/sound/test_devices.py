"""Which card is meant."""

import pytest

from appliance.errors import SoundError
from appliance.sound.devices import Device, chosen, listed

USB = Device(
    0, "USB PnP Sound Device: Audio (hw:1,0)", 1, 2, 48_000, "Device", "0d8c:0014"
)
JABRA = Device(
    1, "Jabra SPEAK 410 USB: Audio (hw:2,0)", 1, 2, 48_000, "USB", "0b0e:0412"
)
HDMI = Device(2, "vc4-hdmi: MAI PCM (hw:0,0)", 0, 2, 48_000, "vc4hdmi", "")
DEFAULT = Device(3, "default", 32, 32, 44_100, is_default=True)
ALL = (USB, JABRA, HDMI, DEFAULT)


@pytest.mark.parametrize(
    ("wish", "meant"),
    [
        ("jabra", JABRA),
        ("0b0e:0412", JABRA),
        ("0B0E:0412", JABRA),
        ("Device", USB),
        ("PnP", USB),
        ("default", DEFAULT),
    ],
)
def test_a_wish_is_part_of_a_name_an_alsa_id_or_a_usb_number(wish, meant):
    assert chosen((wish,), ALL, "microphone") is meant


def test_the_first_wish_that_is_there_wins():
    assert chosen(("Anker", "PnP", "Jabra"), ALL, "speaker") is USB


def test_without_a_wish_the_first_usb_card_is_taken_else_the_default():
    assert chosen((), ALL, "microphone") is USB
    assert chosen((), (HDMI, DEFAULT), "speaker") is DEFAULT
    assert chosen((), (HDMI,), "speaker") is HDMI


def test_a_card_without_a_microphone_is_not_taken_for_one():
    assert chosen(("hdmi", "Jabra"), ALL, "microphone") is JABRA


def test_what_is_missing_is_named_with_what_there_is_and_what_to_do():
    with pytest.raises(SoundError) as caught:
        chosen(("Anker",), ALL, "microphone")
    assert caught.value.device == "Anker"
    for part in ("Jabra SPEAK", "sound.microphone"):
        assert part in str(caught.value)


def test_no_card_at_all_asks_for_one():
    with pytest.raises(SoundError, match="Plug in"):
        chosen((), (), "speaker")


def test_alsas_id_and_the_usb_number_are_read_for_a_hardware_device(tmp_path):
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


def test_a_sound_server_is_known_as_such():
    assert DEFAULT.is_shared
    assert not USB.is_shared
