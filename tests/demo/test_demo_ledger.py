from dataclasses import replace

from appliance.config import Config
from appliance.core.chat import ChatLine, Delivery
from appliance.core.state import State
from appliance.core.view import ConnectionState, Lamps, view
from appliance.demo.card import Mouth
from appliance.demo.companion_words import answer
from appliance.demo.ledger import Ledger
from appliance.demo.phrase import synthesised

AWAY = view(State(config=Config(name="demo")), 0.0)
HERE = replace(AWAY, connection=ConnectionState.CONNECTED)
TALKING = replace(HERE, lamps=Lamps(online=True, talking=True))


def seen(*moments):
    """Return the ledger after each (time, view)."""
    ledger = Ledger(100.0)
    for at_s, shown in moments:
        ledger.see(shown, at_s)
    return ledger


def speech(seconds=1.0, from_s=0.0):
    said = Mouth().say(synthesised()[: int(seconds * 48_000)], from_s)
    said.taken(480, from_s)
    return said


def test_the_first_time_in_the_room_counts():
    ledger = seen((100.1, AWAY), (100.5, HERE), (101.0, AWAY), (109.0, HERE))
    assert ledger.joined_s == 100.5


def test_a_talk_lasts_as_long_as_its_lamp_is_lit():
    ledger = seen((101, HERE), (102, TALKING), (103, TALKING), (104, HERE), (105, HERE))
    (talk,) = ledger.talks
    assert (talk.began_s, talk.ended_s) == (102, 104)
    assert ledger.running is None


def test_an_announced_speech_belongs_to_the_next_talk_only():
    ledger, said = Ledger(0.0), speech()
    ledger.announce(said)
    first = ledger.see(TALKING, 1.0)
    ledger.see(HERE, 2.0)
    second = ledger.see(TALKING, 3.0)
    assert first is not None
    assert second is not None
    assert (first.speech, first.is_scripted) == (said, True)
    assert (second.speech, second.is_scripted) == (None, False)


def test_a_speech_that_a_person_cut_short_is_not_whole():
    ledger = seen((10.0, TALKING))
    talk = ledger.talks[0]
    assert not talk.is_whole
    talk.speech = speech(seconds=1.0, from_s=10.2)
    assert talk.is_whole
    ledger.see(HERE, 10.9)
    assert not talk.is_whole


def test_a_speech_that_the_box_cut_short_is_whole_all_the_same():
    ledger = Ledger(0.0)
    ledger.announce(speech(seconds=1.0, from_s=10.2))
    ledger.see(TALKING, 10.0)
    ledger.see(HERE, 10.5)
    assert ledger.talks[0].is_whole


def test_a_talk_is_found_by_the_time_it_was_heard():
    ledger = seen((1, TALKING), (3, HERE), (5, TALKING), (7, HERE))
    first, second = ledger.talks
    assert ledger.talk_around(0.9, 3.7) is first
    assert ledger.talk_around(4.9, 7.7) is second
    assert ledger.talk_around(3.5, 4.0) is None
    assert ledger.talk_around(8.0, 9.0) is None
    second.numbers.add(4)
    assert ledger.talk_numbered(4) is second
    assert ledger.talk_numbered(5) is None


def test_lines_count_when_they_were_sent_and_answers_when_they_came():
    own = ChatLine("1", "", "", "hi", 0, Delivery.QUEUED)
    other = ChatLine("2", "c", "Companion", answer("hi"), 0, Delivery.RECEIVED)
    chatter = replace(other, id="3", text="something else")
    ledger = seen((1.0, replace(HERE, chat=(own, chatter))))
    assert (ledger.lines, ledger.answers) == ({}, set())
    sent = replace(own, state=Delivery.SENT)
    for at_s in (2.0, 3.0):
        ledger.see(replace(HERE, chat=(sent, chatter, other)), at_s)
    assert (ledger.lines, ledger.answers) == ({"1": 2.0}, {"2"})
