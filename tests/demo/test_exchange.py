from dataclasses import replace

import pytest

from appliance.core.chat import ChatLine, Delivery
from appliance.core.view import ConnectionState, Lamps
from appliance.demo.exchange import Summary
from appliance.page.snapshot import STARTING

CONNECTED = replace(STARTING, connection=ConnectionState.CONNECTED)
TALKING = replace(CONNECTED, lamps=Lamps(talking=True))
SPEAKING = replace(CONNECTED, speakers=("Companion",), speaker_dbfs=-20)
CHAT = (
    ChatLine("1", "", "", "hello", 0, Delivery.SENT),
    ChatLine("2", "companion", "Companion", "You wrote: hello", 0, Delivery.RECEIVED),
)


def counted(*views, repeats_before=None):
    summary = Summary(has_companion=True)
    for number, view in enumerate(views):
        if number == repeats_before:
            summary.begin_repetition()
        summary.count(view)
    return summary.figures()


def test_a_complete_exchange_is_counted():
    figures = counted(
        STARTING,
        replace(CONNECTED, chat=CHAT),
        TALKING,
        TALKING,
        CONNECTED,
        SPEAKING,
        SPEAKING,
        repeats_before=5,
    )
    assert figures.pop("joined_after_s") >= 0
    assert figures == {
        "talks_sent": 1,
        "talks_heard_back": 1,
        "lines_sent": 1,
        "lines_answered": 1,
        "not_complete": "",
    }


@pytest.mark.parametrize(
    ("views", "missing"),
    [
        ((STARTING,), "the room was never joined"),
        ((CONNECTED,), "no talk came back"),
        ((CONNECTED, TALKING, CONNECTED), "no talk came back"),
        ((TALKING, SPEAKING), "no line of chat was answered"),
    ],
)
def test_the_summary_names_what_never_worked(views, missing):
    assert counted(*views, repeats_before=1)["not_complete"] == missing


def test_a_repetition_that_is_not_played_is_not_counted():
    silent = replace(SPEAKING, speaker_dbfs=-96)
    assert counted(TALKING, silent, repeats_before=1)["talks_heard_back"] == 0
    assert counted(TALKING, SPEAKING)["talks_heard_back"] == 0


def test_a_talk_that_is_repeated_in_parts_counts_once():
    summary = Summary(has_companion=True)
    summary.count(TALKING)
    for _ in range(2):
        summary.begin_repetition()
        summary.count(SPEAKING)
    assert summary.figures()["talks_heard_back"] == 1


def test_in_the_users_own_room_joining_is_enough():
    summary = Summary(has_companion=False)
    summary.count(CONNECTED)
    assert summary.figures()["not_complete"] == ""
