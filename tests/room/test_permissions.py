"""Permissions and mutes set by a moderator or the token."""

import asyncio

import pytest
from livekit import rtc

from appliance.core.commands import SendChat, UnmuteTrack
from appliance.core.events import (
    ChatFailed,
    ChatSent,
    Permissions,
    PermissionsChanged,
    RoomLost,
)
from appliance.room import stats
from appliance.room.connection import OLD_PERMISSIONS
from tests.room.conftest import administer, open_box
from tests.room.fakes import DEADLINE_S, amplitude, strongest_hz

FULL_RECONNECT = rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT
ALL = {"can_subscribe": True, "can_publish": True, "can_publish_data": True}
LOUD = 5000
QUIET = 100


async def permit(server, **changes):
    permission = ALL | changes
    await administer(server, "UpdateParticipant", identity="box", permission=permission)


async def mute(server, friend):
    (publication,) = friend.room.remote_participants["box"].track_publications.values()
    await administer(
        server,
        "MutePublishedTrack",
        identity="box",
        track_sid=publication.sid,
        muted=True,
    )


async def permissions_are(box, **facts):
    wanted = Permissions(**facts)
    await box.until(PermissionsChanged, lambda event: event.permissions == wanted)


async def hears_tone(friend):
    """Wait until the friend hears the box."""
    while True:
        sound = await friend.hear(0.5)
        if abs(strongest_hz(sound) - 440) < 10 and amplitude(sound) > LOUD:
            return


async def hears_friend(box):
    """Wait until the box hears its friend."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            talker = await box.talker()
            sound = await asyncio.to_thread(box.playback.sound, talker, 0.5)
            if abs(strongest_hz(sound) - 700) < 10:
                return


async def hears_nothing(friend):
    """Wait until the friend does not hear the box any more."""
    while amplitude(await friend.hear(0.5)) > QUIET:
        pass


async def test_everything_is_allowed_by_an_ordinary_token(server, box):
    assert (await box.join(server)).permissions == Permissions()


async def test_a_moderators_mute_is_posted_and_can_be_undone(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        await hears_tone(friend)
        for _ in range(2):
            await mute(server, friend)
            await permissions_are(box, is_server_muted=True)
            await hears_nothing(friend)
            box.room.do(UnmuteTrack(1))
            await permissions_are(box)
            await hears_tone(friend)


async def test_a_track_that_was_forbidden_is_published_again_once_allowed(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        await hears_tone(friend)
        for _ in range(2):
            await permit(server, can_publish=False)
            await permissions_are(box, may_publish=False)
            async with asyncio.timeout(DEADLINE_S):
                while box.feed.is_connected:
                    await asyncio.sleep(0.01)
            await permit(server)
            await permissions_are(box)
            await hears_tone(friend)
    assert not any(isinstance(event, RoomLost) for event in box.events)


async def test_a_permission_that_a_new_connection_restores_is_asked_for_again(
    server, box
):
    await box.join(server)
    await permit(server, can_publish=False)
    await permissions_are(box, may_publish=False)
    await box.sdk_room.simulate_scenario(FULL_RECONNECT)
    assert (await box.until(RoomLost)).failure is OLD_PERMISSIONS
    joined = await box.join(server, 2)
    assert joined.permissions == Permissions()


async def test_a_microphone_that_is_not_among_the_sources_is_forbidden(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        await permit(server, can_publish_sources=["CAMERA"])
        await permissions_are(box, may_publish=False)
        await permit(server, can_publish_sources=["MICROPHONE"])
        await permissions_are(box)
        await hears_tone(friend)


async def test_after_rapid_changes_the_last_permission_applies(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        for _ in range(4):
            await permit(server, can_publish=False)
            await permit(server)
        await hears_tone(friend)
    assert not any(isinstance(event, RoomLost) for event in box.events)


@pytest.mark.parametrize("is_plain", [True, False])
async def test_chat_that_the_room_drops_is_never_reported_as_sent(
    server, is_plain, plain
):
    async with open_box(plain(is_plain)) as box:
        await box.join(server)
        box.room.do(SendChat(1, "a", "hello", 0))
        await box.until(ChatSent)
        await permit(server, can_publish_data=False)
        await permissions_are(box, may_send_data=False)
        box.room.do(SendChat(1, "b", "hello", 0))
        failed = await box.until(ChatFailed)
        assert (failed.id, "canPublishData" in failed.reason) == ("b", True)
        await permit(server)
        await permissions_are(box)
        box.room.do(SendChat(1, "c", "hello", 0))
        assert (await box.until(ChatSent)).id == "c"


async def test_a_revoked_and_granted_subscription_is_played_again(
    server, box, monkeypatch
):
    monkeypatch.setattr(stats, "EVERY_S", 0.5)
    async with server.friend("ann") as friend:
        await friend.say(700)
        await box.join(server)
        await hears_friend(box)
        await permit(server, can_subscribe=False)
        await permissions_are(box, may_subscribe=False)
        # A box without any audio gives up the room, but not for that.
        await asyncio.sleep(4.0)
        assert not any(isinstance(event, RoomLost) for event in box.events)
        await permit(server)
        await permissions_are(box)
        # The server offers the same track again.
        async with asyncio.timeout(DEADLINE_S):
            while not box.playback.removed:
                await asyncio.sleep(0.01)
        await hears_friend(box)


async def test_a_subscription_granted_after_joining_is_played(server, box):
    async with server.friend("ann") as friend:
        await friend.say(700)
        await box.join(server, canSubscribe=False)
        await permit(server)
        await permissions_are(box)
        await hears_friend(box)


@pytest.mark.parametrize(
    ("grant", "missing"),
    [
        ({"canPublish": False, "canPublishData": True}, "may_publish"),
        ({"canPublishSources": ["camera"]}, "may_publish"),
        ({"canSubscribe": False}, "may_subscribe"),
        ({"canPublishData": False}, "may_send_data"),
    ],
)
async def test_permissions_missing_in_the_token_are_posted_on_joining(
    server, box, grant, missing
):
    joined = await box.join(server, **grant)
    assert joined.permissions == Permissions(**{missing: False})


async def test_a_token_for_listening_hears_and_may_talk_later(server, box):
    async with server.friend("ann") as friend:
        await friend.say(700)
        await box.join(server, canPublish=False)
        talker = await box.talker()
        await asyncio.to_thread(box.playback.sound, talker, 0.5)
        assert not box.feed.is_connected
        await permit(server)
        await permissions_are(box)
        await hears_tone(friend)


async def test_a_mute_outlasts_a_resumed_connection(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        await hears_tone(friend)
        await mute(server, friend)
        await permissions_are(box, is_server_muted=True)
        await box.sdk_room.simulate_scenario(
            rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT
        )
        await hears_nothing(friend)
        box.room.do(UnmuteTrack(1))
        await hears_tone(friend)
