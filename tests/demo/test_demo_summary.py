import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.demo.ledger import Ledger, Talk
from appliance.demo.measure import Found
from appliance.demo.summary import Setting, summary
from appliance.demo.summary_text import lines, values

SETTING = Setting(
    is_simulated=True, has_companion=True, wav=Path("/tmp/a.wav"), wav_s=19.6
)
OUT = Found(0.0681, 0.8, 0, 3, 0)
BACK = Found(0.0712, 0.8, 1, 0, 0)


def good_talk(began_s=10.0):
    talk = Talk(began_s, is_scripted=True, ended_s=began_s + 4.0)
    talk.numbers.add(1)
    talk.is_heard_back = True
    talk.to_companion, talk.to_box = OUT, BACK
    return talk


@pytest.fixture
def ledger():
    ledger = Ledger(8.0)
    ledger.joined_s = 8.4
    ledger.talks.append(good_talk())
    ledger.lines["1"] = 9.0
    ledger.answers.add("2")
    return ledger


def told(ledger, setting=SETTING, now_s=30.0):
    return summary(ledger, setting, now_s)


def test_a_complete_exchange_is_good(ledger):
    found = told(ledger)
    assert found.is_good
    assert (found.talks_sent, found.talks_heard, found.talks_heard_back) == (1, 1, 1)
    assert (found.lines_sent, found.lines_answered) == (1, 1)
    assert found.joined_after_s == pytest.approx(0.4)
    assert (found.to_companion.delay_ms, found.to_box.delay_ms) == (68.1, 71.2)


def test_the_delay_is_the_median_of_all_talks(ledger):
    for delay_s in (0.100, 0.0801):
        ledger.talks.append(good_talk(20.0))
        ledger.talks[-1].to_companion = replace(OUT, delay_s=delay_s)
    assert told(ledger).to_companion.delay_ms == 80.1


def test_what_is_under_way_at_the_end_is_no_fault(ledger):
    ledger.talks.append(Talk(28.0))
    ledger.talks.append(Talk(20.0, ended_s=29.0))
    ledger.lines["3"] = 29.0
    assert told(ledger).is_good


def test_a_talk_that_nobody_heard_is_a_fault(ledger):
    ledger.talks.append(Talk(12.0, ended_s=14.0))
    found = told(ledger)
    assert not found.is_good
    assert "did not hear talk 2" in found.faults[0]


def test_a_talk_that_did_not_come_back_is_a_fault(ledger):
    ledger.talks.append(Talk(12.0, ended_s=14.0, numbers={2}))
    assert told(ledger).faults == ("talk 2 was not heard back",)


@pytest.mark.parametrize("edge", ["lost_start_ms", "lost_end_ms"])
@pytest.mark.parametrize("way", ["to_companion", "to_box"])
def test_lost_speech_is_a_fault(ledger, way, edge):
    setattr(ledger.talks[0], way, replace(OUT, **{edge: 40}))
    (fault,) = told(ledger).faults
    assert "missed 40 ms" in fault


def test_what_a_person_cut_short_is_not_lost(ledger):
    talk = ledger.talks[0]
    talk.is_scripted = False
    talk.to_companion = replace(OUT, lost_end_ms=900)
    found = told(ledger)
    assert found.is_good
    assert found.to_companion.lost_end_ms == ()


def test_an_unanswered_line_is_a_fault(ledger):
    ledger.lines["3"] = 10.0
    assert told(ledger).faults == ("1 of 2 lines of chat were not answered",)


def test_a_trouble_on_the_way_is_a_fault(ledger):
    ledger.troubles.append("the companion ended: it said nothing")
    assert not told(ledger).is_good


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (lambda ledger: setattr(ledger, "joined_s", None), "never joined"),
        (lambda ledger: ledger.talks.clear(), "no talk came back"),
        (lambda ledger: ledger.answers.clear(), "no line of chat was answered"),
    ],
)
def test_what_never_happened_is_named(ledger, change, missing):
    change(ledger)
    found = told(ledger, now_s=13.0)
    assert missing in found.missing
    assert not found.is_good
    assert missing in list(lines(found))[-1]


def test_in_a_room_of_ones_own_joining_is_all_that_counts(ledger):
    ledger.talks.clear()
    ledger.answers.clear()
    own = replace(SETTING, has_companion=False)
    found = told(ledger, own)
    assert found.is_good
    assert list(lines(found))[-1] == "Result     the room was joined"
    ledger.joined_s = None
    assert not told(ledger, own).is_good


def test_a_person_reads_the_figures(ledger):
    text = "\n".join(lines(told(ledger)))
    for words in (
        "after 0.40 s",
        "1 sent, 1 heard by the companion, 1 heard back",
        "out 68 ms, back 71 ms",
        "out 0 ms at the start and 3 ms at the end",
        "/tmp/a.wav (20 s)",
        "a complete exchange, nothing lost",
    ):
        assert words in text


def test_nothing_is_invented_that_was_not_measured():
    empty = told(Ledger(0.0), replace(SETTING, wav=None))
    text = "\n".join(lines(empty))
    assert text.count("not measured") == 4
    assert values(empty)["joined_after_s"] is None
    real = told(Ledger(0.0), replace(SETTING, is_simulated=False))
    assert "not measured with a real sound card" in "\n".join(lines(real))


def test_a_script_reads_the_same_as_json(ledger):
    found = json.loads(json.dumps(values(told(ledger))))
    assert found["is_good"] is True
    assert found["card"] == "simulated"
    assert found["talks"] == {"sent": 1, "heard": 1, "heard_back": 1}
    assert found["to_companion"]["delays_ms"] == [68.1]
    assert found["to_box"]["lost_start_ms"] == [1]
    assert found["wav"] == "/tmp/a.wav"
