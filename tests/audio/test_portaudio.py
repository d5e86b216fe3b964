"""Tests of the PortAudio driver and of the used parts of sounddevice."""

import inspect
import os
import subprocess
import sys
import threading
from importlib.metadata import version

import numpy as np
import pytest
import sounddevice

from appliance.audio.devices import listed
from appliance.audio.driver import StreamRequest
from appliance.audio.idle import IdleWindow
from appliance.audio.portaudio import PortAudio
from appliance.errors import SoundError
from tests.card.asound import Card, plug_in
from tests.card.here import seen_here

MOVED = "sounddevice has moved what we call: look at appliance/audio/portaudio.py"
PATIENCE_S = 20.0


def test_the_private_parts_of_sounddevice_that_are_used_exist():
    assert version("sounddevice").startswith("0.5."), MOVED
    for name in ("_terminate", "_initialize", "_initialized", "_check", "_ffi", "_lib"):
        assert hasattr(sounddevice, name), f"{MOVED} ({name})"
    source = inspect.getsource(sounddevice)
    assert source.partition("\nif __name__")[0].rstrip().endswith("\n_initialize()"), (
        f"{MOVED} (PortAudio is not initialised last)"
    )


class Echo:
    """Callback that plays the captured sound and records each period."""

    def __init__(self):
        self.idle_window = IdleWindow()
        self.calls = []
        self._news = threading.Condition()

    def call(self, heard, played, status, adc_s):
        if len(played) and len(heard):
            played[:] = np.repeat(np.frombuffer(heard, np.int16), 2).tobytes()
        with self._news:
            self.calls.append((len(heard), len(played), adc_s > 0, status))
            self._news.notify_all()

    def wait(self, calls):
        """Wait until it was called this number of times."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.calls) >= calls, PATIENCE_S)


def wanted(card, *, microphone=True, speaker=True, rate_hz=48_000):
    found = listed(PortAudio().devices())
    device = next(each for each in found if each.name == card.name)
    return StreamRequest(
        microphone=device if microphone else None,
        speaker=device if speaker else None,
        rate_hz=rate_hz,
        latency_s=0.01,
    )


@pytest.mark.parametrize(
    ("microphone", "speaker"), [(True, True), (True, False), (False, True)]
)
def test_the_callback_gets_each_period_in_the_requested_directions(
    tmp_path, microphone, speaker
):
    card = Card(tmp_path / "usb")
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        echo = Echo()
        asked = wanted(card, microphone=microphone, speaker=speaker)
        stream = PortAudio().open(asked, echo)
        stream.start()
        echo.wait(20)
        assert 0 < stream.latency_s < 0.1
        stream.close()
        stream.close()
    sizes = {call[:3] for call in echo.calls}
    assert sizes == {(960 * microphone, 1920 * speaker, microphone)}


def test_within_an_idle_window_the_speaker_gets_silence_and_no_callback_is_made(
    tmp_path,
):
    card = Card(tmp_path / "usb", is_looped=True)
    card.speak(np.full(48_000, 8000, np.int16), at_s=0.0)
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        echo = Echo()
        stream = PortAudio().open(wanted(card), echo)
        stream.start()
        echo.wait(20)
        echo.idle_window.open()
        echo.idle_window.begin(50)
        before, since_s = len(echo.calls), card.now_s()
        echo.wait(before + 60)
        stream.close()
    # Half a second of latency, so that a busy machine causes no xrun.
    lost = sum(bool(call[3]) for call in echo.calls)
    assert echo.idle_window.taken() >= 50 - lost
    assert not card.heard(since_s + 0.1, since_s + 0.4).any() or lost
    assert card.heard(since_s + 0.6, since_s + 0.7).any()


def test_the_error_of_a_refusing_card_holds_its_name_and_reason(tmp_path):
    card = Card(tmp_path / "usb", rates_hz=(44_100,))
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        asked = wanted(card)
        assert not PortAudio().can(asked)
        assert PortAudio().can(wanted(card, rate_hz=44_100))
        with pytest.raises(SoundError, match="sample rate") as caught:
            PortAudio().open(asked, Echo())
    assert caught.value.device == card.name


BROKEN = "pcm.broken {\n    type hw\n}}\n"
"""ALSA configuration with an error in its third line."""


def test_an_error_in_the_alsa_configuration_is_reported_with_file_and_line(tmp_path):
    path = tmp_path / "asound.conf"
    with seen_here(plug_in(path, Card(tmp_path / "usb"))):
        driver = PortAudio()
        whole = path.read_text()
        path.write_text(BROKEN)
        with pytest.raises(SoundError) as caught:
            driver.renew()
        assert str(caught.value).startswith(f"sound: {path}, line 3: Unexpected }}")
        with pytest.raises(SoundError):
            driver.devices()
        with pytest.raises(SoundError, match="line 3"):
            PortAudio()
        path.write_text(whole)
        driver.renew()
        assert driver.devices()


def test_a_broken_alsa_configuration_at_import_is_reported_with_its_cause(tmp_path):
    path = tmp_path / "asound.conf"
    env = plug_in(path, Card(tmp_path / "usb"))
    whole = path.read_text()
    path.write_text(BROKEN)
    program = f"""
import pathlib, sys
from appliance.errors import SoundError
from appliance.audio.portaudio import PortAudio
for _ in range(2):
    try:
        PortAudio()
    except SoundError as exc:
        print(exc)
    first = sys.modules["sounddevice"]
pathlib.Path({str(path)!r}).write_text({whole!r})
PortAudio()
print(sys.modules["sounddevice"] is first)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second, is_same = done.stdout.splitlines()
    assert first == second
    assert f"{path}, line 3" in first
    assert is_same == "True"


def test_a_name_that_is_not_utf_8_can_be_listed_and_opened(tmp_path):
    path = tmp_path / "asound.conf"
    card = Card(tmp_path / "usb", name="Mikrofon X")
    env = plug_in(path, card)
    path.write_bytes(path.read_bytes().replace(b"Mikrofon X", b"Mikrofon \xd0"))
    with seen_here(env):
        found = {device.name: device for device in listed(PortAudio().devices())}
        device = found["Mikrofon \ufffd"]
        echo = Echo()
        asked = StreamRequest(device, device, 48_000, 0.01)
        assert PortAudio().can(asked)
        stream = PortAudio().open(asked, echo)
        stream.start()
        echo.wait(5)
        stream.close()
