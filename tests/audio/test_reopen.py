"""Tests of the reopen policy."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.reopen import LATEST_S, PARTIAL_LATEST_S, ReopenPolicy

USB = " 1 [Device]: USB-Audio"


def looks(reopen_policy, cards, seconds, **facts):
    """Return the seconds at which a search was due and made."""
    made = []
    for now_s in range(seconds):
        if reopen_policy.is_due(cards, float(now_s), **facts):
            reopen_policy.note(cards, float(now_s))
            made.append(now_s)
    return made


MISSING = {"is_open": False, "is_lost": True, "is_best": True}
HALF = {"is_open": True, "is_lost": True, "is_best": True}
FINE = {"is_open": True, "is_lost": False, "is_best": True}


def test_searches_without_a_card_back_off_while_the_list_of_cards_is_unchanged():
    made = looks(ReopenPolicy(), "no cards", 200, **MISSING)
    gaps = [later - earlier for earlier, later in itertools.pairwise(made)]
    assert gaps[:5] == [1, 2, 4, 8, 16]
    assert set(gaps[5:]) == {int(LATEST_S)}


def test_a_new_card_is_searched_after_a_second():
    reopen_policy = ReopenPolicy()
    looks(reopen_policy, "no cards", 100, **MISSING)
    assert reopen_policy.is_due(USB, 100.0, **MISSING)


def test_a_card_listed_before_it_can_be_opened_is_tried_again():
    reopen_policy = ReopenPolicy()
    reopen_policy.note("no cards", 0.0)
    assert looks(reopen_policy, USB, 10, **MISSING) == [1, 2, 4, 8]


def test_a_working_direction_is_not_interrupted_while_no_card_is_listed_for_the_other():
    made = looks(ReopenPolicy(lambda: False), USB, 40_000, **HALF)
    assert made == [0]


def test_a_card_that_is_listed_and_cannot_be_opened_interrupts_less_and_less():
    made = looks(ReopenPolicy(), USB, 40_000, **HALF)
    gaps = [later - earlier for earlier, later in itertools.pairwise(made)]
    assert gaps[:6] == [1, 2, 4, 8, 60, 120]
    assert gaps[-1] == int(PARTIAL_LATEST_S)


def test_a_card_for_the_missing_direction_is_searched_when_the_list_changes():
    policy = ReopenPolicy(lambda: False)
    policy.note(USB, 0.0)
    assert not policy.is_due(USB, 1000.0, **HALF)
    assert policy.is_due(USB + " 2 [Microphone]", 1001.0, **HALF)


def test_no_search_is_made_while_both_first_choices_work():
    reopen_policy = ReopenPolicy()
    reopen_policy.note(USB, 0.0)
    assert looks(reopen_policy, USB, 1000, **FINE) == []
    assert not reopen_policy.is_due(USB + " 2 [Other]", 2000.0, **FINE)


SECOND_CHOICE = FINE | {"is_best": False}


def test_with_a_second_choice_searches_are_frequent_after_each_change_and_then_rare():
    reopen_policy = ReopenPolicy()
    reopen_policy.note(USB, 0.0)
    made = looks(reopen_policy, USB, 200, **SECOND_CHOICE)
    assert made == [1, 3, 7, 15, 75, 135, 195]
    more = USB + " 2 [Jabra]"
    assert reopen_policy.is_due(more, 200.0, **SECOND_CHOICE)
    reopen_policy.note(more, 200.0)
    assert reopen_policy.is_due(more, 201.0, **SECOND_CHOICE)


def test_a_second_choice_is_not_interrupted_if_no_better_card_is_listed():
    better: list[str] = []
    reopen_policy = ReopenPolicy(lambda: bool(better))
    reopen_policy.note(USB, 0.0)
    assert looks(reopen_policy, USB, 1000, **SECOND_CHOICE) == [1, 3, 7, 15]
    better.append("a program has let go of the first choice")
    assert not reopen_policy.is_due(USB, 1001.0, **SECOND_CHOICE)
    assert reopen_policy.is_due(USB, 1060.0, **SECOND_CHOICE)


def test_without_alsas_list_cards_are_searched_every_second_at_first():
    made = looks(ReopenPolicy(), "", 200, **MISSING)
    assert made[:5] == [0, 1, 2, 3, 4]
    assert made[-1] - made[-2] == 10


def test_a_reset_makes_a_search_due_at_once():
    reopen_policy = ReopenPolicy()
    looks(reopen_policy, "no cards", 100, **MISSING)
    reopen_policy.reset()
    assert reopen_policy.is_due("no cards", 100.0, **MISSING)


@given(st.lists(st.sampled_from(["", "one", "two"]), min_size=1, max_size=300))
def test_searches_are_at_least_a_second_apart(lists):
    reopen_policy, last_s = ReopenPolicy(), float("-inf")
    for count, cards in enumerate(lists):
        now_s = count / 4
        if reopen_policy.is_due(cards, now_s, **MISSING):
            assert now_s - last_s >= 1.0
            reopen_policy.note(cards, now_s)
            last_s = now_s
