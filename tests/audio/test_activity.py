"""When the audio processing is worth its CPU though nobody talks."""

import numpy as np

from appliance.audio.activity import HANGOVER_BLOCKS, WARM_UP_BLOCKS, Activity
from appliance.pcm import SILENCE

LOUD = np.full(480, 100, np.int16)


def rested():
    attention = Activity()
    for _ in range(WARM_UP_BLOCKS):
        attention.take(SILENCE)
    return attention


def test_a_new_room_is_learned_for_a_while():
    attention = Activity()
    learns = []
    for _ in range(WARM_UP_BLOCKS + 5):
        attention.take(SILENCE)
        learns.append(attention.learns_room)
    assert learns == [True] * (WARM_UP_BLOCKS - 1) + [False] * 6


def test_a_voice_in_the_speaker_and_its_echo_are_listened_to():
    attention = rested()
    hears = []
    for played in [LOUD] + [SILENCE] * (HANGOVER_BLOCKS + 5):
        attention.take(played)
        hears.append(attention.hears_speaker)
    assert hears == [True] * HANGOVER_BLOCKS + [False] * 6


def test_zeros_that_are_not_the_known_silence_are_silence_too():
    attention = rested()
    attention.take(SILENCE.copy())
    assert not attention.hears_speaker


def test_another_card_is_another_room():
    attention = rested()
    attention.restart()
    attention.take(SILENCE)
    assert attention.learns_room
    assert not attention.hears_speaker
