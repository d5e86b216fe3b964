"""Tests of echo cancellation and noise suppression: when they work, and on a card."""

import asyncio
import time

import numpy as np
import pytest

from appliance.audio.adapter import AudioAdapter
from appliance.audio.dsp import FLOOR_DBFS, level_dbfs
from appliance.audio.echo_cancellation import (
    HANGOVER_BLOCKS,
    STALE_BLOCKS,
    WARM_UP_BLOCKS,
    CaptureProcessing,
)
from appliance.audio.portaudio import PortAudio
from appliance.config import Config, SoundConfig
from appliance.core.commands import OpenGate, OpenSound, SetVolume
from appliance.core.events import PartFound
from appliance.pcm import BLOCK_FRAMES, RATE_HZ, SILENCE
from appliance.room.apm import ApmEchoCanceller, echo_canceller, voice_cleaner
from tests.audio.fakes import Processor
from tests.card.asound import Card, plug_in
from tests.card.sounddevice_access import environment
from tests.room.fakes import tone

FAR = np.full(BLOCK_FRAMES, 3000, np.int16)
VOICE = 5000
CANCELLED = Processor.CANCELLED
SECONDS = 3
TRIES = 3
"""A stall of the machine may disturb the canceller, which needs a second to adapt. One
success of several attempts is enough."""
PATIENCE_S = 60.0
"""Time for further attempts, if the card had xruns in those that failed: each shifts
the echo."""


class Rig:
    """Processing after its warm-up and a long silence."""

    def __init__(self):
        self.parts = Processor()
        self.processing = CaptureProcessing(self.parts, self.parts)
        self.processing.restart(20)
        for _ in range(WARM_UP_BLOCKS):
            self.hear(0)
        self.parts.cleaned = 0
        self.parts.cancelled = 0

    def hear(self, value, played=SILENCE, *, is_wanted=False, is_voice=False):
        """Return the result for a block of this value."""
        block = np.full(BLOCK_FRAMES, value, np.int16)
        self.processing.clean(block, played, is_wanted=is_wanted, is_voice=is_voice)
        return block

    def talk(self, played=SILENCE):
        return self.hear(VOICE, played, is_wanted=True, is_voice=True)


@pytest.fixture
def rig():
    return Rig()


def test_without_playback_speech_bypasses_the_echo_canceller(rig):
    assert (rig.talk() == VOICE + 1).all()
    assert (rig.parts.cancelled, rig.parts.cleaned) == (0, 1)
    assert rig.processing.is_at_work


def test_during_playback_without_talking_only_the_echo_canceller_adapts(rig):
    for _ in range(5):
        rig.hear(10, FAR)
    assert (rig.parts.cancelled, rig.parts.cleaned) == (5, 0)
    assert rig.parts.delay_ms == 20
    assert rig.processing.is_at_work
    assert rig.processing.has_echo


def test_in_silence_only_the_noise_suppressor_adapts(rig):
    heard = rig.hear(10)
    assert (rig.parts.cancelled, rig.parts.cleaned) == (0, 1)
    assert (heard == 10).all()
    assert not rig.processing.is_at_work


def test_noise_that_began_while_the_gate_was_closed_is_not_sent_louder():
    """With LiveKit's noise suppressor; in idle mode one block in eight is processed."""
    processing = CaptureProcessing(None, voice_cleaner(SoundConfig()))
    processing.restart(20)
    random = np.random.default_rng(2)
    quiet = random.standard_normal((2 * WARM_UP_BLOCKS, BLOCK_FRAMES)) * 8
    noise = random.standard_normal((1100, BLOCK_FRAMES)) * 100
    for block in quiet.astype(np.int16):
        processing.clean(block, SILENCE, is_wanted=False, is_voice=False)
    blocks = noise.astype(np.int16)
    for count, block in enumerate(blocks):
        is_wanted = count >= 1000
        if not is_wanted and count % 8 == 7:
            processing.adapt(block)
        if is_wanted or count % 8 == 7:
            processing.clean(block, SILENCE, is_wanted=is_wanted, is_voice=False)
    before_dbfs = level_dbfs(noise.astype(np.int16).reshape(-1))
    assert level_dbfs(blocks[1000:].reshape(-1)) < before_dbfs + 3


def test_a_voice_is_cleaned_while_the_gate_is_closed_too(rig):
    """The meter shows its level."""
    rig.hear(VOICE, is_voice=True)
    assert rig.parts.cleaned == 1


def test_a_new_card_restarts_the_warm_up(rig):
    rig.processing.restart(20)
    rig.hear(10)
    assert rig.parts.cleaned == 1


def test_speech_uses_the_echo_cancellers_output_soon_after_playback_begins(rig):
    rig.talk()
    for _ in range(STALE_BLOCKS):
        said = rig.talk(FAR)
        assert (said == VOICE + 1).all(), "what the canceller gives is of another time"
    said = rig.talk(FAR)
    assert said[0] == VOICE + 1
    assert said[-1] == CANCELLED + 1
    assert (np.diff(said.astype(int)) <= 0).all(), "from one to the other, no jump"
    assert (rig.talk(FAR) == CANCELLED + 1).all()


def test_speech_keeps_using_the_echo_cancellers_output_until_a_pause(rig):
    for _ in range(STALE_BLOCKS + 1):
        rig.talk(FAR)
    for _ in range(2 * HANGOVER_BLOCKS):
        assert (rig.talk() == CANCELLED + 1).all()
    # Its output is later: the end of the word is still in it.
    assert (rig.hear(20, is_wanted=True) == CANCELLED + 1).all()
    rig.parts.CANCELLED = 10
    said = rig.hear(20, is_wanted=True)
    assert (said[0], said[-1]) == (11, 21)
    assert (np.diff(said.astype(int)) >= 0).all(), "from one to the other, no jump"
    before = rig.parts.cancelled
    assert (rig.talk() == VOICE + 1).all()
    assert rig.parts.cancelled == before


def test_closing_the_gate_counts_as_a_pause(rig):
    for _ in range(HANGOVER_BLOCKS + 5):
        rig.talk(FAR)
    for _ in range(HANGOVER_BLOCKS + 1):
        rig.hear(VOICE, is_voice=True)
    assert (rig.talk() == VOICE + 1).all()


def test_warm_up_does_not_use_the_echo_cancellers_output(rig):
    rig.processing.restart(20)
    for _ in range(STALE_BLOCKS + 2):
        said = rig.talk()
    assert rig.parts.cancelled == STALE_BLOCKS + 2
    assert (said == VOICE + 1).all()


def test_the_echo_is_cancelled_if_talking_begins_during_playback(rig):
    for _ in range(5):
        rig.hear(10, FAR)
    assert (rig.talk(FAR) == CANCELLED + 1).all()


@pytest.mark.parametrize("has_canceller", [True, False])
def test_processing_that_is_switched_off_changes_nothing(has_canceller):
    parts = Processor()
    processing = CaptureProcessing(*((parts, None) if has_canceller else (None, parts)))
    for _ in range(3):
        block = np.full(BLOCK_FRAMES, VOICE, np.int16)
        processing.clean(block, FAR, is_wanted=True, is_voice=True)
    assert (parts.cancelled, parts.cleaned) == ((3, 0) if has_canceller else (0, 3))
    assert processing.has_echo


def test_switching_the_echo_canceller_in_and_out_does_not_click():
    """With LiveKit's echo canceller and a tone, in which any click shows."""
    processing = CaptureProcessing(ApmEchoCanceller(), None)
    processing.restart(20)
    speech = tone(400, 2 * RATE_HZ)
    far = (np.random.default_rng(1).standard_normal(len(speech)) * 300).astype(np.int16)
    blocks = speech.reshape(-1, BLOCK_FRAMES).copy()
    for count, block in enumerate(blocks):
        is_far = 50 <= count < 60
        played = far.reshape(blocks.shape)[count] if is_far else SILENCE
        processing.clean(block, played, is_wanted=count < 150, is_voice=True)
    said = blocks.reshape(-1).astype(int)
    before, after = (np.abs(np.diff(x)).max() for x in (speech.astype(int), said))
    assert after <= 1.5 * before
    assert (blocks[-1] == speech[-BLOCK_FRAMES:]).all()


def test_a_microphone_of_zeros_has_no_level_on_the_meter_while_somebody_is_heard():
    """The echo canceller's comfort noise is too faint to be shown."""
    config = SoundConfig()
    processing = CaptureProcessing(ApmEchoCanceller(), voice_cleaner(config))
    far = tone(700, RATE_HZ * 3).reshape(-1, BLOCK_FRAMES)
    levels = []
    for played in far:
        block = np.zeros(BLOCK_FRAMES, np.int16)
        processing.clean(block, played, is_wanted=True, is_voice=False)
        levels.append(level_dbfs(block))
    assert max(levels) < FLOOR_DBFS


def speech_like():
    """Return band-limited noise with the envelope of syllables."""
    count = SECONDS * 48_000
    spectrum = np.fft.rfft(np.random.default_rng(1).normal(size=count))
    at = np.fft.rfftfreq(count, 1 / 48_000)
    spectrum[(at < 150) | (at > 3500)] = 0
    syllables = np.sin(2 * np.pi * 3 * np.arange(count) / 48_000) > -0.3
    samples = np.fft.irfft(spectrum) * syllables
    return (samples / np.abs(samples).max() * 20_000).astype(np.int16)


async def echo_dbfs(config: SoundConfig) -> float:
    """Return the level of the echo sent in the last second."""
    opened, sent = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def post(event: object) -> None:
        if isinstance(event, PartFound):
            loop.call_soon_threadsafe(opened.set)

    processing = CaptureProcessing(echo_canceller(config), voice_cleaner(config))
    adapter = AudioAdapter(Config(sound=config), post, PortAudio, processing)
    async with adapter:
        adapter.do(SetVolume(100))
        adapter.do(OpenSound())
        adapter.do(OpenGate())
        await opened.wait()
        say = adapter.mixer.add("far end")
        adapter.encoder_feed.connect(lambda block: sent.append(block.copy()))
        begun_s = time.monotonic()
        for count, block in enumerate(speech_like().reshape(-1, BLOCK_FRAMES)):
            say(block)
            await asyncio.sleep(max(0, begun_s + count / 100 - time.monotonic()))
        adapter.encoder_feed.disconnect()
    return level_dbfs(np.concatenate(sent[-100:]))


def count_of_xruns(card):
    counts = card.counts()
    return counts.overruns + counts.underruns


@pytest.mark.parametrize("echo_ms", [30, 120])
async def test_echo_cancellation_removes_the_speakers_sound_from_the_sent_sound(
    tmp_path, echo_ms
):
    card = Card(tmp_path / "usb", echo_gain=0.3, echo_ms=echo_ms)
    ends_s, tries = time.monotonic() + PATIENCE_S, 0
    off = SoundConfig(
        echo_cancellation=False,
        noise_suppression=False,
        high_pass_filter=False,
        automatic_gain=False,
    )
    only_echo = SoundConfig(
        noise_suppression=False, high_pass_filter=False, automatic_gain=False
    )
    with environment(plug_in(tmp_path / "asound.conf", card)):
        before = await echo_dbfs(off)
        assert before > -45, "the card really has an echo"
        while tries < TRIES and time.monotonic() < ends_s:
            xruns = count_of_xruns(card)
            after = await echo_dbfs(only_echo)
            if after < before - 20:
                return
            tries += count_of_xruns(card) == xruns
    pytest.fail(f"{before:.0f} dBFS without and {after:.0f} with echo cancellation")
