"""Commands that arrive together: each is checked against the view of the one before."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from websockets.asyncio.client import connect

from appliance.core.events import ChatTyped
from appliance.page.controls import MUTED_ON_PAGE, Client, Controls
from appliance.page.messages import ChatRequest, RequestRefused
from appliance.page.snapshot import LatestView
from tests.page.fake_app import IN_ROOM
from tests.page.test_hostile import SECRET, running
from tests.page.test_websocket import answer, tell, view_where

OUTBOX_LINES = 20


@asynccontextmanager
async def live_outside_of_a_room(directory, clock):
    async with running(directory, now_s=clock) as (target, _):
        url = f"ws://{target.host}:{target.port}/api/live"
        headers = {"Authorization": f"Bearer {SECRET}"}
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            await view_where(socket, lambda view: view["connection"] == "left")
            yield socket


def tell_together(socket, *commands):
    """Send the commands in one write, which is one TCP segment on loopback."""
    for command in commands:
        socket.protocol.send_text(json.dumps(command).encode())
    socket.transport.write(b"".join(socket.protocol.data_to_send()))


async def test_chat_lines_beyond_the_outbox_are_refused_when_they_arrive_together(
    tmp_path, clock
):
    async with live_outside_of_a_room(tmp_path, clock) as socket:
        for number in range(OUTBOX_LINES - 2):
            clock.now_s += 10
            await tell(socket, do="chat", text=f"line {number}")
            assert (await answer(socket))["state"] == "queued"
        clock.now_s += 10
        lines = [{"do": "chat", "text": f"last {number}"} for number in range(5)]
        tell_together(socket, *lines)
        answers = [await answer(socket) for _ in lines]
        assert [each.get("state") for each in answers[:2]] == ["queued"] * 2
        assert [each.get("status") for each in answers[2:]] == [409] * 3
        view = await view_where(socket, lambda view: len(view["chat"]) == OUTBOX_LINES)
        assert [line["text"] for line in view["chat"][-2:]] == ["last 0", "last 1"]


async def test_a_press_that_arrives_with_the_unmuting_before_it_is_not_refused_as_muted(
    tmp_path, clock
):
    async with live_outside_of_a_room(tmp_path, clock) as socket:
        await tell(socket, do="mute", on=True)
        await view_where(socket, lambda view: view["is_muted_on_page"])
        tell_together(socket, {"do": "mute", "on": False}, {"do": "talk", "on": True})
        # Outside of a room nobody can talk.
        assert (await answer(socket))["error"] != MUTED_ON_PAGE


async def refused(execute, request):
    with pytest.raises(RequestRefused, match="20 lines are waiting"):
        await execute(request, Client("script"))


async def test_requests_that_arrive_together_are_checked_one_after_the_other():
    latest = LatestView((128, 64))
    latest.show(IN_ROOM)
    typed = []

    def post(event):
        typed.append(event)
        full = replace(IN_ROOM, chat_refusal="20 lines are waiting already")
        asyncio.get_running_loop().call_soon(latest.show, full)

    controls = Controls(latest, post)
    async with asyncio.TaskGroup() as group:
        group.create_task(controls.execute(ChatRequest("one"), Client("phone")))
        group.create_task(refused(controls.execute, ChatRequest("two")))
    assert [event.text for event in typed if isinstance(event, ChatTyped)] == ["one"]
