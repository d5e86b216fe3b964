"""Tests of the choice of the card's buffer size."""

import json
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.latency_steps import (
    CALM_S,
    FILE_NAME,
    MAX_CALM_S,
    SETTLED_S,
    WRITER,
    LatencySteps,
)
from appliance.sound_cards.devices import Direction

LOOK_S = 0.25
DEADLINE_S = 10.0


class Card:
    """Card that loses blocks at given intervals, looked at four times a second."""

    def __init__(self, steps=None):
        self.steps = steps or LatencySteps(None)
        self.now_s, self.losses = 0.0, 0
        self.steps.start(0.0)

    def run(self, seconds, every_s=None, *, is_idle=False):
        """Return the seconds after which the buffer changed, or None."""
        begun_s = self.now_s
        lost_s = begun_s
        while self.now_s < begun_s + seconds:
            self.now_s += LOOK_S
            if every_s is not None:
                while lost_s + every_s <= self.now_s:
                    lost_s += every_s
                    self.losses += 1
            losses: dict[Direction, int] = {"microphone": 0, "speaker": self.losses}
            if self.steps.update(losses, self.now_s, is_idle=is_idle):
                self.steps.start(self.now_s, is_change=True)
                return self.now_s - begun_s
        return None


def settled(steps=None):
    card = Card(steps)
    assert card.run(SETTLED_S + 1) is None
    return card


def climbed(steps=None):
    card = settled(steps)
    assert card.run(10, every_s=0.1) is not None
    return card


def used_until_shorter(card):
    """Use it with a pause each minute until it gets a shorter buffer.

    Returns the time of use in seconds, a minute too much at most.
    """
    used_s = 0.0
    while used_s < 2 * MAX_CALM_S:
        assert card.run(CALM_S) is None
        used_s += CALM_S
        if card.run(1, is_idle=True):
            return used_s
    return None


def test_a_card_that_keeps_up_stays_on_the_shortest_buffer():
    card = settled()
    assert card.run(10_000, every_s=30.0, is_idle=True) is None
    assert card.steps.latency_step == 0


def test_a_card_that_loses_many_blocks_gets_a_longer_buffer_within_two_seconds():
    took_s = settled().run(60, every_s=0.5)
    assert took_s is not None
    assert took_s <= 2.0


def test_the_next_step_follows_within_two_and_a_half_seconds():
    card = climbed()
    took_s = card.run(60, every_s=0.1)
    assert took_s is not None
    assert took_s <= 2.5
    assert card.steps.latency_step == 2


def test_losses_with_the_buffer_before_are_no_trouble_of_the_longer_one():
    card = climbed()
    assert not card.steps.losing
    card.run(0.25)
    assert not card.steps.losing


def test_one_loss_every_two_seconds_for_a_minute_is_too_many():
    assert settled().run(60, every_s=2.0) is not None


def test_losses_during_start_up_do_not_count():
    card = Card()
    for _ in range(2):
        assert card.run(SETTLED_S - LOOK_S, every_s=0.1) is None
        assert card.run(120, every_s=None) is None
        card.steps.start(card.now_s)


def test_a_card_without_losses_gets_a_shorter_buffer_while_both_sides_are_silent():
    card = climbed()
    assert card.run(3 * CALM_S) is None
    assert card.run(1, is_idle=True) is not None
    assert card.steps.latency_step == 0


def test_a_loss_restarts_the_wait_for_a_shorter_buffer():
    card = climbed()
    assert card.run(2 * CALM_S - 1) is None
    card.losses += 1
    assert card.run(2 * CALM_S - 1) is None
    assert card.run(1, is_idle=True) is None


def test_use_from_before_a_card_was_unplugged_counts():
    card = climbed()
    assert card.run(1.5 * CALM_S) is None
    card.steps.start(card.now_s)
    assert card.run(1, is_idle=True) is None
    assert card.run(CALM_S) is None
    assert card.run(1, is_idle=True) is not None
    assert card.steps.latency_step == 0


def test_silence_does_not_prove_that_a_shorter_buffer_is_enough():
    card = climbed()
    assert card.run(10 * MAX_CALM_S, is_idle=True) is None


def test_each_step_to_a_longer_buffer_doubles_the_wait_for_a_shorter_one():
    card = settled()
    waits = []
    for _ in range(9):
        assert card.run(10, every_s=0.1) is not None
        waits.append(used_until_shorter(card))
    for waited_s, wanted in zip(waits[:3], (2, 4, 8), strict=True):
        assert wanted * CALM_S <= waited_s <= (wanted + 1) * CALM_S
    assert MAX_CALM_S <= waits[-1] <= MAX_CALM_S + CALM_S


def test_with_the_longest_buffer_losses_are_a_trouble_to_report():
    card = climbed()
    card.run(10, every_s=0.1)
    assert card.run(10, every_s=0.1) is None
    assert card.steps.losing == {"speaker"}
    assert card.run(61) is None
    assert not card.steps.losing


def read_back(folder):
    """Return the steps in the file once everything is written."""
    for thread in threading.enumerate():
        if thread.name == WRITER:
            thread.join(DEADLINE_S)
    return LatencySteps(folder)


def test_the_step_is_kept_over_a_restart(tmp_path):
    climbed(LatencySteps(tmp_path))
    assert read_back(tmp_path).latency_step == 1


def test_a_slow_sd_card_does_not_delay_sound(tmp_path, monkeypatch):
    """Nor, last, is the newest step lost."""
    is_fast = threading.Event()
    fsync = os.fsync
    monkeypatch.setattr(
        "os.fsync", lambda file: is_fast.wait(DEADLINE_S) and fsync(file)
    )
    card = climbed(LatencySteps(tmp_path))
    assert card.run(10, every_s=0.1) is not None
    assert LatencySteps(tmp_path).latency_step == 0
    is_fast.set()
    assert read_back(tmp_path).latency_step == 2


@pytest.mark.parametrize("content", [b"[1, 2", b'{"step":"\xf5"}'])
def test_a_damaged_file_is_set_aside_and_counts_as_none(tmp_path, content, caplog):
    (tmp_path / FILE_NAME).write_bytes(content)
    card = climbed(LatencySteps(tmp_path))
    assert card.steps.latency_step == 1
    assert read_back(tmp_path).latency_step == 1
    assert (tmp_path / f"{FILE_NAME}.bad").read_bytes() == content
    (line,) = caplog.messages
    assert f"set aside  file={tmp_path / FILE_NAME}" in line


def test_a_file_that_cannot_be_read_is_set_aside_before_it_is_replaced(
    tmp_path, caplog
):
    path = tmp_path / FILE_NAME
    path.symlink_to(path)
    climbed(LatencySteps(tmp_path))
    assert read_back(tmp_path).latency_step == 1
    assert path.with_name(f"{FILE_NAME}.bad").is_symlink()
    (line,) = caplog.messages
    assert "Too many levels" in line


def kept(folder, **facts):
    """Return the steps of a box that kept these facts."""
    (folder / FILE_NAME).write_text(json.dumps(facts))
    return LatencySteps(folder)


def test_a_step_that_does_not_exist_any_more_is_the_last_one(tmp_path):
    assert kept(tmp_path, step=7).latency_step == 2


def test_a_state_directory_that_cannot_be_written_changes_nothing_else(tmp_path):
    (tmp_path / "file").write_text("")
    assert climbed(LatencySteps(tmp_path / "file")).steps.latency_step == 1


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 5000), st.booleans())))
def test_the_latency_step_is_always_in_range(story):
    steps, now_s, losses = LatencySteps(None), 0.0, 0
    steps.start(0.0)
    for lost, wait_s, is_idle in story:
        losses, now_s = losses + lost, now_s + wait_s
        if steps.update({"speaker": losses}, now_s, is_idle=is_idle):
            steps.start(now_s)
        assert 0 <= steps.latency_step < 3


def test_a_burst_at_the_longest_buffer_does_not_keep_it_for_an_hour(tmp_path):
    card = settled(kept(tmp_path, step=2))
    assert card.run(1, every_s=0.2) is None
    assert card.steps.losing
    assert card.run(CALM_S + 2) is None
    assert card.run(1, is_idle=True) is not None
    assert card.steps.latency_step == 1


def test_what_a_card_has_proven_outlasts_a_restart(tmp_path):
    """Otherwise it would lose blocks again a minute after each start of the service."""
    card = climbed(LatencySteps(tmp_path))
    for _ in range(2):
        used_until_shorter(card)
        assert card.run(10, every_s=0.1) is not None
    again = settled(read_back(tmp_path))
    assert again.steps.latency_step == 1
    assert 8 * CALM_S <= used_until_shorter(again) <= 9 * CALM_S
