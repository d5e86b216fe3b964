"""Tests of the reopen policy."""

import itertools
import logging
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.reopen_policy import (
    LATER_LATEST_S,
    LATEST_S,
    LONGEST_WAIT_S,
    ReopenPolicy,
    SoundState,
)
from appliance.audio.stream_callbacks import StreamCounters
from appliance.audio.stream_faults import StreamFaults
from appliance.core.events import Part, PartFound
from appliance.sound_cards.devices import Direction

USB = " 1 [Device]: USB-Audio"


def looks(reopen_policy, cards, seconds, state, since=0):
    """Return the seconds at which a search was due and made."""
    made = []
    for now_s in range(since, since + seconds):
        if reopen_policy.is_due(partial(str, cards), float(now_s), state):
            reopen_policy.note(cards, float(now_s), is_open=state.is_open)
            made.append(now_s)
    return made


MISSING = SoundState(is_open=False, is_lost=True)
HALF = SoundState(is_open=True, is_lost=True)
FINE = SoundState(is_open=True)
SECOND_CHOICE = SoundState(is_open=True, is_best=False)
EARLY_THEN_LATER = [*range(1, 16, 2), 75, 195]
"""Seconds of the searches that would interrupt something, after a change at 0."""


def test_searches_without_a_card_back_off_while_the_list_of_cards_is_unchanged():
    made = looks(ReopenPolicy(), "no cards", 200, MISSING)
    gaps = [later - earlier for earlier, later in itertools.pairwise(made)]
    assert gaps[:5] == [1, 2, 4, 8, 16]
    assert set(gaps[5:]) == {int(LATEST_S)}


def test_a_card_that_does_not_answer_is_tried_twice_a_second_and_later_each_second():
    reopen_policy, stuck = ReopenPolicy(), replace(MISSING, is_stuck=True)
    assert looks(reopen_policy, USB, 3600, stuck) == list(range(3600))
    assert not reopen_policy.is_due(lambda: USB, 3599.9, stuck)
    reopen_policy.reset()
    reopen_policy.note(USB, 4000.0, is_open=False)
    assert not reopen_policy.is_due(lambda: USB, 4000.4, stuck)
    assert reopen_policy.is_due(lambda: USB, 4000.5, stuck)


def test_a_new_card_is_searched_after_a_second():
    reopen_policy = ReopenPolicy()
    looks(reopen_policy, "no cards", 100, MISSING)
    assert reopen_policy.is_due(lambda: USB, 100.0, MISSING)


def test_a_card_listed_before_it_can_be_opened_is_tried_again():
    reopen_policy = ReopenPolicy()
    reopen_policy.note("no cards", 0.0, is_open=False)
    assert looks(reopen_policy, USB, 10, MISSING) == [1, 2, 4, 8]


DAY_S = 86_400


@pytest.mark.parametrize("state", [HALF, SECOND_CHOICE])
def test_what_works_is_never_interrupted_while_nothing_better_is_listed(state):
    policy = ReopenPolicy(lambda: False)
    policy.note(USB, 0.0, is_open=True)
    assert looks(policy, USB, DAY_S, state) == []
    assert looks(policy, USB + " 2 [Camera]", DAY_S, state, since=DAY_S) == []


def test_a_card_that_is_listed_and_cannot_be_opened_interrupts_less_and_less():
    made = looks(ReopenPolicy(), USB, 40_000, HALF)
    gaps = [later - earlier for earlier, later in itertools.pairwise(made)]
    assert gaps[:10] == [1, *[2] * 7, 60, 120]
    assert gaps[-1] == int(LATER_LATEST_S)


def test_a_card_for_the_missing_direction_is_searched_soon_after_it_is_listed():
    better: list[str] = []
    policy = ReopenPolicy(lambda: bool(better))
    policy.note(USB, 0.0, is_open=True)
    assert looks(policy, USB, 1000, HALF) == []
    better.append("microphone")
    more = USB + " 2 [Microphone]"
    made = looks(policy, more, 10, HALF, since=1000)
    assert made == [1000, 1001, 1003, 1005, 1007, 1009]


def test_a_device_that_is_never_in_alsas_list_is_searched_once_after_each_change():
    policy = ReopenPolicy(lambda: False, lambda: True)
    policy.note(USB, 0.0, is_open=True)
    assert looks(policy, USB, 1000, HALF) == []
    more = USB + " 2 [Microphone]"
    assert looks(policy, more, 1000, HALF, since=1000) == [1000]
    assert looks(policy, USB, 1000, SECOND_CHOICE, since=2000) == [2000]


PLAYED_ON = USB + "\ncard0/pcm0p"
"""List of cards while another program plays a sound."""


def test_a_program_that_plays_a_sound_is_no_change_of_the_cards():
    policy = ReopenPolicy(lambda: False, lambda: True)
    policy.note(USB, 0.0, is_open=True)
    assert looks(policy, PLAYED_ON, 1000, SECOND_CHOICE) == []
    assert looks(policy, USB, 1000, SECOND_CHOICE, since=1000) == []
    policy = ReopenPolicy()
    policy.note(USB, 0.0, is_open=True)
    assert looks(policy, USB, 200, SECOND_CHOICE) == EARLY_THEN_LATER
    assert looks(policy, PLAYED_ON, 100, SECOND_CHOICE, since=200) == []


def test_a_card_that_another_program_lets_go_of_is_searched_in_the_next_pause():
    policy = ReopenPolicy()
    policy.note(PLAYED_ON, 0.0, is_open=True)
    assert looks(policy, PLAYED_ON, 200, SECOND_CHOICE) == EARLY_THEN_LATER
    playing = replace(HALF, is_playing=True)
    assert looks(policy, USB, 60, playing, since=200) == []
    assert looks(policy, USB, 100, HALF, since=260) == [260]


def test_a_new_card_that_can_be_opened_later_is_searched_while_somebody_is_heard():
    policy = ReopenPolicy()
    policy.note(USB, 0.0, is_open=True)
    playing = replace(HALF, is_playing=True)
    more = USB + "\n 2 [Microphone]: USB-Audio"
    assert looks(policy, more + "\ncard2/pcm0c", 10, playing, since=100) == [100]
    assert looks(policy, more, 60, playing, since=110) == [110], "once"


@pytest.mark.parametrize("losses", [1, 2])
def test_a_card_that_is_back_at_once_and_can_be_opened_later_is_searched_then(losses):
    policy = ReopenPolicy()
    policy.note(USB, 0.0, is_open=True)
    playing = replace(HALF, is_playing=True)
    for since in range(100, 100 + losses):
        policy.reset()
        assert looks(policy, USB + "\ncard1/pcm0c", 1, playing, since) == [since]
    assert looks(policy, USB, 60, playing, since=102) == [102], "once"


@pytest.mark.parametrize("is_new", [False, True])
def test_a_card_that_was_in_use_before_a_new_one_came_does_not_interrupt(is_new):
    policy = ReopenPolicy()
    policy.note(PLAYED_ON, 0.0, is_open=True)
    more = (USB + "\n 2 [Microphone]: USB-Audio") if is_new else USB
    policy.note(more + "\ncard0/pcm0p", 100.0, is_open=True)
    assert looks(policy, more, 60, replace(HALF, is_playing=True), since=110) == []


def test_a_good_card_that_is_back_at_once_is_searched_while_somebody_is_heard():
    policy, playing = ReopenPolicy(), replace(HALF, is_playing=True)
    policy.note(USB, 0.0, is_open=True)
    policy.reset()
    talking = replace(playing, is_talking=True)
    assert looks(policy, USB, 10, talking, since=90) == []
    assert looks(policy, USB, 60, playing, since=100) == [100], "once"


def test_a_plugin_is_searched_when_another_program_lets_go_of_its_card():
    policy = ReopenPolicy(lambda: False, lambda: True)
    policy.note(PLAYED_ON, 0.0, is_open=True)
    assert looks(policy, PLAYED_ON, 60, HALF) == []
    assert looks(policy, USB, 7200, HALF, since=60) == [60]


@pytest.mark.parametrize("is_better_listed", [True, False])
def test_the_sounds_of_another_program_do_not_bypass_the_back_off(is_better_listed):
    policy = ReopenPolicy(lambda: is_better_listed, lambda: True)
    policy.note(USB, 0.0, is_open=True)
    made = []
    for since in range(0, 7200, 10):
        made += looks(policy, PLAYED_ON, 5, HALF, since)
        made += looks(policy, USB, 5, HALF, since + 5)
    assert len(made) < 40


def test_a_working_direction_is_not_interrupted_while_somebody_speaks():
    policy = ReopenPolicy()
    policy.note(USB, 0.0, is_open=True)
    talking = replace(HALF, is_talking=True)
    playing = replace(HALF, is_playing=True)
    assert looks(policy, USB, 60, talking) == []
    assert looks(policy, USB, 50, playing, since=60) == []
    assert looks(policy, USB, 10, HALF, since=2000)[0] == 2000
    assert looks(policy, "another card", 10, talking, since=3000) == []
    assert looks(policy, "another card", 10, playing, since=3010) == [3010], "once"


def test_a_pause_in_a_short_talk_is_used_only_for_a_card_that_has_just_come():
    policy = ReopenPolicy()
    policy.note(USB, 0.0, is_open=True)
    pausing = replace(HALF, is_in_short_talk=True)
    assert looks(policy, USB, 60, pausing) == []
    assert looks(policy, "another card", 60, pausing, since=100) == [100], "once"


def test_a_search_that_waits_for_a_pause_is_made_as_soon_as_there_is_one():
    policy = ReopenPolicy()
    policy.note(USB, 0.0, is_open=True)
    talking = replace(HALF, is_talking=True)
    assert looks(policy, USB, 5, talking) == []
    assert not policy.is_due(lambda: USB, 5.0, talking)
    assert policy.is_due(lambda: USB, 5.25, HALF)


def test_a_fault_that_ended_by_itself_does_not_shorten_the_wait_of_a_later_one():
    policy = ReopenPolicy()
    policy.note(USB, 0.0, is_open=True)
    talking = replace(HALF, is_talking=True)
    assert not policy.is_due(lambda: "another card", 5.0, talking)
    assert not policy.is_due(lambda: USB, 6.0, FINE)
    assert not policy.is_due(lambda: "another card", 9000.0, talking)


def test_noise_that_looks_like_speech_does_not_prevent_a_search_for_ever():
    policy = ReopenPolicy()
    policy.note(USB, 0.0, is_open=True)
    made = looks(policy, "another card", 200, replace(HALF, is_talking=True), since=900)
    assert made == [900 + int(LONGEST_WAIT_S)]


def test_a_second_choice_that_plays_is_not_replaced():
    policy = ReopenPolicy()
    policy.note(USB, 0.0, is_open=True)
    state = replace(SECOND_CHOICE, is_playing=True)
    assert looks(policy, "another card", 100, state) == []


def test_no_search_is_made_while_both_first_choices_work():
    reopen_policy = ReopenPolicy()
    reopen_policy.note(USB, 0.0, is_open=True)
    assert looks(reopen_policy, USB, 1000, FINE) == []
    assert not reopen_policy.is_due(lambda: USB + " 2 [Other]", 2000.0, FINE)


def test_a_better_card_that_cannot_be_opened_is_tried_again_after_each_change():
    reopen_policy = ReopenPolicy()
    reopen_policy.note(USB, 0.0, is_open=True)
    made = looks(reopen_policy, USB, 200, SECOND_CHOICE)
    assert made == EARLY_THEN_LATER
    more = USB + " 2 [Jabra]"
    assert looks(reopen_policy, more, 10, SECOND_CHOICE, since=200) == [
        *(200, 201, 203, 205, 207, 209)
    ]


def test_after_a_failure_what_works_is_not_interrupted_for_a_second():
    policy = ReopenPolicy()
    policy.note(USB, 0.0, is_open=True)
    policy.postpone(1.25)
    due_s = (x / 4 for x in range(5, 20) if policy.is_due(lambda: USB, x / 4, HALF))
    assert next(due_s) == 2.25
    policy.note(USB, 2.25, is_open=True)
    policy.postpone(3.5)
    assert next(due_s) == 4.5, "two seconds after the search, not after the failure"


def test_a_wait_for_silence_does_not_shorten_that_second():
    policy = ReopenPolicy()
    policy.note(USB, 0.0, is_open=True)
    heard = replace(HALF, is_lost=False, is_best=False, is_playing=True)
    assert not policy.is_due(lambda: USB, 3.0, heard)
    policy.postpone(3.25)
    assert not policy.is_due(lambda: "none", 3.5, HALF)
    assert policy.is_due(lambda: "none", 4.25, HALF)


def test_without_alsas_list_cards_are_searched_every_second_at_first():
    made = looks(ReopenPolicy(), "", 200, MISSING)
    assert made[:5] == [0, 1, 2, 3, 4]
    assert made[-1] - made[-2] == 10


def test_a_reset_makes_a_search_due_at_once():
    reopen_policy = ReopenPolicy()
    looks(reopen_policy, "no cards", 100, MISSING)
    reopen_policy.reset()
    assert reopen_policy.is_due(lambda: "no cards", 100.0, MISSING)


@given(st.lists(st.sampled_from(["", "one", "two"]), min_size=1, max_size=300))
def test_searches_are_at_least_a_second_apart(lists):
    reopen_policy, last_s = ReopenPolicy(), float("-inf")
    for count, cards in enumerate(lists):
        now_s = count / 4
        if reopen_policy.is_due(partial(str, cards), now_s, MISSING):
            assert now_s - last_s >= 1.0
            reopen_policy.note(cards, now_s, is_open=False)
            last_s = now_s


def test_a_dead_microphone_of_a_day_is_a_few_lines_in_the_log(caplog):
    """Searches in vain, each of which opens the speaker again."""
    caplog.set_level(logging.INFO)
    events: list[object] = []
    policy, faults = ReopenPolicy(), StreamFaults(events.append)
    found: dict[Direction, PartFound] = {
        "speaker": PartFound(Part.SPEAKER, "USB Audio")
    }
    searches = 0
    for now_s in range(DAY_S):
        if policy.is_due(partial(str, USB), float(now_s), HALF):
            searches += 1
            faults.close()
            faults.lost("microphone", "USB Audio", ("stopped", "busy")[searches % 2])
            clock = StreamCounters(48_000)
            faults.opened({"speaker": clock}, found)
            clock.note(0)
            faults.note_first_callbacks()
            policy.note(USB, float(now_s), is_open=True)
    assert 5 < searches < 40
    assert len(caplog.records) <= 20


def test_a_microphone_that_delivers_nothing_is_opened_again_less_and_less_often():
    policy = ReopenPolicy(lambda: False)
    policy.note(USB, 0.0, is_open=True)
    silent = replace(HALF, has_no_samples=True)
    assert looks(policy, USB, 200, silent) == EARLY_THEN_LATER
    playing = replace(silent, is_playing=True)
    assert looks(policy, USB, 100, playing, since=1000) == []
