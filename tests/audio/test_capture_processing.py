"""Tests of when echo canceller and noise suppressor are used."""

import numpy as np
import pytest

from appliance.audio.capture_processing import (
    HANGOVER_BLOCKS,
    STALE_BLOCKS,
    WARM_UP_BLOCKS,
    CaptureProcessing,
)
from appliance.audio.dsp import level_dbfs
from appliance.audio.meter import FLOOR_DBFS
from appliance.config import SoundConfig
from appliance.pcm import BLOCK_FRAMES, RATE_HZ, SILENCE
from appliance.room.apm import ApmEchoCanceller, voice_cleaner
from tests.audio.fakes import Processor
from tests.room.fakes import tone

FAR = np.full(BLOCK_FRAMES, 3000, np.int16)
VOICE = 5000
CANCELLED = Processor.CANCELLED


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
