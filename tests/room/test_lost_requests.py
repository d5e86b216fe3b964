"""Requests that the server never reads because the connection breaks."""

import asyncio
import logging

import pytest
from livekit import rtc

from appliance.core.commands import UnmuteTrack
from appliance.core.events import (
    PermissionsChanged,
    RoomJoined,
    RoomLost,
    RoomPaused,
    RoomResumed,
)
from appliance.room import session, subscriber
from appliance.room.connection import NOT_SENT, ONLY_ONCE
from tests.dtelecom.real_node import Node
from tests.room.conftest import join_room, open_box
from tests.room.fakes import DEADLINE_S
from tests.room.test_permissions import (
    hears_friend,
    hears_nothing,
    hears_tone,
    mute,
    permissions_are,
)

ADD_TRACK, MUTE, SUBSCRIPTION = 4, 5, 6
"""Fields of LiveKit's `SignalRequest`."""
FULL_RECONNECT = rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT
RESUME = rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT


@pytest.fixture
async def way(server):
    """Way to the server, on which messages get lost."""
    async with Node(server, changed=lambda message: message) as running:
        yield running


async def join(box, server, way, **facts):
    box.room.do(join_room(1, way.url, server.token("box"), **facts))
    await box.until(RoomJoined)


async def reconnect_without_track(box, way):
    """Have the library make a new connection, and lose what it publishes."""
    way.loses = ADD_TRACK
    await box.sdk_room.simulate_scenario(FULL_RECONNECT)
    await box.until(RoomResumed)
    assert way.lost.is_set()


def mutes(friend):
    """Return of each track of the box whether it is muted."""
    box = friend.room.remote_participants.get("box")
    return [track.muted for track in box.track_publications.values()] if box else []


async def test_a_track_that_the_library_could_not_publish_again_is_sent_and_stays_muted(
    server, way, box, monkeypatch
):
    monkeypatch.setattr(session, "LOOK_S", 0.005)
    async with server.friend("ann") as friend:
        await join(box, server, way)
        await hears_tone(friend)
        await mute(server, friend)
        await permissions_are(box, is_server_muted=True)
        await hears_nothing(friend)
        await reconnect_without_track(box, way)
        async with asyncio.timeout(DEADLINE_S):
            while box.feed.connects < 2 or mutes(friend) != [True]:
                await asyncio.sleep(0.05)
        await hears_nothing(friend)
        box.room.do(UnmuteTrack(1))
        await hears_tone(friend)
        await permissions_are(box, is_server_muted=False)
    assert not any(isinstance(event, RoomLost) for event in box.events)
    # A missing permission would end a talk.
    changes = [x.permissions for x in box.events if isinstance(x, PermissionsChanged)]
    assert [(x.may_publish, x.is_server_muted) for x in changes] == [
        (True, True),
        (True, False),
    ]


async def test_a_track_whose_unmuting_was_lost_is_heard_after_the_interruption(
    server, way, box
):
    async with server.friend("ann") as friend:
        await join(box, server, way)
        await hears_tone(friend)
        await mute(server, friend)
        await permissions_are(box, is_server_muted=True)
        way.loses = MUTE
        box.room.do(UnmuteTrack(1))
        await permissions_are(box, is_server_muted=False)
        await asyncio.wait_for(way.lost.wait(), DEADLINE_S)
        await box.sdk_room.simulate_scenario(RESUME)
        await box.until(RoomResumed)
        await asyncio.wait_for(hears_tone(friend), DEADLINE_S)


async def test_a_node_that_takes_a_track_once_is_joined_again_for_it(server, way):
    async with open_box() as box:
        await join(box, server, way, is_dtelecom=True)
        await reconnect_without_track(box, way)
        # On a slow machine the missing sound may be noticed before the missing track.
        assert (await box.until(RoomLost)).failure in {ONLY_ONCE, NOT_SENT}


async def test_a_track_that_stays_published_is_not_published_again(server, way, box):
    async with server.friend("ann") as friend:
        await join(box, server, way)
        await hears_tone(friend)
        await way.stop()
        await box.until(RoomPaused)
        await way.start()
        await box.until(RoomResumed)
        await hears_tone(friend)
    assert box.feed.connects == 1


async def test_a_lost_request_for_somebodys_track_is_repeated(
    server, way, box, monkeypatch, caplog
):
    monkeypatch.setattr(subscriber, "LATE_S", 2.0)
    late = ("track does not arrive  from=ann", logging.WARNING)
    async with server.friend("ann") as friend:
        await friend.say(700)
        # All: a track that is published while the box joins is asked for twice.
        way.loses, way.loses_all = SUBSCRIPTION, True
        await join(box, server, way)
        async with asyncio.timeout(DEADLINE_S):
            while late not in [(x.getMessage(), x.levelno) for x in caplog.records]:
                await asyncio.sleep(0.05)
        way.loses = None
        await hears_friend(box)
    assert way.lost.is_set()
