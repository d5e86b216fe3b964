"""Encrypted rooms, and participants with another key or none."""

import asyncio

import pytest
from livekit import rtc

from appliance.config import Config, Preset, RoomConfig
from appliance.core.events import Failure, PeopleChanged, RoomJoined, RoomResumed
from appliance.room.encryption import (
    ENCRYPTED,
    NOT_ENCRYPTED,
    OTHER_KEY,
    PATIENCE_S,
    encryption,
)
from tests.room.conftest import join_room, open_box
from tests.room.fakes import amplitude
from tests.room.test_sound import comes, heard, listened


def key_file(folder, key):
    path = folder / "key"
    path.write_text(f"{key}\n", encoding="utf-8")
    return str(path)


def with_key(key):
    options = rtc.KeyProviderOptions(shared_key=key)
    return rtc.RoomOptions(encryption=rtc.E2EEOptions(options))


def test_a_key_file_that_no_system_can_name_is_a_failure_to_join():
    found = encryption("key\0")
    assert isinstance(found, Failure)
    assert "cannot be read (embedded null byte)" in found.reason


async def test_with_the_same_key_both_are_heard(server, tmp_path, encrypted):
    async with (
        open_box(encrypted(key_file(tmp_path, "swordfish"))) as box,
        server.friend("ann", with_key(b"swordfish")) as friend,
    ):
        await friend.say(700)
        await box.join(server)
        assert await comes(heard, box, 700)
        assert await comes(listened, friend, 440)


async def test_a_preset_has_its_own_key(server, tmp_path):
    key = key_file(tmp_path, "swordfish")
    garage = Preset(name="garage", encryption_key_file=key)
    config = Config(room=RoomConfig(presets=(garage,)))
    async with (
        open_box(config) as box,
        server.friend("ann", with_key(b"swordfish")) as friend,
    ):
        await friend.say(700)
        box.room.do(join_room(1, server.url, server.token("box"), "garage"))
        assert await comes(heard, box, 700)
        assert await comes(listened, friend, 440)
        box.room.do(join_room(2, server.url, server.token("box")))
        joined = await box.until(RoomJoined, lambda event: event.ticket == 2)
        assert faults(joined) == {"ann": ENCRYPTED}


async def test_with_another_key_nothing_is_heard(server, tmp_path, encrypted):
    async with (
        open_box(encrypted(key_file(tmp_path, "swordfish"))) as box,
        server.friend("ann", with_key(b"tuna")) as friend,
    ):
        await friend.say(700)
        await box.join(server)
        assert amplitude(await heard(box)) < 100


def faults(event):
    people = event.people if isinstance(event, PeopleChanged | RoomJoined) else ()
    return {person.id: person.sound_fault for person in people if person.sound_fault}


async def faults_are(box, wanted):
    await box.until(PeopleChanged, lambda event: faults(event) == wanted)


def all_faults(box):
    return [found for event in box.events if (found := faults(event))]


async def test_encrypted_audio_without_a_key_is_a_fault_and_is_not_played(server, box):
    async with server.friend("ann", with_key(b"x")) as ann, server.friend("bob") as bob:
        await ann.say(700)
        assert faults(await box.join(server)) == {"ann": ENCRYPTED}
        await bob.say(1100)
        assert await comes(heard, box, 1100)
        assert box.playback.talkers == {
            f"bob/{sid}" for sid in bob.room.local_participant.track_publications
        }


async def test_encrypted_audio_that_begins_later_is_a_fault_then(server, box):
    async with server.friend("ann", with_key(b"x")) as ann:
        assert faults(await box.join(server)) == {}
        track = await ann.say(700)
        await box.until(
            PeopleChanged, lambda event: faults(event) == {"ann": ENCRYPTED}
        )
        await ann.room.local_participant.unpublish_track(track.sid)
        await faults_are(box, {})
    assert not box.playback.talkers


async def test_unencrypted_audio_in_an_encrypted_room_is_a_fault(
    server, tmp_path, encrypted
):
    async with (
        open_box(encrypted(key_file(tmp_path, "swordfish"))) as box,
        server.friend("ann") as ann,
    ):
        await ann.say(700)
        assert faults(await box.join(server)) == {"ann": NOT_ENCRYPTED}
        assert await comes(heard, box, 700)


async def test_audio_encrypted_with_another_key_is_a_fault(server, tmp_path, encrypted):
    async with (
        open_box(encrypted(key_file(tmp_path, "swordfish"))) as box,
        server.friend("ann", with_key(b"tuna")) as ann,
        server.friend("bob", with_key(b"swordfish")) as bob,
    ):
        await box.join(server)
        await ann.say(700)
        await bob.say(1100)
        await box.until(
            PeopleChanged, lambda event: faults(event) == {"ann": OTHER_KEY}
        )
    assert all("bob" not in found for found in all_faults(box))


async def test_another_key_is_a_fault_also_of_who_speaks_only_shortly_each_time(
    server, tmp_path, encrypted
):
    async with (
        open_box(encrypted(key_file(tmp_path, "swordfish"))) as box,
        server.friend("ann", with_key(b"tuna")) as ann,
    ):
        await box.join(server)
        track = await ann.say(700)
        for _ in range(10):
            await asyncio.sleep(PATIENCE_S / 2)
            track.mute()
            await box.until(PeopleChanged, lambda event: event.people[0].is_muted)
            if all_faults(box):
                break
            track.unmute()
        assert all_faults(box)[0] == {"ann": OTHER_KEY}


async def test_audio_encrypted_with_the_same_key_is_never_a_fault(
    server, tmp_path, encrypted
):
    async with (
        open_box(encrypted(key_file(tmp_path, "swordfish"))) as box,
        server.friend("ann", with_key(b"swordfish")) as ann,
    ):
        track = await ann.say(700)
        await box.join(server)
        for _ in range(2):
            await box.until(PeopleChanged, lambda event: event.people[0].is_speaking)
            track.mute()
            await box.until(PeopleChanged, lambda event: event.people[0].is_muted)
            track.unmute()
        await heard(box)
    assert all_faults(box) == []


FULL_RECONNECT = rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT


@pytest.mark.parametrize("is_muted", [True, False])
async def test_who_stops_speaking_while_the_box_is_away_has_no_other_key(
    server, tmp_path, encrypted, is_muted
):
    """The server does not say that they have stopped, and nothing is decrypted."""
    async with (
        open_box(encrypted(key_file(tmp_path, "swordfish"))) as box,
        server.friend("ann", with_key(b"swordfish")) as ann,
    ):
        track = await ann.say(700)
        await box.join(server)
        await box.until(PeopleChanged, lambda event: event.people[0].is_speaking)
        if is_muted:
            track.mute()
            await box.sdk_room.simulate_scenario(FULL_RECONNECT)
            await box.until(RoomResumed)
        else:
            await ann.room.local_participant.unpublish_track(track.sid)
        await asyncio.sleep(PATIENCE_S + 1)
        # So that the list is posted again.
        async with server.friend("bob", with_key(b"swordfish")) as bob:
            await bob.stay_muted()
            await box.until(PeopleChanged, lambda event: len(event.people) == 2)
    assert all_faults(box) == []


async def test_the_end_of_one_track_is_no_fault_of_another_of_the_same_participant(
    server, tmp_path, encrypted
):
    """The library reports the first success of each track only."""
    async with (
        open_box(encrypted(key_file(tmp_path, "swordfish"))) as box,
        server.friend("ann", with_key(b"swordfish")) as ann,
    ):
        await ann.say(700)
        screen = await ann.say(1100)
        await box.join(server)
        await box.playback.count(2)
        for talker in box.playback.talkers:
            await asyncio.to_thread(box.playback.sound, talker, 0.5)
        await ann.room.local_participant.unpublish_track(screen.sid)
        await box.playback.count(1)
        await asyncio.sleep(PATIENCE_S + 1)
        assert await comes(heard, box, 700)
    assert all_faults(box) == []
