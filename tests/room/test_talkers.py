"""Who is shown as speaking."""

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
from livekit import rtc

from appliance.core.events import PeopleChanged, RoomJoined, RoomResumed
from appliance.pcm import SILENCE
from appliance.room import subscriber
from appliance.room.ffi import ffi_events
from appliance.room.subscriber import PAUSE_S, Subscriber
from tests.dtelecom.real_node import Node
from tests.dtelecom.wire import field, fields
from tests.room.conftest import join_room
from tests.room.fakes import BLOCK, DEADLINE_S, FakePlayback

SIGNAL_RECONNECT = rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT
SPEAKERS_CHANGED = 10
"""Field of LiveKit's `SignalResponse`."""
PONG = field(18, 1)
STEADY_S = 3.0
"""Longest time until the level of a tone, as the server averages it, stays the same."""


def talkers(event):
    return {person.id for person in event.people if person.is_speaking}


async def speak(box, *identities):
    """Wait until these are shown as speaking, and nobody else."""
    await box.until(PeopleChanged, lambda event: talkers(event) == {*identities})


async def test_each_of_two_talkers_is_shown_until_they_stop(server, box):
    await box.join(server)
    async with server.friend("ann") as ann, server.friend("bob") as bob:
        voice = await ann.say(700)
        await speak(box, "ann")
        other = await bob.say(1100)
        async with asyncio.timeout(DEADLINE_S):
            # On a busy machine Ann's own voice may have a gap.
            while not await is_shown_throughout(box, "ann", other):
                other.unmute()
        voice.mute()
        await speak(box)


async def is_shown_throughout(box, who, other):
    """Return whether one was shown while Bob spoke too, until his track was muted."""
    begin = len(box.events)
    await speak(box, who, "bob")
    other.mute()
    await speak(box, who)
    await asyncio.sleep(2 * PAUSE_S)
    lists = [x for x in box.events[begin:] if isinstance(x, PeopleChanged)]
    return all(who in talkers(event) for event in lists)


async def test_who_speaks_steadily_since_before_the_join_is_shown(server, box):
    """The server sends nothing to who joins, and later only changes of the level."""
    async with server.friend("ann") as ann:
        await ann.say(700)
        await asyncio.sleep(STEADY_S)
        joined = await box.join(server)
        if talkers(joined) != {"ann"}:
            await speak(box, "ann")


async def test_noise_after_a_talk_is_no_speech(server, box):
    """The playback plays it."""
    await box.join(server)
    async with server.friend("ann") as ann, server.friend("bob") as bob:
        await ann.say(700)
        await bob.say(1100)
        await speak(box, "ann", "bob")
        ann.amplitude = 300
        await speak(box, "bob")
        bob.amplitude = 300
        await speak(box)


class Sound:
    """Track of a talker whose blocks a test delivers."""

    sid = "TR_1"

    def __init__(self, monkeypatch):
        self.now_s = 100.0
        monkeypatch.setattr(ffi_events(), "open", self._opened)
        clock = SimpleNamespace(monotonic=lambda: self.now_s)
        monkeypatch.setattr(subscriber, "time", clock)
        self._others = Subscriber(FakePlayback(), has_key=False)
        track: Any = self
        others: Any = SimpleNamespace(
            sid=self.sid, identity="ann", kind=rtc.TrackKind.KIND_AUDIO
        )
        self._others.open(track, others, others)

    def _opened(self, _, take):
        self._take = take

    def is_speech(self, *levels, seconds=1.0):
        """Return whether blocks of these levels in turn are speech."""
        for number in range(round(seconds * 100)):
            self.now_s += 0.01
            level = levels[number % len(levels)]
            self._take(np.full(BLOCK, level, np.int16) if level else SILENCE)
        return self._others.is_speaking("ann")


async def test_speech_is_loud_for_a_good_part_of_the_time(monkeypatch):
    sound = Sound(monkeypatch)
    assert not sound.is_speech(500)
    assert sound.is_speech(1000, seconds=0.4)
    assert sound.is_speech(1000, 0)
    assert sound.is_speech(0, seconds=PAUSE_S / 2)
    assert not sound.is_speech(0, seconds=PAUSE_S)
    # A noise now and then.
    assert not sound.is_speech(1000, 0, 0, 0, 0, seconds=5.0)


async def test_who_stops_during_an_interruption_is_not_shown_afterwards(server, box):
    """The server sends the change once."""
    is_named, is_cut, is_lost = (asyncio.Event() for _ in range(3))

    def changed(message):
        if fields(message)[0][0] != SPEAKERS_CHANGED:
            return message
        is_named.set()
        if not is_cut.is_set():
            return message
        is_lost.set()
        return PONG

    async with Node(server, changed=changed) as way, server.friend("ann") as ann:
        box.room.do(join_room(1, way.url, server.token("box")))
        await box.until(RoomJoined)
        await ann.say(700)
        await asyncio.wait_for(is_named.wait(), DEADLINE_S)
        await speak(box, "ann")
        is_cut.set()
        ann.amplitude = 300
        await asyncio.wait_for(is_lost.wait(), DEADLINE_S)
        await box.sdk_room.simulate_scenario(SIGNAL_RECONNECT)
        await box.until(RoomResumed)
        await speak(box)
