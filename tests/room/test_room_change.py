"""Changes of rooms on a real server, decided by the core."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from appliance.app import App
from appliance.config import Config, Preset, RoomConfig
from appliance.core.events import Button, ButtonPressed, StopAsked
from appliance.core.state import State
from appliance.core.view import ConnectionState
from appliance.ports import Adapters
from appliance.room.adapter import LiveKitRoom
from appliance.tokens.adapter import TokenAdapter
from tests.room.conftest import administer
from tests.room.fakes import DEADLINE_S, FakeFeed, FakePlayback
from tests.room.test_permissions import hears_tone
from tests.room.test_session import answering
from tests.test_app import Fake, FakeViewer

NEXT_ROOM = ButtonPressed(Button.NEXT_ROOM)


@asynccontextmanager
async def running(server, preset):
    """Run a box with this preset; on entry it is in the kitchen."""
    token = server.token("box")
    config = Config(
        room=RoomConfig(url=server.url, token=token, presets=(preset,)),
    )
    app, viewer = App(), FakeViewer()
    store, sound = (Fake([], app.post, lambda _: None) for _ in range(2))
    with FakeFeed() as feed:
        room = LiveKitRoom(config, app.post, feed, FakePlayback())
        adapters = Adapters(store, sound, room, (), (viewer,))

        async def make():
            return adapters

        async with asyncio.TaskGroup() as tasks:
            source = TokenAdapter(config, identity="box", post=app.post)
            tasks.create_task(app.run(State(config), source, make, lambda *_: None))
            await shows(viewer, lambda view: view.room == "kitchen")
            yield app, viewer
            app.post(StopAsked())


async def shows(viewer, is_wanted):
    async with asyncio.timeout(DEADLINE_S):
        return await viewer.until(is_wanted)


def in_room(preset):
    return lambda view: (
        view.preset == preset and view.connection is ConnectionState.CONNECTED
    )


def garage(server):
    token = server.token("box", room="garage")
    return Preset(name="garage", url=server.url, token=token)


async def test_the_box_is_heard_in_the_next_room_and_back_in_the_first(server):
    async with (
        server.friend("ann") as ann,
        server.friend("bob", room="garage") as bob,
        running(server, garage(server)) as (app, viewer),
    ):
        await hears_tone(ann)
        app.post(NEXT_ROOM)
        await hears_tone(bob)
        assert (await shows(viewer, in_room("garage"))).banner == "in garage"
        app.post(NEXT_ROOM)
        await hears_tone(ann)
        assert (await shows(viewer, in_room(None))).faults == ()


@asynccontextmanager
async def bad_preset(server, fault):
    """Return a preset that cannot be joined."""
    token = server.token("box", room="garage")
    match fault:
        case "token source refuses":
            async with answering(403) as url:
                address = url.replace("ws://", "http://")
                yield Preset(name="garage", token_url=address, url=server.url)
        case "server refuses":
            token = server.token("box", secret="x" * 40, room="garage")
            yield Preset(name="garage", url=server.url, token=token)
        case _:
            with socket.create_server(("127.0.0.1", 0)) as held:
                port = held.getsockname()[1]
            url = f"ws://127.0.0.1:{port}"
            yield Preset(name="garage", url=url, token=token)


@pytest.mark.parametrize("fault", ["token source refuses", "server refuses"])
async def test_a_room_that_refuses_the_box_is_named_and_the_first_is_joined_again(
    server, fault
):
    async with (
        bad_preset(server, fault) as preset,
        server.friend("ann") as ann,
        running(server, preset) as (app, viewer),
    ):
        await hears_tone(ann)
        app.post(NEXT_ROOM)
        await shows(viewer, lambda view: view.preset == "garage")
        shown = await shows(viewer, in_room(None))
        await hears_tone(ann)
        assert shown.banner == "in kitchen (garage: refused)"
        (sentence,) = shown.faults
        assert sentence.startswith("garage: ")
        assert sentence.endswith("; the box went back to the last room")


async def test_a_press_goes_back_at_once_from_a_room_where_nothing_answers(server):
    async with (
        bad_preset(server, "nothing answers") as preset,
        server.friend("ann") as ann,
        running(server, preset) as (app, viewer),
    ):
        app.post(NEXT_ROOM)
        await shows(viewer, lambda view: "server lost" in view.banner)
        app.post(NEXT_ROOM)
        await shows(viewer, in_room(None))
        await hears_tone(ann)


@pytest.mark.parametrize(
    ("method", "more"),
    [("RemoveParticipant", {"identity": "box"}), ("DeleteRoom", {})],
)
async def test_a_removed_box_stays_out_until_a_press(server, method, more):
    async with running(server, garage(server)) as (app, viewer):
        await administer(server, method, **more)
        shown = await shows(viewer, lambda view: not view.lamps.online)
        assert shown.banner.startswith("disconnected: room closed, retry in ")
        async with server.friend("ann") as ann:
            app.post(ButtonPressed(Button.TALK))
            await shows(viewer, in_room(None))
            await hears_tone(ann)
