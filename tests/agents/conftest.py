"""A real voice agent in a process of its own, and a box that talks to it."""

import asyncio
import json
import subprocess
import threading
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from appliance.app import App
from appliance.config import Config, TalkConfig, TalkMode
from appliance.core.commands import CloseGate, FetchToken, OpenGate
from appliance.core.events import (
    Button,
    ButtonPressed,
    ButtonReleased,
    ConnectionDetails,
    FirstBlockSent,
    LevelsMeasured,
    StopAsked,
    TailEnded,
    TokenReady,
)
from appliance.core.state import State
from appliance.ports import Adapters
from appliance.room.adapter import LiveKitRoom
from tests.agents.venv import interpreter
from tests.room.conftest import Server, binary
from tests.room.fakes import DEADLINE_S, FakeFeed, FakePlayback

__all__ = ["binary"]
AGENT = "agent-AJ_x8fPq2"
VOICE = LevelsMeasured(-20, -96, is_voice=True)
QUIET = LevelsMeasured(-96, -96, is_voice=False)


class AgentProcess:
    """Process that joins rooms as an agent; see `host`."""

    def __init__(self, python):
        host = Path(__file__).parent / "host.py"
        self._process = subprocess.Popen(
            [python, host], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin
        assert self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout
        self._changed = threading.Condition()
        self._has_ended = False
        self.reports = []
        self._thread = threading.Thread(target=self._read, name="agent reports")
        self._thread.start()

    def close(self):
        self._process.terminate()
        self._process.wait()
        self._thread.join()
        self._input.close()
        self._output.close()

    def do(self, what, **facts):
        self._input.write(json.dumps({"do": what} | facts) + "\n")
        self._input.flush()

    async def until(self, **facts):
        """Return the first report with these facts since the agent was sent here."""
        return await asyncio.to_thread(self.wait, facts)

    def now(self, **facts):
        return [x for x in self.reports if facts.items() <= x.items()]

    @asynccontextmanager
    async def visiting(self, server, **script):
        """Let the agent stay in the room."""
        self.reports.clear()
        token = server.token(AGENT, kind="agent", agent=True, canUpdateOwnMetadata=True)
        self.do("join", url=server.url, token=token, **script)
        await self.until(joined="kitchen")
        try:
            yield
        finally:
            self.do("leave")
            await self.until(left=True)

    @asynccontextmanager
    async def working(self, server, name):
        """Let it be a worker to which the server dispatches jobs with this name."""
        self.reports.clear()
        keys = {"api_key": server.api_key, "api_secret": server.api_secret}
        self.do("work", url=server.url, name=name, **keys)
        await self.until(registered=True)
        try:
            yield
        finally:
            self.do("leave")
            await self.until(left=True)

    def wait(self, facts):
        with self._changed:
            found = self._changed.wait_for(
                lambda: self.now(**facts) or self._has_ended, DEADLINE_S
            )
            assert found, f"{facts} not in {self.reports}"
            assert not self._has_ended, "the agent's process has ended"
            return self.now(**facts)[0]

    def _read(self):
        for line in self._output:
            with self._changed:
                self.reports.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()


@pytest.fixture(scope="session")
def agent():
    process = AgentProcess(interpreter())
    process.wait({"ready": True})
    yield process
    process.close()


@pytest.fixture
async def server(binary):
    async with Server(binary) as running:
        yield running


class Fake:
    """Adapter that answers commands."""

    def __init__(self, do=lambda _: None):
        self.do = do

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


class AgentHarness:
    """Core and room of a box; sound card, buttons and screen are fakes."""

    def __init__(self, feed, server, identity, mode, *, expects_agent):
        config = Config(name="kitchen", talk=TalkConfig(mode=mode, tail_ms=200))
        self.app = App()
        self.feed = feed
        self.playback = FakePlayback()
        self.views = []
        self._changed = asyncio.Event()
        self._server = server
        self._identity = identity
        self._expects_agent = expects_agent
        self._config = config
        self._room = LiveKitRoom(config, self.app.post, feed, self.playback)

    @property
    def view(self):
        return self.views[-1]

    @property
    def sdk_room(self):
        """Room object of the SDK in the current session."""
        assert self._room.session is not None
        return self._room.session.room

    def press(self):
        self.app.post(ButtonPressed(Button.TALK))

    def release(self):
        self.app.post(ButtonReleased(Button.TALK))

    async def say(self, seconds=1.0):
        self.press()
        await asyncio.sleep(seconds)
        self.release()

    async def until(self, is_it):
        """Wait for a view, from now on, and return it."""
        seen = max(0, len(self.views) - 1)
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for view in self.views[seen:]:
                    if is_it(view):
                        return view
                seen = len(self.views)
                self._changed.clear()
                await self._changed.wait()

    async def run(self):
        adapters = Adapters(
            store=Fake(),
            sound=Fake(self._sound),
            room=self._room,
            event_sources=(),
            viewers=(self,),
        )

        async def made():
            return adapters

        state = State(self._config)
        await self.app.run(state, Fake(self._token), made, lambda *_: None)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    def show(self, view):
        self.views.append(view)
        self._changed.set()

    def _token(self, command):
        if isinstance(command, FetchToken):
            token = self._server.token(self._identity, name=self._identity.title())
            details = ConnectionDetails(
                self._server.url, token, self._identity, self._expects_agent
            )
            self.app.post(TokenReady(command.ticket, details))

    def _sound(self, command):
        match command:
            case OpenGate():
                self.feed.is_open = True
                self.app.post(FirstBlockSent(0.01))
                self.app.post(VOICE)
            case CloseGate():
                self.feed.is_open = False
                self.app.post(QUIET)
                self.app.post(TailEnded())


@asynccontextmanager
async def a_box(server, identity="box", mode=TalkMode.HOLD, *, expects_agent=False):
    with FakeFeed() as feed:
        feed.is_open = False
        box = AgentHarness(feed, server, identity, mode, expects_agent=expects_agent)
        async with AsyncExitStack() as stack:
            running = asyncio.ensure_future(box.run())
            stack.callback(running.cancel)
            await box.until(lambda view: view.connection == "connected")
            yield box
            box.app.post(StopAsked())
            await running
