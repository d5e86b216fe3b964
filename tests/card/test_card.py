"""Tests that the virtual card behaves as a USB card through PortAudio and alsa-lib."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import sounddevice as sd

from tests.card.asound import Card, plug_in
from tests.card.measure import bursts, lag, mouth_to_ear_s
from tests.card.sounddevice_access import look_again, seen_here

RATE_HZ = 48_000
BLOCK = 480
# Long, so that a busy machine loses no block.
LATENCY_S = 0.3
STREAM = {"samplerate": RATE_HZ, "blocksize": BLOCK, "dtype": "int16"}
STREAM |= {"latency": LATENCY_S, "channels": 1}


@pytest.fixture
def card(tmp_path):
    return Card(tmp_path / "card")


def noise(seconds, seed=1):
    rng = np.random.default_rng(seed)
    samples = rng.normal(0.0, 3000.0, round(seconds * RATE_HZ))
    return samples.round().astype(np.int16)


def until(condition: Callable[[], bool], most_s: float = 10.0) -> None:
    """Wait for the card, which runs in real time."""
    ends_s = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < ends_s, "it never happened"
        time.sleep(0.01)


def soon(card: Card) -> float:
    """Return a moment of the card in the near future, at which a block begins."""
    return round(card.now_s() + 0.3, 1)


def wait_for(card: Card, at_s: float) -> None:
    until(lambda: card.now_s() > at_s)


class Copier:
    """Duplex stream that plays the captured sound and stores both."""

    def __init__(self, device, latency=LATENCY_S, rate_hz=RATE_HZ, nap_s=0.0):
        self.blocks = 0
        self.recorded: list[np.ndarray] = []
        self.flags: list[str] = []
        self.is_finished = threading.Event()
        self.nap_s = nap_s
        self.stream = sd.Stream(
            device=device,
            samplerate=rate_hz,
            blocksize=BLOCK,
            channels=1,
            dtype="int16",
            latency=latency,
            callback=self._on_block,
            finished_callback=self.is_finished.set,
        )

    def _on_block(self, indata, outdata, frames, when, status):
        outdata[:] = indata
        self.recorded.append(indata[:, 0].copy())
        self.blocks += 1
        if status:
            self.flags.append(str(status))
        if self.nap_s:
            # The test needs a callback that takes too long.
            time.sleep(self.nap_s)
            self.nap_s = 0.0

    def run(self, blocks):
        goal = self.blocks + blocks
        until(lambda: self.blocks >= goal)


def undisturbed(tmp_path, play, **options):
    """Return the result of `play(card)` from an attempt without xruns."""
    tmp_path.mkdir(exist_ok=True)
    for take in range(5):
        card = Card(tmp_path / f"take{take}", **options)
        with seen_here(plug_in(tmp_path / "asound.conf", card)):
            result = play(card)
        counts = card.counts()
        if counts.overruns == counts.underruns == 0:
            return result
    return pytest.fail("the machine is too busy for a sound card")


def names():
    return [device["name"] for device in sd.query_devices()]


def is_quiet(copier):
    """Return whether no block arrives for three periods of 80 ms."""
    before = copier.blocks
    time.sleep(0.25)
    return copier.blocks == before


def first_sound(samples):
    return int(np.flatnonzero(samples)[0])


def test_portaudio_lists_each_card_by_name_with_its_directions(tmp_path):
    both = Card(tmp_path / "a", name="USB PnP Sound Device")
    microphone = Card(tmp_path / "b", name="Kitchen Mic", speaker_channels=0)
    speaker = Card(tmp_path / "c", name="Garage Speaker", microphone_channels=0)
    env = plug_in(tmp_path / "asound.conf", both, microphone, speaker, default=both)
    with seen_here(env):
        listed = [
            (d["name"], d["max_input_channels"], d["max_output_channels"])
            for d in sd.query_devices()
        ]
        assert sd.query_devices(kind="input")["name"] == "default"
    assert listed == [
        ("USB PnP Sound Device", 1, 2),
        ("Kitchen Mic", 1, 0),
        ("Garage Speaker", 0, 2),
        ("default", 1, 2),
    ]


def test_a_card_can_be_named_as_portaudio_names_real_ones(tmp_path):
    card = Card(tmp_path / "card", name="USB PnP Sound Device: Audio (hw:1,0)")
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        assert names() == [card.name]
        copier = Copier(card.name)
        with copier.stream:
            copier.run(10)


def test_a_duplex_stream_passes_the_stimulus_unchanged(tmp_path):
    words = noise(0.5)

    def play(card):
        copier = Copier(card.name)
        with copier.stream:
            copier.run(10)
            at_s = soon(card)
            card.speak(words, at_s)
            wait_for(card, at_s + 1.5)
        return card.heard(at_s)

    heard = undisturbed(tmp_path, play)
    start = first_sound(heard)
    assert np.array_equal(heard[start : start + len(words)], words)
    assert mouth_to_ear_s(words, heard) == start / RATE_HZ


def test_the_delay_of_a_duplex_stream_is_the_same_each_time_it_is_opened(tmp_path):
    def play(card):
        copier = Copier(card.name)
        with copier.stream:
            copier.run(5)
            at_s = soon(card)
            card.speak(noise(0.3), at_s)
            wait_for(card, at_s + 1.0)
        return lag(noise(0.3), card.heard(at_s), RATE_HZ)[0]

    delays = {undisturbed(tmp_path / name, play) for name in "abc"}
    assert len(delays) == 1
    assert delays.pop() % BLOCK == 0


@pytest.mark.parametrize("ppm", [-5000.0, 0.0, 5000.0])
def test_the_card_captures_at_the_rate_of_its_own_clock(tmp_path, ppm):
    words = noise(8.0)

    def play(card):
        card.speak(words, 0.0)
        copier = Copier(card.name)
        with copier.stream:
            copier.run(200)
        return np.concatenate(copier.recorded)

    recorded = undisturbed(tmp_path, play, ppm=ppm)
    # 5 ms: the drift is one sample at most.
    first = lag(recorded[:240], words, len(words))[0]
    last = lag(recorded[95_760:96_000], words, len(words))[0]
    # The stimulus follows real time: a fast card captures more frames of it.
    expected = 95_760 / (1.0 + ppm / 1e6)
    assert last - first == pytest.approx(expected, abs=3.0)


@pytest.mark.parametrize("ppm", [-300.0, 300.0])
def test_the_output_of_a_card_with_clock_drift_is_recorded_in_real_time(tmp_path, ppm):
    # Below 3 kHz, so that interpolating twice does not change it.
    words = np.convolve(noise(1.0), np.hanning(32) / 4, "same").astype(np.int16)

    def play(card):
        copier = Copier(card.name)
        with copier.stream:
            copier.run(5)
            at_s = card.now_s() + 0.5
            card.speak(words, at_s)
            wait_for(card, at_s + 1.7)
        return card.heard(at_s)

    (burst,) = bursts(words, undisturbed(tmp_path, play, ppm=ppm), [(0.0, 1.0)])
    assert burst.likeness > 0.999
    assert burst.lost_start_ms == burst.lost_end_ms == burst.lost_within_ms == 0


def test_a_card_refuses_a_rate_it_does_not_have(tmp_path, card):
    card = replace(card, rates_hz=(44_100,))
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        assert sd.query_devices(0)["default_samplerate"] == 44_100
        with pytest.raises(sd.PortAudioError, match="Invalid sample rate"):
            sd.check_input_settings(0, samplerate=48_000)
        copier = Copier(card.name, rate_hz=44_100)
        with copier.stream:
            copier.run(20)


def test_a_card_with_input_only_loops_its_stimulus(tmp_path):
    words = noise(0.5)

    def play(card):
        card.speak(words, 0.0)
        got: list[np.ndarray] = []

        def listen(indata, frames, when, status):
            got.append(indata[:, 0].copy())

        with sd.InputStream(device=card.name, callback=listen, **STREAM):
            until(lambda: len(got) > 150)
        return np.concatenate(got)

    got = undisturbed(tmp_path, play, speaker_channels=0, is_looped=True)
    at = lag(got[:480], np.tile(words, 2), len(words))[0]
    assert np.array_equal(got[: 3 * RATE_HZ // 2], np.tile(words, 4)[at:][:72_000])


def test_a_card_with_output_only_plays_its_samples(tmp_path):
    words = noise(0.5)

    def play(card):
        blocks = iter(words.reshape(-1, BLOCK, 1))

        def speak(outdata, frames, when, status):
            outdata[:] = next(blocks, 0)

        with sd.OutputStream(device=card.name, callback=speak, **STREAM):
            until(lambda: card.counts().speaker_frames > 3 * RATE_HZ // 2)
        return card.heard()

    heard = undisturbed(tmp_path, play, microphone_channels=0)
    assert np.array_equal(heard[first_sound(heard) :][: len(words)], words)


def test_a_second_stream_on_the_same_microphone_is_refused(tmp_path, card):
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        first = Copier(card.name)
        with pytest.raises(sd.PortAudioError):
            sd.InputStream(device=card.name, samplerate=RATE_HZ)
        first.stream.close()
        sd.InputStream(device=card.name, samplerate=RATE_HZ).close()


def test_unplugging_raises_no_error_and_replugging_needs_a_new_stream(tmp_path, card):
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        copier = Copier(card.name)
        copier.stream.start()
        copier.run(10)

        card.unplug()
        until(lambda: is_quiet(copier))
        assert copier.stream.active
        assert not copier.flags
        assert not copier.is_finished.is_set()
        card.plug()
        assert is_quiet(copier)
        assert copier.stream.active
        copier.stream.abort()
        copier.stream.close()

        look_again()
        copier = Copier(card.name)
        with copier.stream:
            copier.run(10)


def test_an_unplugged_card_is_not_listed_and_cannot_be_opened(tmp_path, card):
    other = Card(tmp_path / "other", name="Garage Speakerphone")
    with seen_here(plug_in(tmp_path / "asound.conf", card, other)):
        card.unplug()
        with pytest.raises(sd.PortAudioError):
            Copier(0)
        look_again()
        assert names() == ["Garage Speakerphone"]
        card.plug()
        look_again()
        assert names() == [card.name, "Garage Speakerphone"]


def test_a_stalled_card_resumes_at_the_present_time(tmp_path):
    def play(card):
        copier = Copier(card.name)
        with copier.stream:
            copier.run(10)
            card.speak(noise(0.3), (before_s := soon(card)))
            wait_for(card, before_s + 1.0)
            card.stall()
            until(lambda: is_quiet(copier))
            card.resume()
            copier.run(10)
            card.speak(noise(0.3), (after_s := soon(card)))
            wait_for(card, after_s + 1.0)
        heard = [card.heard(at_s) for at_s in (before_s, after_s)]
        return [lag(noise(0.3), x, RATE_HZ)[0] for x in heard], copier.flags

    (before, after), flags = undisturbed(tmp_path, play)
    assert before == after
    assert not flags


def test_a_late_block_causes_an_underrun_and_silence(tmp_path, card):
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        copier = Copier(card.name, latency=0.02)
        with copier.stream:
            copier.run(10)
            before = card.counts().underruns
            copier.nap_s = 0.5
            copier.run(50)
    assert card.counts().underruns > before
    assert any("output underflow" in flags for flags in copier.flags)


def test_the_microphone_captures_the_echo_if_configured(tmp_path):
    words = noise(0.2) // 2 * 2

    def play(card):
        blocks = iter(words.reshape(-1, BLOCK, 1))
        recorded: list[np.ndarray] = []

        def on_block(indata, outdata, frames, when, status):
            recorded.append(indata[:, 0].copy())
            outdata[:] = next(blocks, 0)

        with sd.Stream(device=card.name, callback=on_block, **STREAM):
            until(lambda: len(recorded) > 200)
        return np.concatenate(recorded)

    echo = undisturbed(tmp_path, play, echo_gain=0.5, echo_ms=800)
    assert np.array_equal(echo[first_sound(echo) :][: len(words)], words // 2)


COPY = """
import sys, sounddevice as sd
def copy(indata, outdata, frames, when, status):
    outdata[:] = indata
with sd.Stream(samplerate=48000, blocksize=480, channels=1, dtype="int16",
               latency=0.3, device=sys.argv[1], callback=copy):
    print("running", flush=True)
    sys.stdin.read()
"""


def test_stimulus_and_recording_work_while_another_process_plays(tmp_path):
    def play(card):
        with subprocess.Popen(
            [sys.executable, "-c", COPY, card.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"running\n"
            at_s = card.now_s() + 0.5
            card.speak(noise(0.3), at_s)
            wait_for(card, at_s + 1.0)
            process.communicate(b"")
        return card.heard(at_s)

    (burst,) = bursts(noise(0.3), undisturbed(tmp_path, play), [(0.0, 0.3)])
    assert burst.likeness == pytest.approx(1.0)
    assert burst.delay_s > 0.0
