"""Tests of the learned schedule of Opus DTX."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.dtx_schedule import MOST_LATE, PERIOD, SETTLED, DtxSchedule


class Encoder:
    """Encoder with the DTX pattern of Opus and a count of packets sent."""

    def __init__(self, place, *, is_dtx=True):
        self._place = place
        self._is_dtx = is_dtx

    def is_sent(self, packet):
        return not self._is_dtx or (packet - self._place) % PERIOD in {0, 1}

    def sent(self, given):
        return sum(self.is_sent(packet) for packet in range(1, given + 1))


def asked(dtx_schedule, encoder, at, *, on_its_way=0, meanwhile=0):
    left = encoder.sent(at - on_its_way + meanwhile)
    dtx_schedule.learn(at, at + meanwhile, left)
    return dtx_schedule.wants_stats(at + meanwhile)


def learned(encoder, step=8, answers=24):
    """Return a schedule that has learned, and the packets given by then."""
    dtx_schedule, at = DtxSchedule(), SETTLED + 1
    while asked(dtx_schedule, encoder, at) and (answers := answers - 1):
        at += step
    return dtx_schedule, at


def on_time(dtx_schedule, since, packets):
    """Return the packets given on time if all others are as late as allowed."""
    taken, packet = [], since
    while packet < since + packets:
        packet += dtx_schedule.late_packets(packet) + 1
        taken.append(packet)
    return taken


@pytest.mark.parametrize("place", range(PERIOD))
def test_after_a_second_of_readings_every_packet_that_dtx_sends_is_on_time(place):
    encoder = Encoder(place)
    dtx_schedule, at = learned(encoder, answers=10)
    taken = on_time(dtx_schedule, at, 10 * PERIOD)
    leaving = {x for x in range(at + 1, at + 10 * PERIOD) if encoder.is_sent(x)}
    assert leaving <= set(taken)
    assert len(taken) < 10 * PERIOD * 0.55


def test_without_readings_every_packet_is_on_time():
    dtx_schedule = DtxSchedule()
    assert on_time(dtx_schedule, 50, 100) == list(range(51, 151))
    asked(dtx_schedule, Encoder(3), SETTLED + 1)
    assert on_time(dtx_schedule, 50, 100) == list(range(51, 151))


def test_no_statistics_are_requested_early_in_a_silence():
    dtx_schedule = DtxSchedule()
    dtx_schedule.restart(1000)
    assert not dtx_schedule.wants_stats(1000 + SETTLED)
    assert dtx_schedule.wants_stats(1000 + SETTLED + 1)


def test_speech_resets_the_learned_schedule():
    dtx_schedule, at = learned(Encoder(5))
    assert dtx_schedule.late_packets(at) or dtx_schedule.late_packets(at + MOST_LATE)
    dtx_schedule.restart(at)
    assert on_time(dtx_schedule, at, 100) == list(range(at + 1, at + 101))


def test_an_encoder_without_dtx_gets_every_packet_on_time():
    dtx_schedule, at = learned(Encoder(0, is_dtx=False))
    assert on_time(dtx_schedule, at, 100) == list(range(at + 1, at + 101))
    assert not asked(dtx_schedule, Encoder(0, is_dtx=False), at + 8)


def test_a_replaced_encoder_is_detected_by_the_next_reading():
    dtx_schedule, at = learned(Encoder(5))
    dtx_schedule.learn(at + 500, at + 500, 3)
    assert on_time(dtx_schedule, at, 100) == list(range(at + 1, at + 101))


@given(
    place=st.integers(0, PERIOD - 1),
    questions=st.lists(
        st.tuples(st.integers(1, 600), st.integers(0, 1), st.integers(0, 2)),
        max_size=30,
    ),
)
def test_sent_packets_are_on_time_for_any_moments_and_delays_of_readings(
    place, questions
):
    encoder, dtx_schedule, at = Encoder(place), DtxSchedule(), SETTLED + 1
    for wait, on_its_way, meanwhile in questions:
        at += wait
        asked(dtx_schedule, encoder, at, on_its_way=on_its_way, meanwhile=meanwhile)
        taken = on_time(dtx_schedule, at, 2 * PERIOD)
        leaving = {x for x in range(at + 1, at + 2 * PERIOD) if encoder.is_sent(x)}
        assert leaving <= set(taken)
        at += meanwhile
