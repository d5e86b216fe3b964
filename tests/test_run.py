"""`ptt-appliance run` as a process, with a real server, page, sound card and client."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from livekit import rtc

from appliance.demo.livekit_server import LocalServer, find_or_build
from appliance.token_server.signing import Signer
from tests.card.asound import Card, plug_in
from tests.loopback import http_client
from tests.room.fakes import amplitude, strongest_hz
from tests.room.friend import Friend

PATIENCE_S = 30.0
"""Time-out for steps that take about a second, on a busy machine."""
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def binary():
    return find_or_build(print)


@pytest.fixture
async def server(binary):
    async with LocalServer(binary) as running:
        yield running


@dataclass
class FakeTokenSource:
    """HTTP server that gives the same answer to every request."""

    answer: bytes = b""
    status: str = "200 OK"
    is_silent: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        while self.is_silent and await reader.read(1024):
            pass
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.answer)}\r\n\r\n"
        writer.write(head.encode() + self.answer)
        await writer.drain()


@asynccontextmanager
async def token_source(**facts):
    source = FakeTokenSource(**facts)
    async with await asyncio.start_server(source.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        source.url = f"http://127.0.0.1:{port}/token?tenant=secret-tenant"
        yield source


def token(server, identity):
    signer, now_s = Signer(server.api_key, server.api_secret), int(time.time())
    return signer.token(identity, identity.title(), "den", ttl_s=600, now_s=now_s)


def answer(server):
    url = {"serverUrl": server.url, "participantToken": token(server, "kitchen")}
    return json.dumps(url).encode()


class BoxProcess:
    """Process of `ptt-appliance run`."""

    def __init__(self, folder: Path, source_url: str):
        self.card = Card(folder / "usb", is_looped=True)
        self.config = folder / "config.yaml"
        self.environ = (
            os.environ
            | plug_in(folder / "asound.conf", self.card)
            | {"STATE_DIRECTORY": str(folder / "state"), "PYTHONUNBUFFERED": "1"}
        )
        self.settings = {
            "name": "kitchen",
            "room": {"token_url": source_url},
            "page": {"listen": "127.0.0.1:0"},
            "screen": {"driver": "none"},
        }
        self.lines: list[str] = []
        self.process: Any = None
        self._changed = asyncio.Event()
        self._reading: Any = None

    async def __aenter__(self):
        self.config.write_text(yaml.safe_dump(self.settings))
        self.process = await self.command("run", stderr=STDOUT)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading

    async def command(self, *words, stderr=None):
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "appliance",
            *words,
            "--config",
            str(self.config),
            cwd=REPOSITORY,
            env=self.environ,
            stdout=PIPE,
            stderr=stderr,
        )

    async def _read(self):
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode())
            self._changed.set()

    async def says(self, words: str) -> str:
        async with asyncio.timeout(PATIENCE_S):
            while not (said := [line for line in self.lines if words in line]):
                self._changed.clear()
                await self._changed.wait()
        return said[-1]

    async def ended(self, by=signal.SIGTERM):
        """Ask it to stop and return its exit status."""
        self.process.send_signal(by)
        async with asyncio.timeout(PATIENCE_S):
            await self.process.wait()
        await self._reading
        return self.process.returncode

    @asynccontextmanager
    async def page(self):
        said = await self.says("page served")
        url = said.split("url=")[1].strip()
        pairing = await self.command("pair", "--token")
        out, _ = await pairing.communicate()
        bearer = {"Authorization": f"Bearer {out.decode().strip()}"}
        async with http_client(url, headers=bearer) as client:
            yield Page(client)


class Page:
    """Client of the page's HTTP API."""

    def __init__(self, client):
        self.client = client

    async def view(self, is_wanted):
        async with asyncio.timeout(PATIENCE_S):
            while not is_wanted(view := (await self.client.get("/api/view")).json()):
                await asyncio.sleep(0.05)
        return view

    async def ask(self, path, **body):
        return await self.client.post(f"/api/{path}", json=body)


def tone(hz):
    return (8000 * np.sin(2 * np.pi * hz * np.arange(48_000) / 48_000)).astype(np.int16)


def is_silent(sound):
    return amplitude(sound) < 20


async def until_heard(friend, is_wanted):
    async with asyncio.timeout(PATIENCE_S):
        while not is_wanted(await friend.hear(0.2)):
            pass


async def until_played(card, hz):
    """Wait until this tone is the loudest sound of the speaker for half a second."""
    loudest = 0.0
    async with asyncio.timeout(PATIENCE_S):
        while loudest != pytest.approx(hz, abs=10):
            since_s = card.now_s()
            await asyncio.sleep(0.5)
            heard = card.heard(since_s, card.now_s()).astype(float)
            at = np.fft.rfftfreq(len(heard), 1 / 48_000)
            loudest = at[np.argmax(np.abs(np.fft.rfft(heard)))]


async def read(friend):
    async with asyncio.timeout(PATIENCE_S):
        _identity, _info, text = await friend.streams.get()
    return text


async def test_a_conversation_from_start_to_stop(tmp_path, server):
    async with token_source(answer=answer(server)) as source:
        box = BoxProcess(tmp_path, source.url)
        box.card.speak(tone(1000), at_s=0.0)
        async with (
            Friend(server.url, token(server, "anna"), rtc.RoomOptions()) as anna,
            box,
            box.page() as page,
        ):
            view = await page.view(lambda view: view["people"])
            assert view["connection"] == "connected"
            assert view["room"] == "den"
            assert [person["name"] for person in view["people"]] == ["Anna"]

            await until_heard(anna, is_silent)
            assert (await page.ask("talk", on=True)).status_code == 200
            await until_heard(anna, lambda sound: abs(strongest_hz(sound) - 1000) < 30)
            assert (await page.ask("talk", on=False)).status_code == 200
            await until_heard(anna, is_silent)

            await anna.say(440)
            await page.view(lambda view: view["people"][0]["is_speaking"])
            await until_played(box.card, 440)
            await until_heard(anna, is_silent)

            sent = (await page.ask("chat", text="lunch is ready")).json()
            assert sent["state"] in {"queued", "sent"}
            assert await read(anna) == "lunch is ready"
            await anna.room.local_participant.send_text("coming", topic="lk.chat")
            view = await page.view(lambda view: len(view["chat"]) == 2)
            assert [line["text"] for line in view["chat"]] == [
                "lunch is ready",
                "coming",
            ]

            await page.ask("leave")
            await page.view(lambda view: view["connection"] == "left")
            await page.ask("join")
            await page.view(lambda view: view["connection"] == "connected")
            assert await box.ended() == 0
    log = "".join(box.lines)
    for secret in ("eyJ", server.api_secret, "secret-tenant", "lunch", "coming"):
        assert secret not in log
    assert "panic" not in log
    assert "Traceback" not in log


async def test_a_server_that_dies_and_comes_back_is_joined_again_by_itself(
    tmp_path, server
):
    async with token_source(answer=answer(server)) as source:
        box = BoxProcess(tmp_path, source.url)
        async with box, box.page() as page:
            await page.view(lambda view: view["connection"] == "connected")
            await server.kill()
            await page.view(lambda view: view["connection"] != "connected")
            queued = (await page.ask("chat", text="are you there?")).json()
            assert queued["state"] == "queued"
            # A box that comes back before Anna would send it to nobody.
            box.process.send_signal(signal.SIGSTOP)
            await server.start()
            async with Friend(
                server.url, token(server, "anna"), rtc.RoomOptions()
            ) as anna:
                box.process.send_signal(signal.SIGCONT)
                await page.view(lambda view: view["connection"] == "connected")
                assert await read(anna) == "are you there?"
            assert await box.ended() == 0


async def test_what_somebody_changed_is_kept_and_the_rest_is_as_configured(tmp_path):
    async with token_source(is_silent=True) as source:
        box = BoxProcess(tmp_path, source.url)
        async with box, box.page() as page:
            assert (await page.ask("volume", percent=35)).is_success
            assert await box.ended() == 0
        box.lines.clear()
        box.settings["sound"] = {"volume": 60, "microphone_gain_db": 6}
        async with box, box.page() as page:
            view = await page.view(lambda _: True)
            assert (view["volume_percent"], view["microphone_gain_db"]) == (35, 6)
            assert await box.ended() == 0


async def asking(_box, source):
    await source.asked.wait()


async def joined(box, _source):
    await box.says("joined")


async def talking(box, _source):
    async with box.page() as page:
        await page.view(lambda view: view["connection"] == "connected")
        await page.ask("talk", on=True)


async def refused(box, _source):
    await box.says("token fetch")


@pytest.mark.parametrize(
    ("stage", "facts"),
    [
        (asking, {"is_silent": True}),
        (refused, {"status": "500 Oops"}),
        (refused, {"status": "401 No"}),
        (joined, {}),
        (talking, {}),
    ],
)
async def test_sigterm_ends_the_box_cleanly_at_every_stage(
    tmp_path, server, stage, facts
):
    facts = {"answer": answer(server)} | facts
    async with (
        token_source(**facts) as source,
        BoxProcess(tmp_path, source.url) as box,
    ):
        await stage(box, source)
        assert await box.ended() == 0
    log = "".join(box.lines)
    assert "Traceback" not in log
    assert "eyJ" not in log


async def test_sigterm_while_a_silent_server_is_being_joined_ends_the_box(tmp_path):
    connected = asyncio.Event()

    async def hold(reader, writer):
        connected.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        signer, now_s = Signer("key", "s" * 32), int(time.time())
        made = signer.token("kitchen", "Kitchen", "den", ttl_s=600, now_s=now_s)
        body = {"serverUrl": f"ws://127.0.0.1:{port}", "participantToken": made}
        async with (
            token_source(answer=json.dumps(body).encode()) as source,
            BoxProcess(tmp_path, source.url) as box,
        ):
            await connected.wait()
            assert await box.ended() == 0


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.1, 0.2, 0.3, 0.5])
async def test_sigterm_while_it_is_still_starting_is_no_crash(tmp_path, after_s):
    async with (
        token_source(is_silent=True) as source,
        BoxProcess(tmp_path, source.url) as box,
    ):
        await asyncio.sleep(after_s)
        # Before Python has started, nothing can catch the signal; systemd regards both
        # as a clean exit.
        assert await box.ended() in {0, -signal.SIGTERM}
    assert "Traceback" not in "".join(box.lines)


async def test_a_box_that_the_kernel_ends_says_where_each_thread_hung(tmp_path):
    async with (
        token_source(is_silent=True) as source,
        BoxProcess(tmp_path, source.url) as box,
    ):
        await box.says("started")
        assert await box.ended(signal.SIGXCPU) == -signal.SIGXCPU
    assert "most recent call first" in "".join(box.lines)


async def test_a_mistake_in_alsas_configuration_costs_the_box_its_sound_only(
    tmp_path, server
):
    async with token_source(answer=answer(server)) as source:
        ours = BoxProcess(tmp_path, source.url)
        path = tmp_path / "asound.conf"
        whole = path.read_text()
        path.write_text("pcm.broken {\n}}\n")
        async with ours:
            said = await ours.says("speaker lost")
            assert f"{path}, line 2: Unexpected" in said
            path.write_text(whole)
            await ours.says("speaker open")
            assert await ours.ended() == 0
        assert not [line for line in ours.lines if "Traceback" in line]
        lost = [line for line in ours.lines if "[audio]" in line and "lost" in line]
        assert len(lost) == 2


async def test_a_wrong_configuration_ends_with_78_and_names_every_key(tmp_path):
    box = BoxProcess(tmp_path, "http://tokens.example/")
    box.settings |= {"sond": {}, "talk": {"mode": "shout"}}
    async with box:
        async with asyncio.timeout(PATIENCE_S):
            await box.process.wait()
        await box.says("sond")
        await box.says("talk.mode")
        await box.says("room.token_url")
    assert box.process.returncode == 78
