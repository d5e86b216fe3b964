"""Tests that the faults of the virtual card reach PortAudio and alsa-lib."""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import sounddevice as sd

from appliance.audio.portaudio import PortAudio
from tests.card.asound import Control, plug_in
from tests.card.faults import FAULTS, FOR_EVER_MS, table
from tests.card.sounddevice_access import seen_here

STREAM = {"samplerate": 48_000, "blocksize": 480, "dtype": "int16", "latency": 0.3}
PATIENCE_S = 10.0
LATE_MS = 300
S16_LE, INTERLEAVED, CAPTURE = 2, 3, 1
"""Numbers of alsa-lib's constants."""


@contextmanager
def having(fault, folder, **options):
    """Plug in a card that has the fault from the start."""
    card = fault.card(folder / "card", **options)
    fault.begin(card)
    with seen_here(plug_in(folder / "asound.conf", card)):
        yield card


def words(seconds=0.3):
    return (
        np.random.default_rng(1).normal(0, 3000, round(seconds * 48_000)).astype("<i2")
    )


def until(condition):
    ends_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_s, "it never happened"
        time.sleep(0.01)


def recorded(card, blocks=20, channels=1):
    """Return what the microphone delivers."""
    got: list[np.ndarray] = []

    def listen(indata, frames, when, status):
        got.append(indata.copy())

    with sd.InputStream(device=card.name, channels=channels, callback=listen, **STREAM):
        until(lambda: len(got) >= blocks)
    return np.concatenate(got[:blocks])


@contextmanager
def calls(kind, card):
    """Yield a list that grows with each callback of a stream."""
    got: list[int] = []

    def count(*arguments):
        got.append(len(arguments))

    with kind(device=card.name, channels=1, callback=count, **STREAM):
        yield got


def is_quiet(got):
    """Return whether the list does not grow for thirty periods."""
    before = len(got)
    time.sleep(0.3)
    return len(got) == before


def does_not_return(call, end):
    """Return whether the call returns only after the end of the fault."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(0.2)
    is_stuck = thread.is_alive()
    end()
    thread.join(PATIENCE_S)
    return is_stuck and not thread.is_alive()


def refused(kind, card):
    """Return whether a stream of this kind cannot be opened."""
    try:
        kind(device=card.name, channels=1, **STREAM).close()
    except sd.PortAudioError:
        return True
    return False


def names():
    with PortAudio() as driver:
        return [str(device["name"]) for device in driver.devices()]


@pytest.mark.parametrize(
    ("name", "microphone", "speaker"),
    [
        ("microphone-busy", True, False),
        ("speaker-busy", False, True),
        ("not-permitted", True, True),
    ],
)
def test_a_direction_cannot_be_opened_until_the_cause_is_gone(
    tmp_path, name, microphone, speaker
):
    fault = FAULTS[name]
    card = fault.card(tmp_path / "card")
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        fault.begin(card)
        assert refused(sd.InputStream, card) is microphone
        assert refused(sd.OutputStream, card) is speaker
        fault.end(card)
        assert not refused(sd.InputStream, card)
        assert not refused(sd.OutputStream, card)


def test_a_card_with_late_permissions_can_be_opened_after_a_while(tmp_path):
    fault = replace(FAULTS["permission-late"], openable_after_ms=LATE_MS)
    card = fault.card(tmp_path / "card")
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        replace(fault, openable_after_ms=FOR_EVER_MS).begin(card)
        assert refused(sd.InputStream, card)
        began_s = time.monotonic()
        fault.begin(card)
        until(lambda: not refused(sd.InputStream, card))
        assert time.monotonic() - began_s >= LATE_MS / 1000


@pytest.mark.parametrize("name", ["open-slow", "open-hangs"])
def test_opening_does_not_return_while_the_fault_lasts(tmp_path, name):
    fault = FAULTS[name]
    card = fault.card(tmp_path / "card")
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        fault.begin(card)
        assert does_not_return(
            lambda: refused(sd.InputStream, card), lambda: fault.end(card)
        )


def test_starting_does_not_return_while_the_fault_lasts(tmp_path):
    fault = FAULTS["start-hangs"]
    with having(fault, tmp_path) as card:
        stream = sd.InputStream(device=card.name, channels=1, **STREAM)
        assert does_not_return(stream.start, lambda: fault.end(card))
        stream.close()


def test_starting_is_refused_with_the_words_for_missing_bandwidth(tmp_path):
    # Through alsa-lib, because PortAudio does not return then.
    alsa = ctypes.CDLL("libasound.so.2")
    pcm = ctypes.c_void_p()
    with having(FAULTS["start-refused"], tmp_path) as card:
        assert alsa.snd_pcm_open(ctypes.byref(pcm), card.name.encode(), CAPTURE, 0) == 0
        layout = S16_LE, INTERLEAVED, 1, 48_000, 0, 100_000
        assert alsa.snd_pcm_set_params(pcm, *layout) == 0
        assert alsa.snd_pcm_start(pcm) == -errno.ENOSPC
        alsa.snd_pcm_close(pcm)


def test_closing_an_unplugged_card_loops_and_writes_errors_until_it_is_back(
    tmp_path, capfd
):
    fault = FAULTS["error-loop"]
    card = fault.card(tmp_path / "card")
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        stream = sd.InputStream(device=card.name, channels=1, **STREAM)
        stream.start()
        fault.begin(card)
        # As PortAudio notices it.
        until(lambda: stream.cpu_load >= 0)

        def close():
            stream.abort()
            stream.close()

        assert does_not_return(close, lambda: fault.end(card))
    assert capfd.readouterr().err.count("Expression 'err' failed in 'pcm_ptt.c'") > 100


CAPTURE_FOR_EVER = """
import sys, threading, sounddevice as sd
with sd.InputStream(device=sys.argv[1], channels=1, callback=lambda *_: None):
    print("running", flush=True)
    threading.Event().wait()
"""


def test_a_crash_ends_the_process_that_has_a_stream(tmp_path):
    fault = FAULTS["crash"]
    card = fault.card(tmp_path / "card")
    env = os.environ | plug_in(tmp_path / "asound.conf", card)
    command = [sys.executable, "-c", CAPTURE_FOR_EVER, card.name]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"running\n"
        fault.begin(card)
        assert process.wait(PATIENCE_S) == -signal.SIGSEGV


@pytest.mark.parametrize(
    ("name", "kind"),
    [("microphone-dead", sd.InputStream), ("speaker-dead", sd.OutputStream)],
)
def test_a_dead_clock_makes_no_calls_and_the_other_direction_works(
    tmp_path, name, kind
):
    fault = FAULTS[name]
    others = {sd.InputStream, sd.OutputStream} - {kind}
    with having(fault, tmp_path) as card:
        with calls(others.pop(), card) as got:
            until(lambda: len(got) > 50)
        with calls(kind, card) as got:
            # The buffer of a speaker is filled before its clock matters.
            until(lambda: is_quiet(got))
            filled = len(got)
            fault.end(card)
            until(lambda: len(got) > filled + 20)


def test_a_silent_microphone_delivers_zeros_until_it_is_switched_on(tmp_path):
    fault = FAULTS["zeros"]
    with having(fault, tmp_path, is_looped=True) as card:
        card.speak(words(), 0.0)
        assert not recorded(card).any()
        fault.end(card)
        assert recorded(card).any()


def test_a_microphone_with_one_channel_has_sound_in_that_one_only(tmp_path):
    with having(FAULTS["one-channel"], tmp_path, is_looped=True) as card:
        card.speak(words(), 0.0)
        left, right = recorded(card, channels=2).T
    assert left.any()
    assert not right.any()


@pytest.mark.parametrize("name", ["s24", "s32"])
def test_samples_of_other_formats_are_the_same_sound(tmp_path, name):
    with having(FAULTS[name], tmp_path, is_looped=True, speaker_channels=1) as card:
        card.speak(words(), 0.0)
        got = recorded(card, blocks=40)[:, 0].astype(int)
        blocks = iter(words().reshape(-1, 480, 1))

        def speak(outdata, frames, when, status):
            outdata[:] = next(blocks, 0)

        with sd.OutputStream(device=card.name, channels=1, callback=speak, **STREAM):
            until(lambda: card.counts().speaker_frames > 3 * len(words()))
    looped = np.tile(words().astype(int), 3)
    places = range(len(words()))
    # PortAudio's dither changes the last bit.
    assert any(abs(looped[at : at + 480] - got[:480]).max() <= 2 for at in places)
    heard = card.heard().astype(int)
    first = int(np.flatnonzero(heard)[0])
    assert abs(heard[first : first + 4800] - words()[:4800]).max() <= 2


@pytest.mark.parametrize(
    ("name", "microphone_hz", "speaker_hz"),
    [
        ("44100-hz", 44_100, 44_100),
        ("22050-hz", 22_050, 22_050),
        ("16000-hz", 16_000, 16_000),
        ("8000-hz", 8_000, 8_000),
        ("rates-differ", 16_000, 48_000),
    ],
)
def test_a_direction_has_its_own_rate_only(tmp_path, name, microphone_hz, speaker_hz):
    checks = (
        (sd.check_input_settings, microphone_hz),
        (sd.check_output_settings, speaker_hz),
    )
    with having(FAULTS[name], tmp_path) as card:
        for check, own_hz in checks:
            check(card.name, channels=1, dtype="int16", samplerate=own_hz)
            with pytest.raises(sd.PortAudioError, match="Invalid sample rate"):
                check(card.name, channels=1, dtype="int16", samplerate=32_000)


@pytest.mark.parametrize("name", ["name-utf8", "name-bytes", "name-long"])
def test_a_card_with_an_odd_name_is_listed(tmp_path, name):
    with having(FAULTS[name], tmp_path) as card:
        shown = card.name.encode(errors="surrogateescape").decode(errors="replace")
        assert names() == [shown]


def test_a_fault_that_has_ended_leaves_no_control_set(tmp_path):
    for fault in FAULTS.values():
        card = fault.card(tmp_path / fault.name)
        untouched = (card.folder / "shared").read_bytes()
        fault.begin(card)
        fault.end(card)
        if not fault.openable_after_ms:
            assert (card.folder / "shared").read_bytes() == untouched


def test_each_control_is_used_and_each_fault_is_in_the_table():
    used = {control for fault in FAULTS.values() for control in fault.controls}
    assert used == set(Control) - {Control.OPENABLE_AT_NS}
    assert all(fault.condition in table() for fault in FAULTS.values())
