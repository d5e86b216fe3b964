import stat
import wave

import numpy as np
import pytest

from appliance.demo.phrase import phrase, synthesised

RATE_HZ = 48_000


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder that is searched for programs before all others, and without espeak."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    return tmp_path


def install(folder, script):
    program = folder / "espeak-ng"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def is_speech(samples):
    assert samples.dtype == np.int16
    assert 1.5 * RATE_HZ < len(samples) < 6 * RATE_HZ
    loudest = np.abs(samples.astype(int)).max()
    # -6 dBFS.
    assert loudest == pytest.approx(16_423, abs=2)
    edge = RATE_HZ // 50
    return all(np.abs(x).max() > 100 for x in (samples[:edge], samples[-edge:]))


def test_the_phrase_is_speech_without_silence_around_it():
    assert is_speech(phrase())


def test_without_espeak_the_phrase_is_synthesised():
    assert is_speech(synthesised())


def test_the_synthesised_phrase_is_always_the_same():
    assert (synthesised() == synthesised()).all()


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "exit 0",
        'echo none > "$6"',
        'while [ "$1" != -w ]; do shift; done; printf RIFF > "$2"',
    ],
)
def test_an_espeak_that_fails_is_done_without(programs, script):
    install(programs, script)
    assert (phrase() == synthesised()).all()


def test_a_phrase_at_another_rate_becomes_48_khz(programs):
    """A wave file of 0.5 s at 16 kHz, written by a program of its own."""
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16_000)).astype("<i2")
    pcm = programs / "pcm.wav"
    with wave.open(str(pcm), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(tone.tobytes())
    install(programs, f'while [ "$1" != -w ]; do shift; done; cp {pcm} "$2"')
    samples = phrase()
    assert len(samples) == pytest.approx(RATE_HZ / 2, rel=0.01)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * RATE_HZ / len(samples) == pytest.approx(440, abs=3)


def test_nothing_is_left_behind_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    phrase()
    assert list(tmp_path.iterdir()) == []
