"""What comes out of the speaker, sample by sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sound.dsp import CEILING, volume_gain
from appliance.sound.playout import NEVER_TOO_LOUD, Playout


class Talkers(Playout):
    """A playout whose talkers say what they are told."""

    def says(self, *samples):
        return self._mixed([np.asarray(part, np.float32) for part in samples])


def full(value):
    return np.full(480, value)


@pytest.mark.parametrize("percent", [10, 80, 86, 87, 100])
def test_one_talker_is_as_loud_as_the_volume_says(percent):
    playout = Talkers()
    playout.set_volume(percent)
    played = playout.says(full(-20_000))
    assert (played == round(-20_000 * volume_gain(percent))).all()
    assert played.dtype == np.int16


@given(st.integers(0, 100), st.floats(-41_000, 41_000))
def test_one_talker_never_wraps_round(percent, peak):
    """41 000: the spline between two samples of full scale swings over by a quarter."""
    playout = Talkers()
    playout.set_volume(percent)
    played = playout.says(np.linspace(-peak, peak, 480))
    assert np.abs(played.astype(np.int32)).max() <= CEILING
    assert np.sign(played[0]) * np.sign(-peak) >= 0


def test_after_a_loud_moment_one_talker_comes_back_softly():
    playout = Talkers()
    playout.set_volume(80)
    playout.says(full(30_000), full(30_000), full(30_000))
    first = int(playout.says(full(10_000))[-1])
    assert first < round(10_000 * volume_gain(80))
    assert volume_gain(80) <= NEVER_TOO_LOUD


def test_several_talkers_are_added():
    playout = Talkers()
    playout.set_volume(100)
    assert (playout.says(full(1000), full(-300)) == 700).all()


def test_who_is_asleep_or_gone_is_not_heard():
    playout = Playout()
    write = playout.add("ann")
    assert playout.hears("ann")
    playout._fifos["ann"]._dozed_at_s = 0.0
    assert not playout.hears("ann")
    write(full(3000).astype(np.int16))
    assert playout.hears("ann")
    playout.remove("ann")
    playout.learn("ann", 0.01)
    assert not playout.hears("ann")
