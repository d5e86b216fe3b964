"""Requests that the server never reads because the connection breaks."""

import asyncio
import logging

import pytest
from livekit import rtc

from appliance.core.events import RoomJoined, RoomLost, RoomPaused, RoomResumed
from appliance.room import stats, subscriber
from appliance.room.failures import NOT_SENT
from tests.dtelecom.real_node import Node
from tests.room.conftest import join_room
from tests.room.fakes import DEADLINE_S
from tests.room.test_permissions import hears_friend, hears_tone

ADD_TRACK, SUBSCRIPTION = 4, 6
"""Fields of LiveKit's `SignalRequest`."""
FULL_RECONNECT = rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT


@pytest.fixture
async def way(server):
    """Way to the server, on which messages get lost."""
    async with Node(server, changed=lambda message: message) as running:
        yield running


async def join(box, server, way, **facts):
    box.room.do(join_room(1, way.url, server.token("box"), **facts))
    await box.until(RoomJoined)


@pytest.mark.parametrize("is_dtelecom", [False, True])
async def test_a_room_is_given_up_if_the_library_could_not_publish_the_track_again(
    server, way, box, monkeypatch, is_dtelecom
):
    monkeypatch.setattr(stats, "EVERY_S", 0.5)
    async with server.friend("ann") as friend:
        await join(box, server, way, is_dtelecom=is_dtelecom)
        await hears_tone(friend)
        way.loses = ADD_TRACK
        await box.sdk_room.simulate_scenario(FULL_RECONNECT)
        assert (await box.until(RoomLost)).failure is NOT_SENT
        assert way.lost.is_set()


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
    monkeypatch.setattr(subscriber, "LATE_S", 0.5)
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
