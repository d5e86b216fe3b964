"""The card that plays a file and records one."""

import os
import threading
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.audio.driver import IdleWindow, StreamRequest
from appliance.audio.dsp import level_dbfs
from appliance.demo.simulated_card import Recording, SimulatedCard, phrase
from appliance.errors import DemoError, SoundError
from appliance.sound_cards.devices import Device, listed
from appliance.sound_cards.selected_devices import chosen

SAMPLES = np.arange(2, 12_002, dtype=np.int16)
DEADLINE_S = 20.0


@pytest.fixture
def card(tmp_path):
    return SimulatedCard(SAMPLES, Recording(tmp_path / "speaker.wav"))


def wanted(card):
    (device,) = listed(card.devices())
    return StreamRequest(device, device, 0.01)


def recorded(path):
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels()) == (48_000, 1)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


class Loopback:
    """Callback that plays what it captures."""

    def __init__(self, periods, may_skip=0):
        self.idle_window = IdleWindow()
        self.heard = []
        self.skipped = []
        self._may_skip = may_skip
        self.is_enough = threading.Event()
        self._periods = periods

    def call(self, heard, played, status, _adc_s, skipped):
        self.skipped.append(skipped)
        assert len(heard) == len(played) == 2 * 480
        assert not status
        self.heard.append(np.frombuffer(bytes(heard), np.int16))
        played[:] = heard
        if len(self.heard) >= self._periods:
            self.is_enough.set()
        self.idle_window.open()
        return self._may_skip


def test_the_microphone_says_the_phrase_and_the_speaker_is_recorded(card, tmp_path):
    application = Loopback(periods=100)
    card.speak()
    stream = card.open(wanted(card), lambda _: application)
    assert application.is_enough.wait(DEADLINE_S)
    stream.close()
    stream.close()
    heard = np.concatenate(application.heard)
    begin = np.flatnonzero(heard > 1)[0]
    assert (heard[begin : begin + len(SAMPLES)] == SAMPLES).all()
    # Nothing but zeros would be a muted microphone.
    assert (heard[begin + len(SAMPLES) :] == 1).all()
    assert (recorded(tmp_path / "speaker.wav") == heard).all()
    assert "simulated card" not in {thread.name for thread in threading.enumerate()}


def test_periods_are_skipped_as_the_callback_allows(card):
    application = Loopback(periods=4, may_skip=3)
    stream = card.open(wanted(card), lambda _: application)
    assert application.is_enough.wait(DEADLINE_S)
    stream.close()
    assert application.skipped[:4] == [0, 3, 3, 3]


def test_a_stream_can_be_opened_again(card):
    for _ in range(2):
        application = Loopback(periods=2)
        stream = card.open(wanted(card), {48_000: application}.__getitem__)
        assert application.is_enough.wait(DEADLINE_S)
        stream.close()


def test_the_recording_can_be_opened_while_it_grows(tmp_path):
    recording = Recording(tmp_path / "speaker.wav")
    for _ in range(150):
        recording.put(bytes(2 * 480))
    assert len(recorded(recording.path)) >= 48_000


@pytest.mark.parametrize("is_there", [False, True])
def test_others_cannot_read_the_recording(tmp_path, is_there):
    path = tmp_path / "speaker.wav"
    if is_there:
        path.touch(0o644)
    before_umask = os.umask(0)
    try:
        recording = Recording(path)
    finally:
        os.umask(before_umask)
    recording.put(bytes(2 * 480))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_recording_can_be_thrown_away():
    recording = Recording(Path(os.devnull))
    for _ in range(150):
        recording.put(bytes(2 * 480))
    assert Path(os.devnull).is_char_device()


def test_a_recording_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(DemoError, match="--wav FILE"):
        Recording(tmp_path / "no such folder" / "speaker.wav")


def test_the_appliance_chooses_the_card_without_configuration(card):
    devices = listed(card.devices())
    assert chosen((), devices, "microphone") == chosen((), devices, "speaker")


def test_an_unsupported_stream_is_refused(card):
    good = wanted(card)
    for bad in (
        replace(good, microphone=None),
        replace(good, speaker=Device("Another card", 1, 2, 48_000)),
    ):
        with pytest.raises(SoundError):
            card.open(bad, lambda _: Loopback(1))


def test_the_phrase_is_a_few_seconds_of_loud_speech():
    samples = phrase()
    assert 2 < len(samples) / 48_000 < 4
    assert -30 < level_dbfs(samples) < -15
