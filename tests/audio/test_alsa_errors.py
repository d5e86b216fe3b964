"""Words of alsa-lib from which the reason of a refusal is read."""

import pytest

from appliance.audio.sound_process_client import reason_in, with_host_text

UNEXPECTED = "Unanticipated host error"


def test_the_kernels_words_for_too_little_usb_bandwidth_are_explained():
    said = with_host_text(UNEXPECTED, "No space left on device")
    assert said.startswith(f"{UNEXPECTED} (No space left on device: the USB bandwidth")
    assert "another USB port" in said


@pytest.mark.parametrize(
    ("host_text", "said"),
    [("", UNEXPECTED), ("Input/output error", f"{UNEXPECTED} (Input/output error)")],
)
def test_any_other_text_of_the_host_is_kept(host_text, said):
    assert with_host_text(UNEXPECTED, host_text) == said


def test_output_without_a_cause_is_no_reason():
    assert reason_in("something else") == ""
