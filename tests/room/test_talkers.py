"""Who speaks, with more than one talker: the server names only those who change."""

import asyncio

from livekit import rtc

from appliance.core.events import PeopleChanged, RoomJoined, RoomResumed
from appliance.room.participants import PAUSE_S
from tests.dtelecom.real_node import Node
from tests.dtelecom.wire import field, fields
from tests.room.conftest import join_room
from tests.room.fakes import DEADLINE_S

SIGNAL_RECONNECT = rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT
SPEAKERS_CHANGED = 10
"""Field of LiveKit's `SignalResponse`."""
PONG = field(18, 1)


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
        begin = len(box.events)
        other = await bob.say(1100)
        await speak(box, "ann", "bob")
        other.mute()
        await speak(box, "ann")
        await asyncio.sleep(2 * PAUSE_S)
        lists = [x for x in box.events[begin:] if isinstance(x, PeopleChanged)]
        assert all("ann" in talkers(event) for event in lists)
        voice.mute()
        await speak(box)


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


async def test_who_stops_during_an_interruption_is_not_shown_afterwards(server, box):
    """The server sends the change once."""
    is_cut, is_lost = asyncio.Event(), asyncio.Event()

    def changed(message):
        if not is_cut.is_set() or fields(message)[0][0] != SPEAKERS_CHANGED:
            return message
        is_lost.set()
        return PONG

    async with Node(server, changed=changed) as way, server.friend("ann") as ann:
        await ann.say(700)
        box.room.do(join_room(1, way.url, server.token("box")))
        await box.until(RoomJoined)
        await speak(box, "ann")
        is_cut.set()
        ann.amplitude = 300
        await asyncio.wait_for(is_lost.wait(), DEADLINE_S)
        await box.sdk_room.simulate_scenario(SIGNAL_RECONNECT)
        await box.until(RoomResumed)
        await speak(box)
