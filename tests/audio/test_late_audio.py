"""What silence stood in for is not sent once more."""

from appliance.audio.late_audio import FORGIVEN_S, LateAudio


def test_a_burst_after_a_hiccup_pays_what_is_owed_and_no_more():
    debt = LateAudio()
    debt.grow(4, 0.04)
    assert [debt.takes(2, is_late=True) for _ in range(4)] == [True, True, False, False]


def test_what_comes_in_time_is_sent_and_ends_the_debt():
    debt = LateAudio()
    debt.grow(4, 0.04)
    assert not debt.takes(2, is_late=False)
    assert not debt.takes(2, is_late=True)


def test_after_a_long_silence_everything_is_wanted():
    debt = LateAudio()
    for _ in range(6):
        debt.grow(4, FORGIVEN_S / 5)
    assert not debt.takes(2, is_late=True)
