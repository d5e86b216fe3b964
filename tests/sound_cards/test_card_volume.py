"""Hardware levels in words: what is wrong, and the line that repairs it."""

from contextlib import contextmanager

import pytest

from appliance.errors import SoundError
from appliance.sound_cards.alsa_mixer import Control
from appliance.sound_cards.card_volume import card_volume_found, faults, of_direction
from appliance.sound_cards.devices import Device

DEVICE = Device("USB PnP: Audio (hw:1,0)", 1, 2, 48_000, "Device")
QUIET = Control("PCM", "speaker", 38, -20.0, is_on=True)
GOOD = Control("PCM", "speaker", 90, -3.0, is_on=True)
MICROPHONE = Control("Mic", "microphone", 50, 8.0, is_on=True)


class OneMixer:
    def __init__(self, *controls):
        self._controls = controls

    def controls(self):
        return self._controls

    def set(self, _wanted, _percent):
        return False


def found(direction, *controls):
    """Return words and advice for a card with these controls."""

    @contextmanager
    def opened(_card_id):
        yield OneMixer(*controls)

    return card_volume_found(DEVICE, direction, opened)


def test_a_speaker_20_db_down_is_reported_with_the_lines_that_repair_it():
    words, advice = found("speaker", QUIET, MICROPHONE)
    assert words == "Device: PCM 38 % (-20 dB) on"
    assert "amixer -c Device sset 'PCM' playback 90% unmute" in advice
    assert "sudo alsactl store" in advice
    assert "sound: {mixer: {speaker: 90}}" in advice


@pytest.mark.parametrize(
    ("control", "is_bad"),
    [
        (Control("PCM", "speaker", 40, -15.0), True),
        (Control("PCM", "speaker", 41, -14.0), False),
        (Control("PCM", "speaker", 0), True),
        (Control("PCM", "speaker", 1), False),
        (Control("PCM", "speaker", 90, 0.0, is_on=False), True),
        (Control("Mic", "microphone", 0, -16.0, is_on=True), True),
        (Control("Mic", "microphone", 1, -16.0, is_on=True), False),
        (Control("Mic", "microphone", 90, 8.0, is_on=False), True),
        (Control("Capture", "microphone", is_on=False), True),
    ],
)
def test_what_counts_as_too_quiet(control, is_bad):
    controls = of_direction((control,), control.direction)
    assert faults(controls) == ((control,) if is_bad else ())


def test_a_microphone_that_is_switched_off_is_reported_with_its_remedy():
    off = Control("Mic", "microphone", 50, 8.0, is_on=False, index=1)
    words, advice = found("microphone", off, GOOD)
    assert words == "Device: Mic 50 % (8 dB) switched off"
    assert "amixer -c Device sset 'Mic,1' capture 80% cap" in advice
    assert "sound: {mixer: {microphone: 80}}" in advice


def test_a_good_level_is_shown_without_advice():
    assert found("speaker", GOOD) == ("Device: PCM 90 % (-3 dB) on", "")


def test_one_output_may_be_muted_while_another_is_in_use():
    master = Control("Master", "speaker", 80, -5.0, is_on=True)
    off = Control("Speaker", "speaker", 0, -60.0, is_on=False)
    on = Control("Headphone", "speaker", 70, -9.0, is_on=True)
    assert faults((master, off, on)) == ()
    assert faults((master, off)) == (off,)


@pytest.mark.parametrize(
    "control",
    [
        Control("Mic", "speaker", 0, is_on=False, is_both=True),
        Control("Sidetone", "speaker", 0),
        Control("Auto Gain Control", "speaker", is_on=False),
        Control("Mic Boost", "microphone", 0),
        Control("Line", "microphone", 0),
        Control("IEC958", "speaker", is_on=False),
    ],
)
def test_other_elements_are_neither_reported_nor_set(control):
    assert of_direction((control,), control.direction) == ()


def test_a_card_without_controls_or_without_a_mixer_is_no_fault():
    def refused(card_id):
        raise SoundError(card_id, "its mixer: No such device")

    assert found("speaker") == ("Device has none", "")
    assert card_volume_found(DEVICE, "speaker", refused) == (
        "unknown, its mixer: No such device",
        "",
    )
    server = Device("pulse", 32, 32, 44_100)
    assert card_volume_found(server, "speaker") == ("pulse has none of its own", "")
