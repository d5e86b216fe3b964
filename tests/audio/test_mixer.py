"""Tests of the mixer, sample by sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.dsp import CEILING, volume_gain
from appliance.audio.mixer import LIMITER_FREE_GAIN, MOST_TALKERS, Mixer

HOUR_BLOCKS = 360_000
LATEST_BLOCKS = 4
"""Delay after which a talker is heard: the jitter buffer's."""


class Talkers(Mixer):
    """Mixer whose talkers write given blocks."""

    def says(self, *samples):
        return self._mixed([np.asarray(part, np.float32) for part in samples])


def full(value):
    return np.full(480, value)


@pytest.mark.parametrize("percent", [10, 80, 86, 87, 100])
def test_a_single_talker_is_scaled_by_the_volume(percent):
    mixer = Talkers()
    mixer.set_volume(percent)
    played = mixer.says(full(-20_000))
    assert (played == round(-20_000 * volume_gain(percent))).all()
    assert played.dtype == np.int16


@given(st.integers(0, 100), st.floats(-41_000, 41_000))
def test_a_single_talker_never_wraps_around(percent, peak):
    """A peak of 41 000: the spline overshoots full scale by a quarter."""
    mixer = Talkers()
    mixer.set_volume(percent)
    played = mixer.says(np.linspace(-peak, peak, 480))
    assert np.abs(played.astype(np.int32)).max() <= CEILING
    assert np.sign(played[0]) * np.sign(-peak) >= 0


def test_after_limiting_a_single_talker_recovers_gradually():
    mixer = Talkers()
    mixer.set_volume(80)
    mixer.says(full(30_000), full(30_000), full(30_000))
    first = int(mixer.says(full(10_000))[-1])
    assert first < round(10_000 * volume_gain(80))
    assert volume_gain(80) <= LIMITER_FREE_GAIN


def test_several_talkers_are_added():
    mixer = Talkers()
    mixer.set_volume(100)
    assert (mixer.says(full(1000), full(-300)) == 700).all()


def test_idle_and_removed_talkers_are_not_played():
    mixer = Mixer()
    write = mixer.add("ann")
    assert mixer.is_sounding("ann")
    mixer._jitter_buffers["ann"]._idle_since_s = 0.0
    assert not mixer.is_sounding("ann")
    write(full(3000).astype(np.int16))
    assert mixer.is_sounding("ann")
    mixer.remove("ann")
    mixer.learn("ann", 0.01)
    assert not mixer.is_sounding("ann")


def test_a_talker_who_was_muted_for_an_hour_is_heard_from_the_first_block():
    mixer = Mixer()
    mixer.set_volume(100)
    write = mixer.add("ann")
    say = full(3000).astype(np.int16)

    def heard(blocks):
        for _ in range(blocks):
            write(say)
            part = mixer.next()
            yield 0 if part is None else int(np.abs(part).max())

    assert max(heard(50)) == 3000
    for _ in range(HOUR_BLOCKS):
        mixer.next()
    assert sum(peak == 3000 for peak in heard(20)) >= 20 - LATEST_BLOCKS


def crowd(mixer, talkers):
    """Return a function that writes a block per talker and returns the mix."""
    writes = [mixer.add(f"talker {number}") for number in range(talkers)]
    mixer.set_volume(100)

    def say(peaks, blocks=60):
        played = []
        for _ in range(blocks):
            for write, peak in zip(writes, peaks, strict=True):
                write(full(peak).astype(np.int16))
            played.append(mixer.next())
        return [int(np.abs(part).max()) if part is not None else 0 for part in played]

    return say


@pytest.mark.parametrize("who", [0, 16, 29])
def test_any_talker_in_a_large_room_is_played(who):
    say = crowd(Mixer(), 30)
    say([0] * 30)
    assert max(say([5000 if number == who else 0 for number in range(30)])) > 4000


@pytest.mark.parametrize("who", [0, 16, 29])
def test_noisy_microphones_do_not_displace_a_talker(who):
    say = crowd(Mixer(), 30)
    say([40] * 30)
    assert max(say([5000 if number == who else 40 for number in range(30)])) > 4000


def test_the_number_of_talkers_mixed_at_once_is_bounded():
    say = crowd(Mixer(), MOST_TALKERS + 4)
    peaks = say([100] * (MOST_TALKERS + 4), blocks=200)
    assert max(peaks) <= 100 * MOST_TALKERS + 2


def peaks_of(mixer, writes, blocks=20):
    """Write a block per talker and return the peaks of the mix."""
    played = []
    for _ in range(blocks):
        for write in writes:
            write(full(5000).astype(np.int16))
        part = mixer.next()
        played.append(0 if part is None else int(np.abs(part).max()))
    return played


def test_a_muted_talker_is_silent_from_the_next_block_but_one_and_the_others_are_not():
    mixer = Mixer()
    mixer.set_volume(100)
    agent, person = mixer.add("agent"), mixer.add("person")
    assert max(peaks_of(mixer, [agent, person])) == pytest.approx(10_000, abs=10)
    mixer.mute("agent", is_on=True)
    assert not mixer.is_sounding("agent")
    assert mixer.is_sounding("person")
    assert max(peaks_of(mixer, [agent, person])[1:]) == pytest.approx(5000, abs=10)


def test_a_muted_talker_continues_where_it_is_when_it_is_heard_again():
    mixer = Mixer()
    mixer.set_volume(100)
    agent = mixer.add("agent")
    peaks_of(mixer, [agent])
    mixer.mute("agent", is_on=True)
    assert max(peaks_of(mixer, [agent], blocks=200)[1:]) == 0
    mixer.mute("agent", is_on=False)
    assert min(peaks_of(mixer, [agent])) > 4900
    assert mixer.overruns == mixer.underruns == 0


def test_muting_fades_so_that_it_does_not_click():
    mixer = Mixer()
    mixer.set_volume(100)
    agent = mixer.add("agent")
    peaks_of(mixer, [agent])
    mixer.mute("agent", is_on=True)
    agent(full(5000).astype(np.int16))
    last = mixer.next()
    assert last is not None
    assert abs(int(last[0])) > 4900
    assert abs(int(last[-1])) < 100


def test_muting_an_unknown_talker_changes_nothing():
    mixer = Mixer()
    mixer.mute("nobody", is_on=True)
    assert not mixer.is_sounding("nobody")
