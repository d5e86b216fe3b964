"""Tests of the detection of blocks worth adapting to."""

import numpy as np

from appliance.audio.activity import HANGOVER_BLOCKS, WARM_UP_BLOCKS, Activity
from appliance.pcm import SILENCE

LOUD = np.full(480, 100, np.int16)


def rested():
    activity = Activity()
    for _ in range(WARM_UP_BLOCKS):
        activity.take(SILENCE)
    return activity


def test_the_noise_estimate_warms_up_after_the_start():
    activity = Activity()
    learns = []
    for _ in range(WARM_UP_BLOCKS + 5):
        activity.take(SILENCE)
        learns.append(activity.is_learning_noise)
    assert learns == [True] * (WARM_UP_BLOCKS - 1) + [False] * 6


def test_playback_and_the_decay_of_its_echo_count_as_echo():
    activity = rested()
    is_sounding = []
    for played in [LOUD] + [SILENCE] * (HANGOVER_BLOCKS + 5):
        activity.take(played)
        is_sounding.append(activity.has_echo)
    assert is_sounding == [True] * HANGOVER_BLOCKS + [False] * 6


def test_a_block_of_zeros_counts_as_silence():
    activity = rested()
    activity.take(SILENCE.copy())
    assert not activity.has_echo


def test_reopening_the_card_restarts_the_warm_up():
    activity = rested()
    activity.restart()
    activity.take(SILENCE)
    assert activity.is_learning_noise
    assert not activity.has_echo
