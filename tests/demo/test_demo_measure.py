import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.demo.measure import Sound, cut_out, find, joined
from appliance.demo.phrase import synthesised

RATE_HZ = 48_000
PHRASE = synthesised()
SAID = Sound(100.0, PHRASE)


def heard(delay_s, samples=PHRASE, before_s=0.3, after_s=0.5):
    """What somebody recorded who began to listen a little before the phrase came."""
    silence = (np.zeros(round(s * RATE_HZ), np.int16) for s in (before_s, after_s))
    before, after = silence
    at_s = SAID.at_s + delay_s - len(before) / RATE_HZ
    return Sound(at_s, np.concatenate((before, samples, after)))


@settings(max_examples=20)
@given(st.floats(-0.1, 3.0), st.floats(0.02, 1.0), st.floats(0.0, 1.0))
def test_the_delay_is_found_to_the_sample(delay_s, gain, before_s):
    quieter = np.rint(PHRASE * gain).astype(np.int16)
    found = find(SAID, heard(delay_s, quieter, before_s))
    assert found is not None
    assert found.delay_s == pytest.approx(delay_s, abs=2 / RATE_HZ)
    assert (found.lost_start_ms, found.lost_end_ms, found.lost_within_ms) == (0, 0, 0)


def test_noise_does_not_hide_the_phrase():
    noise = np.random.default_rng(1).normal(0, 300, len(PHRASE))
    noisy = (PHRASE + noise).clip(-32_768, 32_767).astype(np.int16)
    found = find(SAID, heard(0.07, noisy))
    assert found is not None
    assert found.delay_s == pytest.approx(0.07, abs=2 / RATE_HZ)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(len(PHRASE), np.int16),
        np.random.default_rng(2).normal(0, 3000, len(PHRASE)).astype(np.int16),
        PHRASE[::-1],
        np.zeros(0, np.int16),
    ],
    ids=["silence", "noise", "backwards", "nothing"],
)
def test_what_is_not_the_phrase_is_not_found(samples):
    assert find(SAID, heard(0.1, samples)) is None


@pytest.mark.parametrize("lost_ms", [20, 60, 150])
def test_a_clipped_start_is_measured(lost_ms):
    samples = PHRASE.copy()
    samples[: lost_ms * RATE_HZ // 1000] = 0
    found = find(SAID, heard(0.05, samples))
    assert found is not None
    # The level is looked at in windows of 5 ms; a consonant's stop has no level.
    assert lost_ms - 5 <= found.lost_start_ms <= lost_ms + 40
    assert found.lost_end_ms == 0


@pytest.mark.parametrize("lost_ms", [40, 60, 150])
def test_a_clipped_end_is_measured(lost_ms):
    samples = PHRASE.copy()
    samples[-lost_ms * RATE_HZ // 1000 :] = 0
    found = find(SAID, heard(0.05, samples))
    assert found is not None
    assert found.lost_start_ms == 0
    # The last vowel fades out.
    assert lost_ms - 30 <= found.lost_end_ms <= lost_ms + 5


def test_a_gap_in_the_middle_is_measured():
    samples = PHRASE.copy()
    middle = len(samples) // 2
    samples[middle : middle + 4800] = 0
    found = find(SAID, heard(0.05, samples))
    assert found is not None
    assert (found.lost_start_ms, found.lost_end_ms) == (0, 0)
    assert 20 <= found.lost_within_ms <= 105


def test_a_phrase_whose_beginning_came_later_than_the_rest_has_lost_nothing():
    """As a receiver does that shortens speech to get rid of a long delay."""
    cut = RATE_HZ // 2
    late = np.concatenate((PHRASE[:cut], PHRASE[cut + 2400 :]))
    found = find(SAID, heard(0.12, late))
    assert found is not None
    assert found.delay_s == pytest.approx(0.07, abs=0.001)
    assert found.lost_start_ms == 0


def test_blocks_that_were_seen_late_do_not_move_the_sound():
    blocks = [(5.0 + i / 100, np.full(480, i, np.int16)) for i in range(20)]
    late = [
        (at_s + 0.2 * (i % 4 == 0), block) for i, (at_s, block) in enumerate(blocks)
    ]
    sound = joined(late)
    assert sound.at_s == pytest.approx(5.0)
    assert sound.ends_s == pytest.approx(5.2)
    assert sound.samples[480 * 7] == 7


def test_a_stretch_is_cut_out_by_time():
    sound = Sound(10.0, np.arange(48_00, dtype=np.int16))
    part = cut_out(sound, 10.05, 10.06)
    assert part.at_s == pytest.approx(10.05)
    assert list(part.samples[:2]) == [2400, 2401]
    assert len(part.samples) == 480


@pytest.mark.parametrize(("from_s", "to_s"), [(0.0, 1.0), (20.0, 21.0), (10.0, 9.0)])
def test_a_stretch_outside_the_sound_is_empty(from_s, to_s):
    sound = Sound(10.0, np.zeros(4800, np.int16))
    assert len(cut_out(sound, from_s, to_s).samples) == 0
