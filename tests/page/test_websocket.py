"""The WebSocket: views, commands, and the release of the talk button."""

import asyncio
import itertools
import json
import socket as stdlib_socket
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from starlette.websockets import WebSocket
from uvicorn.protocols.utils import ClientDisconnected
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance.core.events import (
    ChatTyped,
    Event,
    GainAsked,
    JoinAsked,
    LeaveAsked,
    MuteAsked,
    TalkAsked,
    VolumeAsked,
)
from appliance.core.view import TalkState
from appliance.page.application import default_limits
from appliance.page.controls import MUTED_ON_PAGE, Controls
from appliance.page.messages import LatestView
from appliance.page.pair_command import PairOptions, pair
from appliance.page.pairing import Pairing, PairingFile, digest, new_credentials
from appliance.page.websocket import LiveEndpoint
from tests.page.fake_app import own_line, serving
from tests.page.test_hostile import SECRET, running


@asynccontextmanager
async def live(served, cookie=None, sock=None, **headers):
    cookie = await served.cookie() if cookie is None else cookie
    sent = {"Cookie": cookie, **headers}
    url = f"ws://{served.host}/api/live"
    options = {} if sock is None else {"sock": sock}
    async with connect(url, additional_headers=sent, proxy=None, **options) as socket:
        yield socket


async def read(socket):
    async with asyncio.timeout(10):
        return json.loads(await socket.recv())


async def view_where(socket, is_wanted):
    while True:
        view = await read(socket)
        if "connection" in view and is_wanted(view):
            return view


async def answer(socket):
    while True:
        message = await read(socket)
        if "connection" not in message:
            return message


async def closing(socket):
    """Return the close code, once the other side has closed."""
    with suppress(ConnectionClosed):
        while True:
            await read(socket)
    return socket.close_code


async def tell(socket, **command):
    await socket.send(json.dumps(command))


async def test_the_view_is_sent_at_once_and_after_each_change(served):
    async with live(served) as socket:
        assert (await read(socket))["room"] == "workshop"
        served.inbox.show(room="garage", banner="in garage")
        view = await view_where(socket, lambda view: view["room"] == "garage")
        assert view["banner"] == "in garage"
        assert view["picture"]["width"] == 128
        assert served.pin not in json.dumps(view)


async def test_many_changes_are_few_messages_ending_with_the_newest_view(served):
    async with live(served) as socket:
        await read(socket)
        for percent in range(101):
            served.inbox.show(volume_percent=percent)
        seen = [(await read(socket))["volume_percent"]]
        while seen[-1] != 100:
            seen.append((await read(socket))["volume_percent"])
        assert len(seen) <= 2


async def test_a_socket_without_a_login_is_refused_before_it_opens(served):
    with pytest.raises(InvalidStatus) as refused:
        async with live(served, cookie="ptt_session=none"):
            pass
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}]
)
async def test_a_socket_from_another_site_is_refused(served, headers):
    with pytest.raises(InvalidStatus) as refused:
        async with live(served, **headers):
            pass
    assert refused.value.response.status_code == 403


async def test_a_socket_for_a_foreign_host_is_refused(served):
    cookie = await served.cookie()
    host, port = served.host.split(":")
    url = f"ws://evil.example:{port}/api/live"
    headers = {"Cookie": cookie}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(
            url, host=host, port=int(port), additional_headers=headers, proxy=None
        ):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    ("command", "event"),
    [
        ({"do": "mute", "on": True}, MuteAsked(is_on=True)),
        ({"do": "leave"}, LeaveAsked()),
        ({"do": "join", "preset": "garage"}, JoinAsked(preset="garage")),
        ({"do": "join", "preset": None}, JoinAsked(preset=None)),
        ({"do": "join"}, JoinAsked(preset="workshop")),
        ({"do": "volume", "percent": 5}, VolumeAsked(5)),
        ({"do": "microphone_gain", "db": 6}, GainAsked(6.0)),
        ({"do": "talk", "on": True}, TalkAsked(is_on=True)),
    ],
)
async def test_each_command_is_one_event(served, command, event):
    async with live(served) as socket:
        await tell(socket, **command)
        await served.inbox.has(event)


async def test_chat_by_socket_is_answered_with_its_id(served):
    async with live(served) as socket:
        await tell(socket, do="chat", text="Hello")
        said = await answer(socket)
        (event,) = served.inbox.of(ChatTyped)
        assert said == {"id": event.id, "state": "queued"}


@pytest.mark.parametrize(
    "message",
    ["", "x", "{}", '{"do": "fly"}', '{"do": "talk"}', b"\xff\xfe", "[" * 5000],
)
async def test_a_malformed_command_is_answered_and_the_socket_stays(served, message):
    async with live(served) as socket:
        await socket.send(message)
        said = await answer(socket)
        assert said["status"] == 400
        assert said["error"]
        await tell(socket, do="leave")
        await served.inbox.has(LeaveAsked())


async def test_a_mute_at_the_box_wins_over_the_socket(served):
    served.inbox.show(is_muted_at_box=True)
    async with live(served) as socket:
        await tell(socket, do="talk", on=True)
        assert (await answer(socket))["status"] == 409
    assert not served.inbox.of(TalkAsked)


async def test_a_press_that_cannot_transmit_is_answered_with_an_error(served):
    served.inbox.show(talk=TalkState.UNAVAILABLE, talk_text="cannot talk: nobody here")
    async with live(served) as socket:
        await tell(socket, do="talk", on=True)
        said = await answer(socket)
    assert said == {"error": "cannot talk: nobody here", "status": 409}
    assert not served.inbox.of(TalkAsked)


async def test_a_socket_that_closes_while_talking_releases_the_button(served):
    async with live(served) as socket:
        await tell(socket, do="talk", on=True)
        await served.inbox.has(TalkAsked(is_on=True))
    await served.inbox.has(TalkAsked(is_on=False))


async def test_a_socket_that_dies_while_talking_releases_the_button(served):
    async with live(served) as socket:
        await tell(socket, do="talk", on=True)
        await served.inbox.has(TalkAsked(is_on=True))
        socket.transport.abort()
        await served.inbox.has(TalkAsked(is_on=False))


async def test_a_phone_that_leaves_the_network_while_talking_releases_the_button(
    tmp_path, clock
):
    limits = replace(default_limits(clock), ping_s=0.5)
    async with (
        serving(tmp_path, clock, limits=limits) as served,
        live(served) as socket,
    ):
        await tell(socket, do="talk", on=True)
        await served.inbox.has(TalkAsked(is_on=True))
        # As when a phone leaves the Wi-Fi: no close frame, no pong.
        socket.transport.pause_reading()
        await served.inbox.has(TalkAsked(is_on=False))
        socket.transport.abort()


async def test_the_talk_goes_on_when_one_of_two_talking_phones_closes(served):
    async with live(served) as first:
        await tell(first, do="talk", on=True)
        await served.inbox.has(TalkAsked(is_on=True))
        async with live(served) as second:
            await tell(second, do="talk", on=True)
            await served.inbox.until(lambda: len(served.inbox.of(TalkAsked)) == 2)
        await tell(first, do="volume", percent=1)
        await served.inbox.has(VolumeAsked(1))
        assert TalkAsked(is_on=False) not in served.inbox.events
    await served.inbox.has(TalkAsked(is_on=False))


async def test_a_press_that_arrives_with_the_unmuting_before_it_is_not_refused_as_muted(
    tmp_path,
):
    async with running(tmp_path) as (target, _):
        url = f"ws://{target.host}:{target.port}/api/live"
        headers = {"Authorization": f"Bearer {SECRET}"}
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            await tell(socket, do="mute", on=True)
            await view_where(socket, lambda view: view["is_muted_on_page"])
            for command in ({"do": "mute", "on": False}, {"do": "talk", "on": True}):
                socket.protocol.send_text(json.dumps(command).encode())
            # In one packet, as after a gap of the Wi-Fi.
            socket.transport.write(b"".join(socket.protocol.data_to_send()))
            # Outside of a room nobody can talk.
            assert (await answer(socket))["error"] != MUTED_ON_PAGE


async def test_commands_of_a_client_that_has_closed_already_are_all_executed(tmp_path):
    PairingFile(tmp_path).change(
        lambda keys: keys.with_token(digest("secret")), new_credentials()
    )
    latest, events = LatestView((128, 64)), list[Event]()
    await latest.prepare()
    pairing = Pairing(PairingFile(tmp_path), events.append)
    endpoint = LiveEndpoint(latest, Controls(latest, events.append), pairing)
    commands = [f'{{"do": "volume", "percent": {number}}}' for number in range(9)]
    messages = iter(
        [
            {"type": "websocket.connect"},
            *({"type": "websocket.receive", "text": command} for command in commands),
            {"type": "websocket.disconnect", "code": 1000},
        ]
    )

    async def receive():
        return next(messages)

    async def send(message):
        if message["type"] != "websocket.accept":
            raise ClientDisconnected

    scope = {"type": "websocket", "headers": [], "state": {"login": digest("secret")}}
    await endpoint(WebSocket(scope, receive, send))
    assert events == [VolumeAsked(number) for number in range(9)]


async def test_a_flood_of_commands_closes_the_socket(served):
    async with live(served) as socket:
        flood = asyncio.create_task(_flood(socket))
        code = await closing(socket)
        await flood
        assert code == 1008
    assert len(served.inbox.of(VolumeAsked)) == 60


async def test_a_message_that_is_too_long_closes_the_socket(served):
    async with live(served) as socket:
        await socket.send("x" * 40_000)
        code = await closing(socket)
        assert code == 1009


async def test_a_client_that_stops_reading_finds_few_old_views_later(served):
    long = tuple(own_line(ChatTyped(str(at), "x" * 600, 1)) for at in range(50))
    served.inbox.show(chat=long)
    slow = stdlib_socket.socket()
    # About two views, so that the others wait at the box.
    slow.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF, 64 * 1024)
    host, port = served.host.split(":")
    slow.connect((host, int(port)))
    slow.setblocking(False)
    cookie = await served.cookie()
    async with live(served, cookie, sock=slow) as late, live(served, cookie) as reader:
        await read(late)
        late.transport.pause_reading()
        for number in range(20):
            served.inbox.show(room=f"room {number}")
            await view_where(reader, lambda view, n=number: view["room"] == f"room {n}")
        late.transport.resume_reading()
        old = [(await read(late))["room"]]
        while old[-1] != "room 19":
            old.append((await read(late))["room"])
    assert len(old) <= 8, old


async def test_the_number_of_sockets_is_limited(served):
    cookie = await served.cookie()
    async with asyncio.TaskGroup() as group, _many(served, cookie, 16):
        refused = group.create_task(_close_of(served, cookie))
        assert await refused == (
            4503,
            "16 pages are open already. Close one of them.",
        )
    async with live(served, cookie) as socket:
        assert (await read(socket))["room"] == "workshop"


async def test_a_reset_closes_the_sockets_of_invalid_logins(served, capsys):
    async with live(served) as socket:
        await read(socket)
        pair(served.directory, "127.0.0.1:8080", PairOptions(is_reset=True))
        served.inbox.show(room="garage")
        code = await closing(socket)
        assert code == 4401


@asynccontextmanager
async def _many(served, cookie, count):
    if count == 0:
        yield
        return
    async with live(served, cookie) as socket, _many(served, cookie, count - 1):
        await read(socket)
        yield


async def _close_of(served, cookie):
    async with live(served, cookie) as socket:
        await closing(socket)
        return socket.close_code, socket.close_reason


async def _flood(socket):
    with suppress(ConnectionClosed):
        for percent in itertools.cycle(range(101)):
            await tell(socket, do="volume", percent=percent)
