"""Tests of the mixer, sample by sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.dsp import CEILING, FADE_FRAMES, SILENCE_DBFS, volume_gain
from appliance.audio.earcons import earcon_samples
from appliance.audio.mixer import EARCON_LATEST_S, MAX_TALKERS, Mixer
from appliance.core.commands import Earcon
from appliance.pcm import BLOCK_FRAMES
from tests.audio.fakes import Clock

MAX_STEP = 1600
"""0.05 of full scale: a larger step within one sample clicks."""
LATEST_BLOCKS = 4
"""Delay after which a talker is heard: the jitter buffer's."""


class Room:
    """Mixer with talkers whose blocks arrive every 10 ms and are played 5 ms later."""

    def __init__(self, talkers, percent=100, *, is_half_duplex=False):
        self._clock = Clock()
        self.mixer = Mixer(is_half_duplex=is_half_duplex, now_s=self._clock)
        self.mixer.set_volume(percent)
        self._writes = [self.mixer.add(f"talker {n}") for n in range(talkers)]

    def come_back(self, number):
        """Add a talker who had left."""
        self._writes[number] = self.mixer.add(f"talker {number}")

    def wait(self, seconds):
        """Let the card play while nothing arrives."""
        for _ in range(seconds * 100):
            self._clock.now_s += 0.01
            self.mixer.next()

    def write(self, *values, blocks=1):
        """Let sound arrive while there is no speaker."""
        for _ in range(blocks):
            self._clock.now_s += 0.01
            for write, value in zip(self._writes, values, strict=True):
                write(np.full(480, value, np.int16))

    def say(self, *values, blocks=1):
        """Return what is played, silence included, for constant or given samples."""
        played = []
        for _ in range(blocks):
            for write, value in zip(self._writes, values, strict=True):
                write(np.full(480, value).astype(np.int16))
            self._clock.now_s += 0.005
            block = self.mixer.next()
            played.append(np.zeros(480, np.int16) if block is None else block.copy())
            self._clock.now_s += 0.005
        return np.concatenate(played)


@pytest.mark.parametrize("percent", [10, 80, 86, 87, 100])
def test_a_single_talker_is_scaled_by_the_volume(percent):
    played = Room(1, percent).say(-20_000, blocks=20)[-480:]
    assert (played == round(-20_000 * volume_gain(percent))).all()
    assert played.dtype == np.int16


@given(st.integers(0, 100), st.integers(-32_768, 32_767))
def test_a_single_talker_never_wraps_around(percent, peak):
    """The spline overshoots a square wave at full scale."""
    room, square = Room(1, percent), np.repeat([peak, -peak - 1], 240)
    played = room.say(square, blocks=8).astype(np.int32)
    assert np.abs(played).max() <= CEILING + 1


def test_after_limiting_a_single_talker_recovers_gradually():
    room = Room(3, 80)
    room.say(30_000, 30_000, 30_000, blocks=20)
    after = room.say(10_000, 0, 0, blocks=30)
    assert after[4800] < round(10_000 * volume_gain(80))


def test_several_talkers_are_added():
    assert (Room(2).say(1000, -300, blocks=20)[-480:] == 700).all()


def test_silent_and_removed_talkers_are_not_sounding():
    room = Room(1)
    room.say(3000, blocks=5)
    assert room.mixer.is_sounding("talker 0")
    room.say(0, blocks=60)
    assert not room.mixer.is_sounding("talker 0")
    room.say(3000)
    assert room.mixer.is_sounding("talker 0")
    room.mixer.remove("talker 0")
    assert not room.mixer.is_sounding("talker 0")


def test_a_talker_who_was_muted_for_an_hour_is_heard_from_the_first_block():
    room = Room(1)
    assert room.say(3000, blocks=50).max() == 3000
    room.wait(3600)
    peaks = room.say(3000, blocks=20).reshape(20, 480).max(axis=1)
    assert sum(peaks == 3000) >= 20 - LATEST_BLOCKS


def test_a_talker_is_not_sounding_while_no_speaker_plays():
    clock = Clock()
    mixer = Mixer(now_s=clock)
    write = mixer.add("talker")
    for _ in range(100):
        clock.now_s += 0.01
        write(np.full(480, 3000, np.int16))
        assert not mixer.is_sounding("talker")
        assert mixer.is_idle
        assert mixer.depth_s == 0.0


def test_a_talker_is_not_sounding_any_more_when_the_speaker_is_gone():
    room = Room(1)
    room.say(3000, blocks=20)
    assert room.mixer.is_sounding("talker 0")
    assert room.mixer.level_dbfs > -40
    was_idle = room.mixer.is_idle
    room.write(3000, blocks=100)
    assert not room.mixer.is_sounding("talker 0")
    assert room.mixer.level_dbfs == SILENCE_DBFS
    assert (was_idle, room.mixer.is_idle) == (False, True)
    room.say(3000, blocks=20)
    assert room.mixer.is_sounding("talker 0")


def test_an_earcon_is_heard_if_the_speaker_is_opened_soon_and_else_never():
    for waited_s, peak in ((EARCON_LATEST_S / 2, 1000), (EARCON_LATEST_S + 1, 0)):
        room = Room(0)
        room.mixer.play(np.full(480, 1000, np.float32))
        assert room.mixer.is_idle, "nothing waits for a speaker that is not there"
        room.write(blocks=round(waited_s * 100))
        assert room.say(blocks=3).max() == peak


def test_dropped_earcons_are_not_played():
    room = Room(0)
    room.mixer.play(np.full(480, 1000, np.float32))
    room.mixer.drop_earcons()
    assert not room.say(blocks=3).any()


def test_an_earcon_over_loud_voices_is_limited_and_not_clipped():
    room = Room(2)
    room.say(14_000, 14_000, blocks=20)
    room.mixer.play(np.full(4800, 12_000, np.float32))
    played = room.say(14_000, 14_000, blocks=12)
    assert played.max() <= CEILING + 1
    assert np.abs(np.diff(played[960:4000].astype(int))).max() < 100, "no clipped edge"


def test_after_a_silence_the_first_word_is_not_softened_by_what_was_loud_before():
    room = Room(3)
    room.say(16_000, 16_000, 16_000, blocks=20)
    room.wait(5)
    played = room.say(9000, 0, 0, blocks=12)
    # It fades in within a block.
    spoken = played[np.flatnonzero(played)[0] + 480 :]
    assert spoken.min() >= 8990


def test_the_echo_reference_has_the_voices_without_the_earcon():
    room = Room(1)
    room.say(1000, blocks=20)
    room.mixer.play(np.full(960, 4000, np.float32))
    assert (room.say(1000) == 5000).all()
    reference = room.mixer.reference
    assert reference is not None
    assert (reference == 1000).all()


def test_an_earcon_that_is_requested_while_another_sounds_replaces_it():
    room = Room(0)
    room.mixer.play(np.full(4800, 1000, np.float32))
    room.say()
    room.mixer.play(np.full(480, 2000, np.float32))
    assert (room.say()[FADE_FRAMES:] == 2000).all()
    assert not room.say().any()


def test_an_earcon_that_is_replaced_in_the_middle_of_its_wave_does_not_click():
    room = Room(0)
    wave = 20_000 * np.sin(np.arange(4800) * 2 * np.pi * 7.3 / 480)
    room.mixer.play(wave.astype(np.float32))
    first = room.say(blocks=3)
    room.mixer.play(np.zeros(4800, np.float32))
    played = np.concatenate((first, room.say())).astype(int)
    usual = np.abs(np.diff(first.astype(int))).max()
    assert np.abs(np.diff(played)).max() <= usual + 50


@pytest.mark.parametrize("earcon", Earcon)
def test_an_earcon_has_whole_blocks(earcon):
    assert len(earcon_samples(earcon)) % BLOCK_FRAMES == 0


def test_a_talker_who_leaves_in_the_middle_of_a_wave_does_not_click():
    room = Room(2)
    room.say(12_000, 3000, blocks=20)
    room.mixer.remove("talker 0")
    played = room.say(12_000, 3000, blocks=5).astype(int)
    assert played[0] > 14_000
    assert np.abs(np.diff(played)).max() < MAX_STEP
    assert (played[480:] == 3000).all()


def test_a_talker_who_leaves_and_comes_back_at_once_is_heard():
    room = Room(1)
    room.say(12_000, blocks=20)
    room.mixer.remove("talker 0")
    assert not room.mixer.is_idle, "the end is played first"
    room.come_back(0)
    assert (room.say(5000, blocks=20)[-480:] == 5000).all()


def test_talkers_who_leave_while_there_is_no_speaker_are_not_kept():
    mixer = Mixer()
    for count in range(100):
        mixer.add(f"talker {count}")(np.full(480, 5000, np.int16))
        mixer.remove(f"talker {count}")
    assert mixer.is_idle
    assert mixer.next() is None


def test_of_earcons_that_are_requested_at_once_the_last_one_is_played():
    room = Room(0)
    room.mixer.play(np.full(480, 1000, np.float32))
    room.mixer.play(np.full(480, 2000, np.float32))
    assert (room.say() == 2000).all()
    assert not room.say().any()


def test_half_duplex_mutes_and_unmutes_with_a_fade():
    room = Room(1, is_half_duplex=True)
    room.say(9000, blocks=20)
    room.mixer.is_muted = True
    muted = room.say(9000, blocks=2).astype(int)
    assert np.abs(np.diff(muted)).max() < 200
    assert muted[0] > 8000
    assert not muted[480:].any()
    room.mixer.is_muted = False
    unmuted = room.say(9000, blocks=2).astype(int)
    assert np.abs(np.diff(unmuted)).max() < 200
    assert unmuted[-1] == 9000


def test_a_voice_that_begins_while_half_duplex_mutes_is_not_heard():
    room = Room(1, is_half_duplex=True)
    room.say(0, blocks=60)
    room.mixer.is_muted = True
    assert not room.say(9000, blocks=10).any()


def crowd(talkers):
    """Return a function that returns the peaks of what is played."""
    room = Room(talkers)

    def say(peaks, blocks=60):
        played = room.say(*peaks, blocks=blocks).astype(int)
        return np.abs(played).reshape(blocks, 480).max(axis=1).tolist()

    return say


@pytest.mark.parametrize("who", [0, 16, 29])
def test_any_talker_in_a_large_room_is_played(who):
    say = crowd(30)
    say([0] * 30)
    assert max(say([5000 if number == who else 0 for number in range(30)])) > 4000


@pytest.mark.parametrize("who", [0, 16, 29])
def test_noisy_microphones_do_not_displace_a_talker(who):
    say = crowd(30)
    say([40] * 30)
    assert max(say([5000 if number == who else 40 for number in range(30)])) > 4000


def test_the_number_of_talkers_mixed_at_once_is_bounded():
    say = crowd(MAX_TALKERS + 4)
    peaks = say([100] * (MAX_TALKERS + 4), blocks=200)
    assert max(peaks) <= 100 * MAX_TALKERS + 2


def test_another_choice_of_the_loudest_talkers_does_not_click():
    room = Room(MAX_TALKERS + 1)
    others = [1000] * MAX_TALKERS
    before = room.say(-1100, *others, blocks=60)[-480:]
    changing = room.say(-900, *others, blocks=40)
    after = room.say(-1100, *others, blocks=40)
    assert (before == 1000 * (MAX_TALKERS - 1) - 1100).all()
    assert (changing[-480:] == 1000 * MAX_TALKERS).all()
    assert (after[-480:] == 1000 * (MAX_TALKERS - 1) - 1100).all()
    played = np.concatenate((before, changing, after)).astype(int)
    assert np.abs(np.diff(played)).max() < 400


def test_a_muted_talker_is_silent_from_the_next_block_on_and_the_others_are_not():
    room = Room(2)
    assert room.say(5000, 5000, blocks=20).max() == 10_000
    room.mixer.mute("talker 0", is_on=True)
    assert not room.mixer.is_sounding("talker 0")
    assert room.mixer.is_sounding("talker 1")
    assert room.say(5000, 5000, blocks=20)[480:].max() == 5000


def test_a_muted_talker_continues_where_it_is_when_it_is_heard_again():
    room = Room(1)
    room.say(5000, blocks=20)
    room.mixer.mute("talker 0", is_on=True)
    assert not room.say(5000, blocks=200)[480:].any()
    room.mixer.mute("talker 0", is_on=False)
    assert room.say(5000, blocks=20)[480:].min() == 5000
    assert not room.mixer.faults


def test_muting_fades_so_that_it_does_not_click():
    room = Room(1)
    room.say(5000, blocks=20)
    room.mixer.mute("talker 0", is_on=True)
    last = room.say(5000).astype(int)
    assert last[0] > 4900
    assert np.abs(np.diff(last)).max() < 200


def test_muting_an_unknown_talker_changes_nothing():
    mixer = Mixer()
    mixer.mute("nobody", is_on=True)
    assert not mixer.is_sounding("nobody")
