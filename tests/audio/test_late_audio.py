"""Tests of dropping late sound for which silence was sent."""

from appliance.audio.late_audio import FORGIVEN_S, LateAudio


def test_a_burst_after_a_short_gap_is_dropped_up_to_the_silence_that_was_sent():
    late_audio = LateAudio()
    late_audio.grow(4, 0.04)
    assert [late_audio.must_drop(2, is_late=True) for _ in range(4)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_packet_on_time_is_sent_and_clears_the_account():
    late_audio = LateAudio()
    late_audio.grow(4, 0.04)
    assert not late_audio.must_drop(2, is_late=False)
    assert not late_audio.must_drop(2, is_late=True)


def test_after_a_long_silence_every_packet_is_sent():
    late_audio = LateAudio()
    for _ in range(6):
        late_audio.grow(4, FORGIVEN_S / 5)
    assert not late_audio.must_drop(2, is_late=True)
