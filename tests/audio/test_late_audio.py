"""What silence stood in for is not sent once more."""

from appliance.audio.late_audio import FORGIVEN_S, LateAudio


def test_a_burst_after_a_hiccup_pays_what_is_owed_and_no_more():
    late_audio = LateAudio()
    late_audio.grow(4, 0.04)
    assert [late_audio.takes(2, is_late=True) for _ in range(4)] == [
        True,
        True,
        False,
        False,
    ]


def test_what_comes_in_time_is_sent_and_ends_the_debt():
    late_audio = LateAudio()
    late_audio.grow(4, 0.04)
    assert not late_audio.takes(2, is_late=False)
    assert not late_audio.takes(2, is_late=True)


def test_after_a_long_silence_everything_is_wanted():
    late_audio = LateAudio()
    for _ in range(6):
        late_audio.grow(4, FORGIVEN_S / 5)
    assert not late_audio.takes(2, is_late=True)
