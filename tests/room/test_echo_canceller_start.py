"""Near-end speech and echo in the first seconds of a new echo canceller."""

import numpy as np
import pytest

from appliance.audio.dsp import level_dbfs
from appliance.demo.simulated_card import phrase
from appliance.pcm import BLOCK_FRAMES, RATE_HZ
from appliance.room.apm import ApmEchoCanceller

CANCELLER_DELAY = 432
"""9 ms, in samples."""
LOST_DB = 12
SPEECH_DBFS = -40
LEAD_S = 0.2
"""Silence before the far end begins."""

ECHO_DB = -20
NO_ECHO = None
"""Else a pair: gain in dB and delay in ms from speaker to microphone."""
MAX_LOST_BLOCKS = 12
"""Of the 100. A canceller that has listened for 8 s takes 5 to 12 of them where both
speak and there is an echo; one that was never prepared 31 to 78."""


def far_speech(seconds):
    """Return another, higher voice without pauses."""
    speech = phrase()[::-1].astype(float) * 0.5
    higher = np.interp(np.arange(0, len(speech) - 1, 1.31), range(len(speech)), speech)
    return np.resize(higher, round(seconds * RATE_HZ))


def echo_of(played, path):
    """Return what the microphone hears of it, with 20 ms of reverberation."""
    if path is None:
        return np.zeros_like(played)
    gain_db, delay_ms = path
    room = np.random.default_rng(3).standard_normal(960) * np.exp(-np.arange(960) / 240)
    room[0] = 4.0
    room *= 10 ** (gain_db / 20) / np.sqrt((room**2).sum())
    delay = delay_ms * RATE_HZ // 1000
    return np.pad(np.convolve(played, room), (delay, 0))[: len(played)]


def after_canceller(microphone, played):
    """Return what a new canceller leaves, without its delay."""
    canceller = ApmEchoCanceller()
    blocks = len(played) // BLOCK_FRAMES
    heard, far = (
        x[: blocks * BLOCK_FRAMES].round().astype(np.int16).reshape(blocks, -1)
        for x in (microphone, played)
    )
    for block, reference in zip(heard, far, strict=True):
        canceller.cancel(block, reference, 20)
    return np.pad(heard.reshape(-1)[CANCELLER_DELAY:], (0, CANCELLER_DELAY))


def levels_dbfs(samples):
    blocks = samples.astype(float).reshape(-1, BLOCK_FRAMES)
    return 10 * np.log10((blocks**2).mean(axis=1) + 1e-9) - 20 * np.log10(32_768)


def lost_blocks(path, far_s):
    """Return how many of the first 100 blocks of an interruption are lost."""
    near = phrase()[:RATE_HZ].astype(float)
    begin = round((LEAD_S + far_s) * RATE_HZ) // BLOCK_FRAMES * BLOCK_FRAMES
    played = np.pad(far_speech(far_s + 1.2), (round(LEAD_S * RATE_HZ), 0))
    said = np.zeros(len(played))
    said[begin : begin + len(near)] = near
    noise = np.random.default_rng(2).standard_normal(len(said)) * 10
    left = after_canceller(said + noise + echo_of(played, path), played)
    said, left = (levels_dbfs(x[begin : begin + RATE_HZ]) for x in (said, left))
    return np.count_nonzero((said > SPEECH_DBFS) & (left < said - LOST_DB))


@pytest.mark.parametrize("far_s", [0.0, 0.1, 0.5, 1.0, 3.0])
def test_an_interruption_is_heard_where_the_microphone_does_not_hear_the_speaker(far_s):
    assert lost_blocks(NO_ECHO, far_s) <= MAX_LOST_BLOCKS


@pytest.mark.parametrize("far_s", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("delay_ms", [20, 40, 60])
def test_an_interruption_is_heard_before_the_echo_path_is_learned(far_s, delay_ms):
    assert lost_blocks((ECHO_DB, delay_ms), far_s) <= MAX_LOST_BLOCKS


@pytest.mark.parametrize("delay_ms", [20, 40, 60])
def test_an_echo_is_removed_from_the_second_half_second_on(delay_ms):
    played = far_speech(6.0)
    echo = echo_of(played, (ECHO_DB, delay_ms))
    left = after_canceller(echo, played)
    parts = [
        slice(at, at + RATE_HZ) for at in range(RATE_HZ // 2, 5 * RATE_HZ, RATE_HZ)
    ]
    reduced_db = [
        level_dbfs(echo[part].astype(np.int16)) - level_dbfs(left[part])
        for part in parts
    ]
    assert min(reduced_db) > 25


def test_every_canceller_starts_alike():
    played = far_speech(0.5)
    first, second = (after_canceller(played / 2, played) for _ in range(2))
    assert (first == second).all()
