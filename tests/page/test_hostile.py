"""The page inside the real control loop, whose exception handler ends the process."""

import asyncio
import gc
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from appliance.app import App
from appliance.config import Config, PageConfig, RoomConfig
from appliance.core.events import LeaveAsked, PageServed, StopAsked
from appliance.core.state import State
from appliance.page.adapter import Page
from appliance.page.application import default_limits
from appliance.page.pairing import PairingFile, digest, new_credentials
from appliance.ports import Adapters
from tests.net.hostile import WIDE, Target, assault, attack, seeds, status_of, unlimited
from tests.page.fake_app import site

SECRET = "secret-of-a-script"
CONFIG = Config(name="kitchen", room=RoomConfig(token_url="https://tokens.example"))


class Idle:
    """An adapter that does nothing."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    def do(self, command):
        pass


@asynccontextmanager
async def running(directory, limits=None, **changes):
    """Run an appliance with no adapter but the page; yield its address.

    Args:
        directory: of the state.
        limits: on clients.
        changes: of the page's other settings.
    """
    PairingFile(directory).change(
        lambda keys: keys.with_token(digest(SECRET)), new_credentials()
    )
    app, served = App(), asyncio.get_running_loop().create_future()
    settings = site(directory, limits=limits, **changes)
    page = Page(PageConfig(listen="127.0.0.1:0"), app.post, settings)

    async def make():
        return Adapters(Idle(), Idle(), Idle(), (), (page,))

    def observe(event, *_):
        if isinstance(event, PageServed) and not served.done():
            served.set_result(event.url)

    task = asyncio.create_task(app.run(State(CONFIG), Idle(), make, observe))
    try:
        await asyncio.wait({task, served}, return_when=asyncio.FIRST_COMPLETED)
        # After leaving on request /health does not need a sound card.
        app.post(LeaveAsked())
        place = urlsplit(served.result())
        yield Target(str(place.hostname), int(place.port or 0)), task
    finally:
        app.post(StopAsked())
        await task


def wide():
    return replace(
        default_limits(time.monotonic), connections=WIDE, requests=unlimited()
    )


def known(target):
    host = f"{target.host}:{target.port}"
    return seeds(host, "/api/chat", "/static/style.css", SECRET)


@pytest.mark.parametrize("number", range(15))
async def test_no_known_malformed_input_ends_the_process(tmp_path, number):
    async with running(tmp_path, wide()) as (target, task):
        for ending in (0.1, 0.4, 0.6, 0.9):
            await attack(target, known(target)[number], ending)
            assert await status_of(target, "/health") == 200
        gc.collect()
        await asyncio.sleep(0)
        assert not task.done()


async def test_five_thousand_mutated_connections_do_not_end_the_process(tmp_path):
    async with running(tmp_path, wide()) as (target, task):
        await assault(target, known(target), 5000)
        gc.collect()
        await asyncio.sleep(0)
        assert not task.done()
        assert await status_of(target, "/health") == 200


async def test_a_lack_of_file_descriptors_does_not_end_the_process(tmp_path):
    box = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.page.page_with_few_files", str(tmp_path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert box.stdout is not None
    assert box.stderr is not None
    host, port = (await box.stdout.readline()).decode().split()
    target = Target(host, int(port))
    idle = []
    for _ in range(50):
        connection = socket.socket()
        connection.settimeout(30)
        connection.connect((target.host, target.port))
        idle.append(connection)
    async with asyncio.timeout(30):
        assert b"connection cannot be accepted" in await box.stderr.readline()
    for connection in idle:
        connection.close()
    assert await status_of(target, "/health") == 200
    told, _ = await box.communicate(b"")
    assert told.decode() == "still running\n"
    assert box.returncode == 0
