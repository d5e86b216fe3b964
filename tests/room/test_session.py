"""Joining, leaving and losing a room, with a real server."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import weakref

import pytest
from livekit import rtc

from appliance.core.commands import SendChat
from appliance.core.events import (
    Cause,
    ChatFailed,
    ConnectionMeasured,
    Participant,
    PeopleChanged,
    RoomFailed,
    RoomJoined,
    RoomLeft,
    RoomLost,
    RoomPaused,
)
from appliance.room import connection, session
from appliance.room.ffi import ffi_events
from tests.room import sdk_parts
from tests.room.conftest import administer, join_room, open_box
from tests.room.fakes import DEADLINE_S

SECRET = "not-the-secret-of-this-server-but-long"


async def test_joining_names_the_room_and_who_is_there(server, box):
    async with server.friend("ann", name="Ann"), server.friend("bob"):
        joined = await box.join(server)
    assert joined.room == "kitchen"
    assert set(joined.people) == {
        Participant("ann", "Ann", is_muted=True),
        Participant("bob", "bob", is_muted=True),
    }


async def test_people_come_speak_fall_silent_and_go(server, box):
    def is_now(**facts):
        return lambda event: event.people == (Participant("ann", "Ann", **facts),)

    await box.join(server)
    async with server.friend("ann", name="Ann") as friend:
        await box.until(PeopleChanged, is_now(is_muted=True))
        track = await friend.say(700)
        await box.until(PeopleChanged, is_now(is_speaking=True))
        track.mute()
        await box.until(PeopleChanged, is_now(is_muted=True))
    await box.until(PeopleChanged, lambda event: event.people == ())


async def test_our_own_speech_marks_nobody_else_as_speaking(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        await friend.hear(1.0)
    assert not any(
        person.is_speaking
        for event in box.events
        if isinstance(event, PeopleChanged)
        for person in event.people
    )


async def test_hidden_participants_are_not_listed(server, box):
    async with server.friend("spy", hidden=True), server.friend("ann"):
        joined = await box.join(server)
    assert [person.id for person in joined.people] == ["ann"]


async def test_the_round_trip_is_measured(server, box):
    await box.join(server)
    measured = await box.until(
        ConnectionMeasured, lambda event: event.rtt_s is not None
    )
    assert 0 <= measured.rtt_s < 1


async def test_leaving_posts_an_event_and_is_seen_by_others(server, box):
    async with server.friend("ann") as friend:
        came, gone = asyncio.Event(), asyncio.Event()
        friend.room.on("participant_connected", lambda _: came.set())
        friend.room.on("participant_disconnected", lambda _: gone.set())
        await box.join(server)
        # Only a participant that was seen to arrive is seen to leave.
        await asyncio.wait_for(came.wait(), DEADLINE_S)
        assert await box.leave() == RoomLeft(1)
        await asyncio.wait_for(gone.wait(), DEADLINE_S)
    assert not box.feed.is_connected
    assert isinstance(box.events[-1], RoomLeft)


async def test_nothing_is_posted_after_the_session_was_left(server, box):
    async with server.friend("ann") as friend:
        await box.join(server)
        session = box.room.session
        await box.leave()
        events = len(box.events)
        packet = rtc.DataPacket(
            data=b'{"text": "late"}',
            kind=rtc.DataPacketKind.KIND_RELIABLE,
            participant=friend.room.remote_participants.get("box"),
            topic="chat",
        )
        session.chat.received(packet)
        session.room.emit("reconnecting")
        await asyncio.sleep(0.1)
        assert len(box.events) == events


async def test_an_interruption_while_joining_is_reported_after_it(server, box):
    box.room.do(join_room(1, server.url, server.token("box")))
    box.room.session.room.emit("reconnecting")
    joined = await box.until(RoomJoined)
    async with asyncio.timeout(DEADLINE_S):
        while RoomPaused(1) not in box.events[box.events.index(joined) :]:
            await asyncio.sleep(0.01)


async def test_leaving_twice_posts_two_events(server, box):
    await box.join(server)
    await box.leave()
    assert await box.leave() == RoomLeft(1)


async def test_leaving_a_room_never_joined_posts_an_event(box):
    assert await box.leave(7) == RoomLeft(7)


async def test_each_session_has_its_own_ticket(server, box):
    for ticket in (1, 2, 3):
        assert (await box.join(server, ticket)).ticket == ticket
        assert (await box.leave(ticket)).ticket == ticket
    assert box.feed.connects == 3


async def test_leaving_at_any_moment_of_joining_posts_an_event(server, box):
    for moment in range(12):
        box.room.do(join_room(moment, server.url, server.token("box")))
        with contextlib.suppress(TimeoutError):
            # Joining goes on meanwhile.
            await asyncio.wait_for(asyncio.Event().wait(), moment * 0.012)
        assert await box.leave(moment) == RoomLeft(moment)
    # The abandoned attempts do not disturb the next one.
    assert (await box.join(server, 99)).people == ()


async def test_a_frozen_server_does_not_delay_leaving(server, box):
    await box.join(server)
    with frozen(server):
        assert await box.leave() == RoomLeft(1)


async def test_a_server_that_freezes_while_joining_does_not_delay_leaving(server, box):
    with frozen(server):
        box.room.do(join_room(1, server.url, server.token("box")))
        assert await box.leave() == RoomLeft(1)


async def test_another_client_with_the_same_identity_replaces_us(server, box):
    await box.join(server)
    async with server.friend("box"):
        lost = (await box.until(RoomLost)).failure
    assert lost.cause is Cause.REPLACED
    assert "identity" in lost.reason


async def test_a_server_shutdown_has_its_own_reason(server, box):
    await box.join(server)
    await box.sdk_room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_SERVER_LEAVE)
    lost = (await box.until(RoomLost)).failure
    assert lost.cause is Cause.SERVER_LOST
    assert "shutting down" in lost.reason


async def test_being_removed_has_its_own_reason(server, box):
    await box.join(server)
    await administer(server, "RemoveParticipant", identity="box")
    lost = (await box.until(RoomLost)).failure
    assert lost.cause is Cause.ROOM_CLOSED
    assert "removed" in lost.reason


async def until_connected(box):
    async with asyncio.timeout(DEADLINE_S):
        while not box.sdk_room.isconnected():
            await asyncio.sleep(0.001)


@pytest.fixture
def reason_comes(monkeypatch):
    """Wait for the reason of a disconnect, however late a busy machine delivers it."""
    monkeypatch.setattr(session, "REASON_S", DEADLINE_S)


@pytest.mark.usefixtures("reason_comes")
@pytest.mark.parametrize("attempt", range(3))
async def test_being_removed_while_joining_has_its_own_reason(server, box, attempt):
    """Each time at another moment of publishing."""
    box.room.do(join_room(attempt, server.url, server.token("box")))
    await until_connected(box)
    await administer(server, "RemoveParticipant", identity="box")
    failed = (await box.until((RoomFailed, RoomLost))).failure
    assert failed.cause is Cause.ROOM_CLOSED
    assert "removed" in failed.reason


@pytest.mark.usefixtures("reason_comes")
async def test_being_replaced_while_joining_has_its_own_reason(server, box):
    box.room.do(join_room(1, server.url, server.token("box")))
    await until_connected(box)
    async with server.friend("box"):
        failed = (await box.until((RoomFailed, RoomLost))).failure
    assert failed.cause is Cause.REPLACED


async def test_a_closed_room_has_its_own_cause(server, box):
    await box.join(server)
    await administer(server, "DeleteRoom")
    assert (await box.until(RoomLost)).failure.cause is Cause.ROOM_CLOSED


def wrong_tokens(server):
    return {
        "garbage": "garbage",
        "not even text": "gar\nbage",
        "another server's": server.token("box", key="stranger"),
        "forged": server.token("box", secret=SECRET),
        "no roomJoin": server.token("box", roomJoin=False),
    }


@pytest.mark.parametrize(
    "which",
    [
        "garbage",
        "not even text",
        "another server's",
        "forged",
        "no roomJoin",
    ],
)
async def test_a_wrong_token_is_refused_for_good(server, box, caplog, which):
    caplog.set_level(logging.DEBUG)
    token = wrong_tokens(server)[which]
    box.room.do(join_room(1, server.url, token))
    failed = (await box.until(RoomFailed)).failure
    assert failed.cause is Cause.REFUSED
    assert failed.is_final
    await box.leave(2)
    assert token not in caplog.text
    assert "eyJ" not in caplog.text + failed.reason


async def test_a_server_that_is_down_has_its_own_reason(server, box):
    await server.kill()
    box.room.do(join_room(1, server.url, server.token("box")))
    failed = (await box.until(RoomFailed)).failure
    assert (failed.cause, failed.is_final) == (Cause.SERVER_LOST, False)
    assert "nothing answers" in failed.reason


async def test_an_unknown_host_name_has_its_own_cause(server, box):
    box.room.do(join_room(1, "ws://nowhere.invalid", server.token("box")))
    failed = (await box.until(RoomFailed)).failure
    assert (failed.cause, failed.is_final) == (Cause.NO_INTERNET, False)


async def test_an_invalid_address_has_its_own_cause(server, box):
    box.room.do(join_room(1, "kitchen", server.token("box")))
    failed = (await box.until(RoomFailed)).failure
    assert (failed.cause, failed.is_final) == (Cause.MISCONFIGURED, True)


async def test_a_failed_tls_handshake_has_its_own_reason(server, box):
    url = server.url.replace("ws://", "wss://")
    box.room.do(join_room(1, url, server.token("box")))
    failed = (await box.until(RoomFailed)).failure
    assert (failed.cause, failed.is_final) == (Cause.SERVER_LOST, False)
    assert "clock" in failed.reason


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_a_server_that_is_not_livekit_has_its_own_cause(server, box, status):
    async with answering(status) as url:
        box.room.do(join_room(1, url, server.token("box")))
        failed = (await box.until(RoomFailed)).failure
    assert (failed.cause, failed.is_final) == (Cause.SERVER_LOST, False)


async def test_joining_a_server_that_never_answers_times_out(server, box, monkeypatch):
    monkeypatch.setattr(connection, "JOIN_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        box.room.do(join_room(1, url, server.token("box")))
        failed = (await box.until(RoomFailed)).failure
    assert failed.cause is Cause.SERVER_LOST


async def test_an_unreadable_key_file_has_its_own_reason(server, tmp_path, encrypted):
    async with open_box(encrypted(str(tmp_path / "none"))) as box:
        box.room.do(join_room(1, server.url, server.token("box")))
        failed = (await box.until(RoomFailed)).failure
    assert (failed.cause, failed.is_final) == (Cause.MISCONFIGURED, True)
    assert "encryption_key_file" in failed.reason


async def test_chat_without_a_room_fails(box):
    box.room.do(SendChat(3, "a", "hello", 0))
    assert (await box.until(ChatFailed)).id == "a"


async def test_ten_sessions_leak_nothing(server, box):
    async def sessions(first, last):
        async with server.friend("ann", listens=False) as friend:
            await friend.say(700)
            for ticket in range(first, last):
                await box.join(server, ticket)
                await box.talker()
                await box.leave(ticket)

    await sessions(1, 3)
    before = await leftovers()
    await sessions(3, 13)
    # The library releases some objects of the last session a little later.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DEADLINE_S):
            while any(now > before[name] for name, now in (await leftovers()).items()):
                await asyncio.sleep(0.05)
    after = await leftovers()
    assert all(now <= before[name] for name, now in after.items()), (before, after)


async def test_a_session_is_freed_when_the_next_one_begins(server, box):
    gc.disable()
    try:
        async with server.friend("ann") as friend:
            await friend.say(700)
            await box.join(server, 1)
            await box.talker()
            room = weakref.ref(box.sdk_room)
            await box.leave(1)
        await box.join(server, 2)
        assert room() is None
    finally:
        gc.enable()


async def test_closing_the_adapter_leaves_the_room(server):
    async with open_box() as box, server.friend("ann") as friend:
        came, gone = asyncio.Event(), asyncio.Event()
        friend.room.on("participant_connected", lambda _: came.set())
        friend.room.on("participant_disconnected", lambda _: gone.set())
        await box.join(server)
        # Only a participant that was seen to arrive is seen to leave.
        await asyncio.wait_for(came.wait(), DEADLINE_S)
        await box.room.__aexit__(None, None, None)
        await asyncio.wait_for(gone.wait(), DEADLINE_S)


@pytest.mark.parametrize("moment", ["opened", "joining", "joined", "lost", "failed"])
async def test_the_process_ends_without_a_panic(server, moment):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.room.adapter_run",
        moment,
        server.url,
        server.token("box"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    if moment == "lost":
        assert await process.stdout.readline() == b"joined\n"
        await administer(server, "RemoveParticipant", identity="box")
    _, errors = await process.communicate()
    assert (process.returncode, errors.decode()) == (0, "")


@contextlib.contextmanager
def frozen(server):
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def answering(status):
    """Run a web server that always answers with this status."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as web:
        yield f"ws://127.0.0.1:{web.sockets[0].getsockname()[1]}"


async def leftovers():
    """Return counts that must not grow, after the library's last events."""
    async with asyncio.timeout(DEADLINE_S):
        while ffi_events().sinks:
            await asyncio.sleep(0)
    gc.collect()
    return {
        "threads": threading.active_count(),
        "subscribers": sdk_parts.subscribers(),
        "handles": sdk_parts.live_handles(),
        "tasks": len(asyncio.all_tasks()),
    }
