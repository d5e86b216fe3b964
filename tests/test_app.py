"""Control loop: events in from any thread, commands and views out."""

import asyncio
import logging
import subprocess
import sys
import threading
from typing import Any

import pytest

from appliance.app import App
from appliance.config import Config, RoomConfig
from appliance.core.commands import (
    CloseSound,
    FetchToken,
    JoinRoom,
    LeaveRoom,
    OpenGate,
    OpenSound,
    SendChat,
)
from appliance.core.events import (
    AgentChanged,
    AgentFailed,
    AgentState,
    Button,
    ButtonPressed,
    Caption,
    CaptionReceived,
    Cause,
    ChatMessage,
    ChatReceived,
    ChatSent,
    ChatTyped,
    ConnectionDetails,
    Failure,
    JoinAsked,
    PageServed,
    Participant,
    PeopleChanged,
    RoomJoined,
    RoomLeft,
    StopAsked,
    TalkAsked,
    TokenFailed,
    TokenReady,
    VoiceAgent,
)
from appliance.core.state import State
from appliance.core.view import ConnectionState, TalkState
from appliance.ports import Adapters

CONFIG = Config(name="kitchen", room=RoomConfig(token_url="https://tokens.example"))
ANNA = Participant("anna", "Anna")


class Fake:
    """Adapter that records its commands and answers them at once."""

    def __init__(self, log, post, answers):
        self.log = log
        self.post = post
        self.answers = answers
        self.is_open = False

    async def __aenter__(self):
        self.is_open = True
        return self

    async def __aexit__(self, *_):
        self.is_open = False
        self.log.append("closed")

    def do(self, command):
        self.log.append(command)
        answer = self.answers(command)
        if answer is not None:
            self.post(answer)


class FakeViewer:
    """Viewer that records every view."""

    def __init__(self):
        self.views = []
        self.changed = asyncio.Event()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    def show(self, view):
        self.views.append(view)
        self.changed.set()

    async def until(self, is_wanted):
        while not (self.views and is_wanted(self.views[-1])):
            self.changed.clear()
            await self.changed.wait()
        return self.views[-1]


def answer(command):
    match command:
        case FetchToken(ticket=ticket):
            details = ConnectionDetails("wss://room.example", "secret", "box")
            return TokenReady(ticket, details)
        case JoinRoom(ticket=ticket):
            return RoomJoined(ticket, "den", (ANNA,))
        case LeaveRoom(ticket=ticket):
            return RoomLeft(ticket)
        case SendChat(ticket=ticket, id=line_id):
            return ChatSent(ticket, line_id)
        case _:
            return None


class RunningApp:
    """App with fake adapters."""

    def __init__(self, answers=answer):
        self.app = App()
        self.log: list[Any] = []
        self.viewer = FakeViewer()
        self.observed = []
        self.parts = [Fake(self.log, self.app.post, answers) for _ in range(4)]
        store, sound, room, tokens = self.parts
        self.tokens = tokens
        self.adapters = Adapters(store, sound, room, (), (self.viewer,))
        self.task: Any = None
        self.make: Any = self.made

    async def __aenter__(self):
        self.task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *_):
        self.app.post(StopAsked())
        await self.task

    async def run(self, observe=None):
        state = State(CONFIG)
        await self.app.run(state, self.tokens, self.make, observe or self.observe)

    async def made(self):
        return self.adapters

    def observe(self, event, *_):
        self.observed.append(event)


async def test_a_started_box_fetches_a_token_joins_and_shows_it():
    async with RunningApp() as box:
        view = await box.viewer.until(lambda view: view.room == "den")
    assert view.connection is ConnectionState.CONNECTED
    kinds = [type(command) for command in box.log]
    assert kinds.index(OpenSound) < kinds.index(JoinRoom)
    assert kinds.index(FetchToken) < kinds.index(JoinRoom)


async def test_a_press_from_another_thread_opens_the_gate():
    async with RunningApp() as box:
        await box.viewer.until(lambda view: view.room == "den")
        press = threading.Thread(target=box.app.post, args=[ButtonPressed(Button.TALK)])
        press.start()
        await box.viewer.until(lambda view: view.talk is TalkState.TALKING)
        press.join()
    gates = [command for command in box.log if isinstance(command, OpenGate)]
    assert len(gates) == 1
    assert gates[0].asked_at_s > 0


async def test_stopping_leaves_the_room_then_closes_everything_once():
    async with RunningApp() as box:
        await box.viewer.until(lambda view: view.room == "den")
    kinds = [type(command) for command in box.log]
    assert kinds.index(LeaveRoom) < kinds.index(CloseSound)
    assert box.log[-4:] == ["closed"] * 4
    assert not any(part.is_open for part in box.parts)


async def test_a_stop_before_anything_has_happened_ends_the_process_too():
    async with RunningApp(answers=lambda _: None) as box:
        box.app.post(StopAsked())
    assert not any(isinstance(command, JoinRoom) for command in box.log)


async def test_the_token_is_fetched_and_commands_are_queued_while_adapters_are_made():
    box = RunningApp()
    is_made = asyncio.Event()

    async def make():
        await is_made.wait()
        return box.adapters

    box.make = make
    async with box:
        while TokenReady not in map(type, box.observed):
            await asyncio.sleep(0)
        assert [type(command) for command in box.log] == [FetchToken]
        is_made.set()
        await box.viewer.until(lambda view: view.room == "den")
    kinds = [type(command) for command in box.log]
    assert kinds.index(OpenSound) < kinds.index(JoinRoom)


async def test_a_stop_while_the_adapters_are_made_opens_none_of_them():
    box = RunningApp(answers=lambda _: None)

    async def make():
        box.app.post(StopAsked())
        while StopAsked not in map(type, box.observed):
            await asyncio.sleep(0)
        return box.adapters

    box.make = make
    await box.run()
    assert box.log[-1] == "closed"
    assert box.log.count("closed") == 1


def test_the_control_loop_starts_without_slow_imports():
    heavy = {
        "numpy",
        "livekit",
        "sounddevice",
        "gpiozero",
        "PIL",
        "prometheus_client",
        "httpx",
        "uvicorn",
    }
    program = f"import sys, appliance.app; print({heavy} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


async def test_an_equal_view_is_not_shown_again():
    async with RunningApp() as box:
        await box.viewer.until(lambda view: view.room == "den")
        seen = len(box.viewer.views)
        box.app.post(ChatSent(99, "of an older visit"))
        box.app.post(ChatTyped("1", "hello", 5))
        await box.viewer.until(lambda view: view.chat and view.chat[0].state == "sent")
    assert all(
        one != other
        for one, other in zip(box.viewer.views, box.viewer.views[1:], strict=False)
    )
    assert len(box.viewer.views) > seen


async def test_events_before_the_start_are_queued_and_after_the_end_are_dropped():
    box = RunningApp()
    box.app.post(ChatTyped("1", "early", 5))
    async with box:
        view = await box.viewer.until(lambda view: view.room == "den" and view.chat)
        assert view.chat[0].text == "early"
    box.app.post(ChatTyped("2", "late", 6))
    box.app.fail(RuntimeError("late"))
    await asyncio.sleep(0)
    assert all(line.id != "2" for line in box.viewer.views[-1].chat)


async def test_a_dead_thread_ends_the_process_with_its_error():
    box = RunningApp()
    task = asyncio.create_task(box.run())
    await box.viewer.until(lambda view: view.room == "den")
    box.app.fail(RuntimeError("encoder is gone"))
    box.app.fail(RuntimeError("and again"))
    with pytest.raises(RuntimeError, match="encoder is gone"):
        await task
    assert not any(part.is_open for part in box.parts)


async def test_an_error_in_a_step_ends_the_process():
    box = RunningApp()

    def trip(event, *_):
        if isinstance(event, ChatTyped):
            raise ZeroDivisionError

    task = asyncio.create_task(box.run(trip))
    await box.viewer.until(lambda view: view.room == "den")
    box.app.post(ChatTyped("1", "hello", 5))
    with pytest.raises(ZeroDivisionError):
        await task


async def test_an_error_in_any_callback_of_the_loop_ends_the_process_too():
    box = RunningApp()
    task = asyncio.create_task(box.run())
    await box.viewer.until(lambda view: view.room == "den")
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await task


async def test_every_event_is_observed_for_the_metrics():
    async with RunningApp() as box:
        await box.viewer.until(lambda view: view.room == "den")
    kinds = [type(event).__name__ for event in box.observed]
    assert kinds[0] == "Started"
    assert {"TokenReady", "RoomJoined", "StopAsked", "RoomLeft"} <= set(kinds)


async def test_the_app_posts_a_tick_at_each_deadline():
    fetches = []

    def refuse(command):
        if isinstance(command, FetchToken):
            fetches.append(command)
        return answer(command) if len(fetches) > 1 else failure(command)

    async with RunningApp(answers=refuse) as box:
        await box.viewer.until(lambda view: view.room == "den")
    assert [fetch.ticket for fetch in fetches] == [1, 2]


def failure(command):
    if isinstance(command, FetchToken):
        return TokenFailed(command.ticket, Failure(Cause.TOKEN_SOURCE, "busy"))
    return None


async def test_the_debug_log_names_nobody_and_says_nothing_that_was_said(caplog):
    caplog.set_level(logging.DEBUG, "appliance.app")
    person = Participant("identity-of-anna", "Anna Smith", is_speaking=True)
    chat = ChatMessage("id-1", person.id, person.name, "private words", 1)
    caption = Caption("s-1", person.id, person.name, "spoken words", True, 1)
    agent = VoiceAgent(person.id, person.name, AgentState.LISTENING)
    async with RunningApp() as box:
        await box.viewer.until(lambda view: view.room == "den")
        for event in (
            PeopleChanged(1, (person,)),
            ChatReceived(1, chat),
            ChatTyped("line-1", "typed words", 1),
            CaptionReceived(1, caption),
            AgentChanged(1, agent),
            AgentFailed(1, person.id),
            JoinAsked("garage", person.name),
            PageServed("http://kitchen", "123456"),
            TalkAsked(is_on=True),
            TokenFailed(9, Failure(Cause.REFUSED, "private words", is_final=True)),
        ):
            box.app.post(event)
        await box.viewer.until(lambda view: view.agent == agent)
    shown = caplog.text
    assert "PeopleChanged(ticket=1)" in shown
    assert "TalkAsked(is_on=True)" in shown
    assert "TokenFailed(ticket=9, failure=Failure(cause=refused, is_final=True" in shown
    for secret in ("anna", "smith", "words", "123456", "secret"):
        assert secret not in shown.lower()
