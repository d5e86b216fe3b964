"""Tests of what is reported about streams that work, but not well."""

import pytest

from appliance.audio.devices import Direction
from appliance.audio.stream_stats import (
    LOSING,
    SILENT,
    ZEROS_S,
    StreamClock,
    StreamStats,
)
from appliance.core.events import Part, PartFound, PartLost
from appliance.metrics.audio import AudioFault
from tests.audio.fakes import Clock

NAMES: dict[Direction, Part] = {"microphone": Part.MICROPHONE, "speaker": Part.SPEAKER}


class Opened:
    """Statistics of an open duplex card whose callbacks have begun."""

    def __init__(self, notice=""):
        self.events: list[object] = []
        self.clock = Clock()
        self.stats = StreamStats(self.events.append)
        self.stream = StreamClock(48_000, self.clock)
        clocks: dict[Direction, StreamClock] = dict.fromkeys(NAMES, self.stream)
        found = {way: PartFound(part, "USB", notice) for way, part in NAMES.items()}
        self.stats.opened(clocks, found)
        self.stream.note(0)
        self.stats.note_first_callbacks()
        self.events.clear()

    def pass_time(self, seconds):
        self.clock.now_s += seconds
        self.stream.note(0)

    def look(self, *, is_losing=False):
        """Return the notices that are posted."""
        self.stats.note_trouble(is_losing=is_losing)
        posted = [x for x in self.events if isinstance(x, PartFound)]
        self.events.clear()
        return {event.part: event.notice for event in posted}


def test_a_card_that_works_is_reported_once():
    opened = Opened()
    opened.stream.note_sound(is_zero=False)
    assert opened.look() == {}


def test_a_microphone_that_delivers_only_zeros_is_a_trouble_until_there_is_sound():
    opened = Opened()
    opened.stream.note_sound(is_zero=False)
    opened.stream.note_sound(is_zero=True)
    opened.pass_time(ZEROS_S)
    assert opened.look() == {Part.MICROPHONE: SILENT}
    assert opened.look() == {}, "once"
    opened.stream.note_sound(is_zero=False)
    assert opened.look() == {Part.MICROPHONE: ""}


def test_a_card_that_loses_blocks_with_the_longest_buffer_is_a_trouble():
    opened = Opened(notice="not a USB card")
    opened.stream.note(4)
    trouble = f"not a USB card, {LOSING}"
    assert opened.look(is_losing=True) == dict.fromkeys(NAMES.values(), trouble)
    assert opened.look() == dict.fromkeys(NAMES.values(), "not a USB card")


def test_a_stream_that_was_closed_has_no_trouble():
    opened = Opened()
    opened.stream.note(4)
    opened.stats.close()
    assert opened.look(is_losing=True) == {}


@pytest.mark.parametrize("is_open", [True, False])
def test_counts_are_kept_when_streams_are_closed(is_open):
    opened = Opened()
    opened.stream.note(4, 5.0)
    opened.stream.note(0, 5.01)
    opened.stream.note(0, 5.04)
    if not is_open:
        opened.stats.close()
    counted = opened.stats.count
    assert counted("microphone", AudioFault.XRUN) == 1
    assert counted("microphone", AudioFault.DROP) == 2
    assert counted("speaker", AudioFault.DROP) == 0
    assert opened.stats.blocks("microphone") == 4


def test_a_loss_is_posted_again_only_if_its_reason_changes():
    opened = Opened()
    for reason in ("it stopped", "it stopped", "it is busy"):
        opened.stats.lost("speaker", "USB", reason)
    assert opened.events == [
        PartLost(Part.SPEAKER, "USB", "it stopped"),
        PartLost(Part.SPEAKER, "USB", "it is busy"),
    ]
