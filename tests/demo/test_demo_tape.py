import os
import wave

import numpy as np
import pytest

from appliance.demo.tape import LONGEST_S, Tape, default_path
from appliance.errors import DemoError


@pytest.fixture
def tape(tmp_path):
    tape = Tape(tmp_path / "a.wav")
    yield tape
    tape.close()


def read(path):
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        assert file.getframerate() == 48_000
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def block(value):
    return np.full(480, value, np.int16)


def test_the_file_can_be_opened_while_it_grows(tape):
    for count in (0, 3, 5):
        for value in range(count):
            tape.put(value / 100, block(value))
        tape.write()
        assert len(read(tape.path)) == round(tape.length_s * 48_000)
    assert list(read(tape.path)[::480]) == [0, 1, 2, 0, 1, 2, 3, 4]


def test_closing_writes_what_is_left_and_may_be_done_twice(tape):
    tape.put(0.0, block(7))
    tape.close()
    tape.close()
    assert list(read(tape.path)) == [7] * 480


def test_a_file_of_an_earlier_demo_is_overwritten(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"x" * 10_000)
    Tape(path).close()
    assert len(read(path)) == 0


def test_a_stretch_is_found_by_time(tape):
    for at in range(300):
        tape.put(20.0 + at / 100, block(at))
    sound = tape.between(21.0, 21.5)
    assert sound is not None
    assert sound.at_s == pytest.approx(21.0)
    assert (sound.samples[0], len(sound.samples)) == (100, 24_000)
    assert tape.between(50.0, 51.0) is None


def test_the_file_ends_growing_and_old_sound_is_forgotten(tape):
    second = np.ones(48_000, np.int16)
    for at in range(int(LONGEST_S) + 60):
        tape.put(float(at), second)
        tape.write()
    assert tape.length_s == LONGEST_S
    assert tape.between(0.0, 1.0) is None
    assert tape.between(LONGEST_S + 10.0, LONGEST_S + 11.0) is not None


def test_a_place_that_cannot_be_written_is_named_with_what_to_do(tmp_path):
    with pytest.raises(DemoError, match=r"a\.wav cannot be written.*--wav"):
        Tape(tmp_path / "nowhere" / "a.wav")


def test_a_full_disk_ends_the_recording_and_nothing_else(caplog):
    from pathlib import Path

    tape = Tape(Path("/dev/full"))
    for _ in range(2):
        tape.put(0.0, block(1))
        tape.write()
    tape.close()
    assert len(caplog.records) == 1
    assert tape.between(0.0, 1.0) is not None


def test_every_user_has_a_recording_of_ones_own(monkeypatch):
    paths = []
    for user in (0, 1000):
        monkeypatch.setattr(os, "getuid", lambda user=user: user)
        paths.append(default_path())
    assert paths[0] != paths[1]
