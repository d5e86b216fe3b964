"""Participants, names, chat and server addresses as they occur in real rooms."""

import asyncio
import base64
import json
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from appliance.core.events import (
    Cause,
    ChatReceived,
    Participant,
    PeopleChanged,
    RoomFailed,
    RoomJoined,
)
from tests.room.conftest import administer, join_room
from tests.room.fakes import DEADLINE_S, strongest_hz
from tests.room.test_permissions import hears_friend, hears_tone


def are(*names):
    return lambda event: [person.name for person in event.people] == [*names]


async def is_played(box, talker, hz):
    """Wait until this talker of the playback has this tone."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            sound = await asyncio.to_thread(box.playback.sound, talker, 0.3)
            if abs(strongest_hz(sound) - hz) < 10:
                return


async def test_every_track_of_one_participant_is_played(server, box):
    async with server.friend("ann", name="Ann") as friend:
        await friend.say(700)
        second = await friend.say(1100)
        joined = await box.join(server)
        assert joined.people == (Participant("ann", "Ann"),)
        await box.playback.count(2)
        (talker,) = (x for x in box.playback.talkers if x.endswith(second.sid))
        (other,) = box.playback.talkers - {talker}
        await is_played(box, talker, 1100)
        await is_played(box, other, 700)
        await friend.room.local_participant.unpublish_track(second.sid)
        await box.playback.count(1)
        await is_played(box, other, 700)


async def test_a_participant_with_one_of_two_tracks_muted_is_not_muted(server, box):
    async with server.friend("ann") as friend:
        await friend.say(700)
        await box.join(server)
        await friend.stay_muted()
        await box.playback.count(2)
        assert not any(
            person.is_muted
            for event in box.events
            if isinstance(event, PeopleChanged)
            for person in event.people
        )


async def test_a_new_name_is_shown_at_once(server, box):
    async with server.friend("ann", name="Ann", canUpdateOwnMetadata=True) as friend:
        await box.join(server)
        await friend.room.local_participant.set_name("Anna\n\u202eB")
        await box.until(PeopleChanged, are("Anna B"))
        await friend.room.local_participant.send_text("hello", topic="lk.chat")
        assert (await box.until(ChatReceived)).message.sender_name == "Anna B"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("This box", "This box (guest)"),
        ("KITCHEN", "KITCHEN (guest)"),
        ("<b>x</b>\n\x1b[31m\u202e", "<b>x</b> [31m"),
        ("n" * 500, "n" * 64),
        ("\u200b \t", "ann"),
    ],
)
async def test_hostile_names_are_shown_as_one_harmless_line(server, box, name, shown):
    async with server.friend("ann", name=name) as friend:
        joined = await box.join(server, name="Kitchen")
        assert [person.name for person in joined.people] == [shown]
        text = f"{name}\x00\u2066"
        await friend.room.local_participant.send_text(f"a{text}", topic="lk.chat")
        message = (await box.until(ChatReceived)).message
    assert message.sender_name == shown
    assert not {"\x00", "\x1b", "\u202e", "\u2066"} & {*message.text}


async def test_participants_of_every_kind_are_listed_and_a_telephone_is_heard(
    server, box
):
    kinds = ("sip", "agent", "ingress", "egress")
    async with AsyncExitStack() as stack:
        friends = [
            await stack.enter_async_context(server.friend(kind, kind=kind))
            for kind in kinds
        ]
        joined = await box.join(server)
        assert {person.id for person in joined.people} == {*kinds}
        assert [x.id for x in joined.people if x.is_agent] == ["agent"]
        await friends[0].say(700)
        await hears_friend(box)
        await hears_tone(friends[0])


async def test_somebody_who_mutes_and_unmutes_again_and_again_is_heard(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        track = await friend.say(700)
        await hears_friend(box)
        for _ in range(3):
            track.mute()
            await box.until(PeopleChanged, lambda event: event.people[0].is_muted)
            track.unmute()
            await box.until(PeopleChanged, lambda event: not event.people[0].is_muted)
            await hears_friend(box)


async def test_somebody_who_joins_again_with_the_same_identity_is_heard(server, box):
    async with server.friend("ann") as first:
        await first.say(700)
        await box.join(server)
        await hears_friend(box)
        async with server.friend("ann") as second:
            await box.playback.count(0)
            await second.say(700)
            await hears_friend(box)


async def test_chat_sent_by_the_servers_api_is_shown(server, box):
    await box.join(server)
    shape = {"id": "a", "text": "dinner", "ts": 1}
    payload = base64.b64encode(json.dumps(shape).encode()).decode()
    await administer(server, "SendData", data=payload, kind="RELIABLE", topic="chat")
    message = (await box.until(ChatReceived)).message
    assert (message.text, message.sender_name) == ("dinner", "unknown")


async def test_a_full_room_may_be_tried_again(server, box):
    await administer(server, "CreateRoom", name="kitchen", max_participants=1)
    async with server.friend("ann"):
        box.room.do(join_room(1, server.url, server.token("box")))
        failed = (await box.until(RoomFailed)).failure
        assert (failed.cause, failed.is_final) == (Cause.SERVER_LOST, False)
    async with asyncio.timeout(DEADLINE_S):
        while not any(isinstance(event, RoomJoined) for event in box.events):
            box.room.do(join_room(2, server.url, server.token("box")))
            await box.until((RoomFailed, RoomJoined))


@asynccontextmanager
async def proxy(server, path="", host="127.0.0.1", *, refused=0):
    """Pass connections on to the server, which is behind this path.

    So many are refused at first.
    """

    async def forward(reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader, writer):
        nonlocal refused
        if refused:
            refused -= 1
            writer.transport.abort()
            return
        head = await reader.readuntil(b"\r\n\r\n")
        verb, target, rest = head.split(b" ", 2)
        assert target.startswith(path.encode())
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server.port)
        up_writer.write(b" ".join((verb, target[len(path) :], rest)))
        await asyncio.gather(forward(reader, up_writer), forward(up_reader, writer))

    async with await asyncio.start_server(accept, host, 0) as listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("url", "path", "host"),
    [
        ("ws://127.0.0.1:{}/", "", "127.0.0.1"),
        ("ws://127.0.0.1:{}/livekit", "/livekit", "127.0.0.1"),
        ("ws://127.0.0.1:{}/a/b/", "/a/b", "127.0.0.1"),
        ("WS://LocalHost:{}", "", "127.0.0.1"),
        ("ws://[::1]:{}", "", "::1"),
        ("http://127.0.0.1:{}", "", "127.0.0.1"),
    ],
)
async def test_every_form_of_the_servers_address_is_joined(
    server, box, url, path, host
):
    async with proxy(server, path, host) as port, server.friend("ann") as friend:
        box.room.do(join_room(1, url.format(port), server.token("box")))
        await box.until(RoomJoined)
        await hears_tone(friend)
        await box.leave()
