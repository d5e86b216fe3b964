"""Who speaks, with more than one talker: the server names only those who change."""

import asyncio
from types import SimpleNamespace
from typing import Any

from livekit import rtc

from appliance.core.events import PeopleChanged, RoomJoined, RoomResumed
from appliance.room.participants import LOOK_S, PAUSE_S, Participants
from tests.dtelecom.real_node import Node
from tests.dtelecom.wire import field, fields
from tests.room.conftest import join_room
from tests.room.fakes import DEADLINE_S

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


async def test_who_speaks_steadily_since_before_the_join_is_shown(server, box):
    """The server sends nothing to who joins, and later only changes of the level."""
    async with server.friend("ann") as ann:
        await ann.say(700)
        await asyncio.sleep(STEADY_S)
        await box.join(server)
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


def participant(identity):
    return SimpleNamespace(
        identity=identity,
        sid=f"PA_{identity}",
        name=identity,
        kind=rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD,
        permissions=SimpleNamespace(hidden=False),
        track_publications={},
    )


class Loudness:
    """Subscriber of somebody who is heard, or whose audio does not arrive."""

    def __init__(self):
        self.is_loud = True
        self.decryption = SimpleNamespace(fault=lambda _, is_speaking: "")

    def plays(self, _):
        return self.is_loud

    def loud(self):
        return frozenset({"ann"} if self.is_loud else ())


async def test_who_has_stopped_does_not_speak_because_of_a_noise_now_and_then():
    class Noise(Loudness):
        looks = 0

        def loud(self):
            self.looks += 1
            return frozenset(() if self.looks % 5 else {"ann"})

    posted: asyncio.Queue[Any] = asyncio.Queue()
    ann: Any = participant("ann")
    noise: Any = Noise()
    people = Participants(
        1, room_with(ann), posted.put_nowait, noise, asyncio.Event().is_set
    )
    following = asyncio.ensure_future(people.follow())
    people.active_speakers_changed([ann])
    assert talkers(await posted.get()) == {"ann"}
    people.active_speakers_changed([])
    async with asyncio.timeout(DEADLINE_S):
        assert talkers(await posted.get()) == set()
    following.cancel()


def room_with(other) -> Any:
    return SimpleNamespace(
        remote_participants={other.identity: other},
        local_participant=participant("box"),
    )


async def test_who_speaks_throughout_a_long_interruption_is_shown_afterwards():
    """The server does not name them again, and their audio comes a moment later."""
    pause = asyncio.Event()
    audio: Any = Loudness()
    ann: Any = participant("ann")
    posted: asyncio.Queue[Any] = asyncio.Queue()
    people = Participants(1, room_with(ann), posted.put_nowait, audio, pause.is_set)
    people.now()
    following = asyncio.ensure_future(people.follow())
    people.active_speakers_changed([ann])
    assert talkers(await posted.get()) == {"ann"}
    pause.set()
    audio.is_loud = False
    await asyncio.sleep(PAUSE_S + 5 * LOOK_S)
    pause.clear()
    people.resume()
    assert talkers(await posted.get()) == set()
    await asyncio.sleep(3 * LOOK_S)
    audio.is_loud = True
    async with asyncio.timeout(DEADLINE_S):
        assert talkers(await posted.get()) == {"ann"}
    following.cancel()


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
