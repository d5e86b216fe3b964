"""A box that is configured without a microphone or without a speaker, in a room."""

import asyncio

import pytest
from livekit import rtc

from appliance.config import Config, SoundConfig
from appliance.core.commands import SendChat
from appliance.core.events import ChatSent, PeopleChanged, RoomPaused, RoomResumed
from tests.room.conftest import open_box
from tests.room.fakes import DEADLINE_S


async def test_a_box_without_a_microphone_publishes_nothing_and_hears(server):
    async with open_box(Config(sound=SoundConfig(microphone="none"))) as box:
        joined = await box.join(server)
        assert joined.permissions.may_publish
        await _hears_friend(server, box)
    assert not box.feed.connects


@pytest.mark.parametrize("microphone", ["none", ()])
async def test_a_new_connection_is_noticed_without_a_track(server, microphone):
    async with open_box(Config(sound=SoundConfig(microphone=microphone))) as box:
        await box.join(server, canPublish=microphone == "none")
        await box.sdk_room.simulate_scenario(
            rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT
        )
        await box.until(RoomPaused)
        assert (await box.until(RoomResumed)).is_new


async def _hears_friend(server, box):
    """Let somebody come who sees no track of the box, and is heard."""
    async with server.friend("ann") as friend:
        await friend.say(700)
        talker = await box.talker()
        await asyncio.to_thread(box.playback.sound, talker, 0.2)
        assert not friend.room.remote_participants["box"].track_publications


async def test_a_box_without_a_speaker_subscribes_to_nothing_and_is_heard(server):
    def has_track(event):
        return any(not person.is_muted for person in event.people)

    async with (
        open_box(Config(sound=SoundConfig(speaker="none"))) as box,
        server.friend("ann") as friend,
    ):
        await box.join(server)
        await friend.say(700)
        await box.until(PeopleChanged, has_track)
        box.room.do(SendChat(1, "m1", "hello", 0))
        await box.until(ChatSent)
        async with asyncio.timeout(DEADLINE_S):
            await friend.hear(0.2)
        assert not box.playback.talkers
