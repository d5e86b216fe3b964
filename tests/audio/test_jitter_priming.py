"""Tests of the priming of the receivers' jitter buffers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.dsp import QUIET_PEAK, level_dbfs
from appliance.audio.jitter_priming import (
    FIRST_STEP_BLOCKS,
    NO_PACKET_BLOCKS,
    PAUSE_BLOCKS,
    SOON_BLOCKS,
    SPELLS,
    STEPS,
    TONE,
    TONE_BLOCKS,
    JitterPriming,
)
from appliance.pcm import SILENCE

LOUD = np.full(480, 5000, np.int16)
QUIET = np.full(480, QUIET_PEAK, np.int16)
NOTHINGS = [SILENCE, np.zeros(480, np.int16), QUIET]
LONG_PACKETS = FIRST_STEP_BLOCKS + STEPS * PAUSE_BLOCKS


def left(prime_jitter_buffers, packets):
    """Return the blocks sent for this number of packets of silence."""
    return [prime_jitter_buffers.filled((SILENCE, SILENCE)) for _ in range(packets)]


def test_a_new_track_sends_no_packets_then_a_faint_tone_and_then_the_captured_sound():
    sent = left(JitterPriming(), TONE_BLOCKS)
    paused, faint = NO_PACKET_BLOCKS // 2, TONE_BLOCKS // 2
    assert all(packet == () for packet in sent[:paused])
    assert all(one is TONE for packet in sent[paused:faint] for one in packet)
    assert all(one is SILENCE for packet in sent[faint:] for one in packet)


def test_after_the_last_delay_step_the_faint_tone_starts_several_times():
    prime_jitter_buffers = JitterPriming()
    for _ in range(STEPS):
        left(prime_jitter_buffers, LONG_PACKETS)
        prime_jitter_buffers.step()
    sent = left(prime_jitter_buffers, SPELLS[-1][1])
    is_faint = [packet[0] is TONE for packet in sent]
    edges = np.flatnonzero(np.diff([False, *is_faint, False])) * 2
    assert edges.tolist() == [edge for spell in SPELLS for edge in spell]


def test_priming_for_later_subscribers_repeats_the_tone_without_a_pause_in_the_track():
    prime_jitter_buffers = JitterPriming()
    left(prime_jitter_buffers, LONG_PACKETS)
    for _ in range(STEPS):
        prime_jitter_buffers.step()
        left(prime_jitter_buffers, LONG_PACKETS)
    prime_jitter_buffers.repeat()
    sent = left(prime_jitter_buffers, LONG_PACKETS)
    silence, faint = (
        SOON_BLOCKS // 2,
        (TONE_BLOCKS - NO_PACKET_BLOCKS + SOON_BLOCKS) // 2,
    )
    assert all(one is SILENCE for packet in sent[:silence] for one in packet)
    assert all(one is TONE for packet in sent[silence:faint] for one in packet)
    assert all(one is SILENCE for packet in sent[faint:] for one in packet)
    assert all(sent)
    assert prime_jitter_buffers.is_drop_due


def test_packets_must_be_on_time_before_the_priming_tone_begins():
    prime_jitter_buffers = JitterPriming()
    left(prime_jitter_buffers, LONG_PACKETS)
    assert not prime_jitter_buffers.is_prompt
    prime_jitter_buffers.repeat()
    assert prime_jitter_buffers.is_prompt


def test_the_priming_tone_is_below_80_dbfs_and_has_a_period_of_2_5_ms():
    assert level_dbfs(TONE) < -80
    assert (np.tile(TONE, 2)[120:600] == TONE).all()
    assert any((np.roll(TONE, n) != TONE).any() for n in range(1, 120))


@given(st.lists(st.sampled_from([LOUD, *NOTHINGS]), max_size=2 * TONE_BLOCKS))
def test_audible_sound_is_sent_unchanged_and_at_once_during_priming(blocks):
    prime_jitter_buffers = JitterPriming()
    for packet in zip(blocks[::2], blocks[1::2], strict=False):
        sent = prime_jitter_buffers.filled(packet)
        assert len(sent) in {0, 2}
        for given_one, sent_one in zip(packet, sent, strict=bool(sent)):
            assert sent_one is given_one or (sent_one is TONE and given_one is not LOUD)
        assert sent or not any(one is LOUD for one in packet)


@pytest.mark.parametrize("busy_blocks", [0, 1000])
def test_delay_steps_are_further_apart_than_the_history_of_the_receivers_jitter_buffer(
    busy_blocks,
):
    prime_jitter_buffers, steps = JitterPriming(), []
    for block in range(2, 2 * LONG_PACKETS + busy_blocks, 2):
        prime_jitter_buffers.filled((SILENCE, SILENCE))
        if block > busy_blocks and prime_jitter_buffers.is_drop_due:
            prime_jitter_buffers.step()
            steps.append(block)
    assert len(steps) == STEPS
    assert steps[0] >= FIRST_STEP_BLOCKS
    assert (np.diff(steps) >= PAUSE_BLOCKS).all()


def test_a_new_track_restarts_the_priming():
    prime_jitter_buffers = JitterPriming()
    left(prime_jitter_buffers, LONG_PACKETS)
    prime_jitter_buffers.step()
    prime_jitter_buffers.restart()
    assert left(prime_jitter_buffers, 1) == [()]
    assert not prime_jitter_buffers.is_drop_due
    left(prime_jitter_buffers, LONG_PACKETS)
    assert prime_jitter_buffers.is_drop_due
