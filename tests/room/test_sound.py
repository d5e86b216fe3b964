"""Speech to and from others in a real room."""

import asyncio
from functools import partial

import pytest
from livekit import rtc

from appliance.core.events import RoomLost, RoomPaused, RoomResumed
from tests.room.fakes import DEADLINE_S, amplitude, strongest_hz

PATIENCE_S = 30
RECONNECTS = [
    rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT,
    rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT,
]


async def heard(box):
    """Return half a second of the one talker, after its first half second."""
    return await recorded(box, await box.talker())


async def recorded(box, talker):
    """Return half a second of a talker, after its first half second."""
    await asyncio.to_thread(box.playback.sound, talker, 0.5)
    return await asyncio.to_thread(box.playback.sound, talker, 0.5)


async def listened(friend):
    """Return half a second of what a friend hears, after the first half second."""
    await friend.hear(0.5)
    return await friend.hear(0.5)


async def comes(listen, whom, hz):
    """Return whether this tone is heard soon; a busy machine has gaps."""
    for _ in range(PATIENCE_S):
        if is_tone(await listen(whom), hz):
            return True
    return False


def is_tone(sound, hz):
    return abs(strongest_hz(sound) - hz) < 10 and 5000 < amplitude(sound) < 11000


async def test_a_talker_who_joined_before_us_is_played(server, box):
    async with server.friend("ann") as friend:
        await friend.say(700)
        await box.join(server)
        assert await comes(heard, box, 700)


async def test_a_talker_who_joined_after_us_is_played(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        await friend.say(700)
        assert await comes(heard, box, 700)


async def test_we_are_heard(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        assert await comes(listened, friend, 440)


async def test_talkers_are_played_separately(server, box):
    async with server.friend("ann") as ann, server.friend("bob") as bob:
        await ann.say(700)
        await bob.say(1100)
        await box.join(server)
        await box.playback.count(2)
        tones = {"ann": 700, "bob": 1100}
        for talker in box.playback.talkers:
            hz = tones[talker.partition("/")[0]]
            assert await comes(partial(recorded, box), talker, hz)


async def test_a_talker_who_leaves_is_removed(server, box):
    async with server.friend("ann") as friend:
        await friend.say(700)
        await box.join(server)
        await box.talker()
    await box.playback.count(0)
    assert len(box.playback.removed) == 1


async def test_a_track_that_is_unpublished_is_removed(server, box):
    async with server.friend("ann") as friend:
        track = await friend.say(700)
        await box.join(server)
        await box.talker()
        await friend.room.local_participant.unpublish_track(track.sid)
        await box.playback.count(0)


async def test_video_is_never_subscribed_to(server, box):
    async with server.friend("ann") as friend:
        await friend.show()
        await friend.say(700)
        await box.join(server)
        await box.talker()
        # The publisher's side reports any subscription.
        (camera, publisher) = friend.room.local_participant.track_publications.values()
        await asyncio.wait_for(publisher.wait_for_subscription(), DEADLINE_S)
        subscribed = asyncio.create_task(camera.wait_for_subscription())
        await asyncio.sleep(0)
        assert not subscribed.done()
        subscribed.cancel()


@pytest.mark.parametrize("scenario", RECONNECTS)
async def test_after_a_resumed_connection_both_are_heard(server, box, scenario):
    async with server.friend("ann") as friend:
        await friend.say(700)
        await box.join(server)
        await box.talker()
        await box.sdk_room.simulate_scenario(scenario)
        await box.until(RoomPaused)
        resumed = await box.until(RoomResumed)
        is_new = scenario is rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT
        assert resumed.is_new is is_new
        assert await comes(heard, box, 700)
        assert await comes(listened, friend, 440)


async def test_after_a_server_restart_both_are_heard(server, box):
    await box.join(server)
    await server.kill()
    await box.until(RoomPaused)
    await server.start()
    assert (await box.until(RoomResumed)).is_new
    async with server.friend("ann") as friend:
        await friend.say(700)
        assert await comes(heard, box, 700)
        assert await comes(listened, friend, 440)


async def test_the_feed_is_disconnected_when_the_room_is_lost(server, box):
    await box.join(server)
    assert box.feed.is_connected
    async with server.friend("box"):
        await box.until(RoomLost)
    assert not box.feed.is_connected
